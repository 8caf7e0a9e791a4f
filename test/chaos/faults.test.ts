import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

/** The table of faults names tests; each of them must be there. */

const root = join(import.meta.dirname, '../..');
const text = readFileSync(join(root, 'docs', 'faults.md'), 'utf8');
const played = text.split('\n').flatMap((line) => {
  const [, fault = '', tests = ''] = line.split('|').map((cell) => cell.trim());
  return [...tests.matchAll(/`([^`]+)`: ([^;]+)/g)].map(([, file = '', name = '']) => ({ fault, file, name }));
});

test('the table has lines', () => expect(played.length).toBeGreaterThan(60));

test.each(played)('$fault: $file, $name', ({ file, name }) => {
  expect(existsSync(join(root, file))).toBe(true);
  expect(readFileSync(join(root, file), 'utf8').replaceAll("\\'", "'")).toContain(name);
});

test('every line of a table names a test', () => {
  const lines = text.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| Fault'));
  expect(lines.filter((line) => !/`(test|trainer)\/[^`]+`: /.test(line))).toEqual([]);
});
