import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { mutants } from './mutants.ts';

const root = join(import.meta.dirname, '../..');
const edits = mutants.flatMap(({ name, edits: all }) => all.map(({ file, old }) => ({ name, file, old })));

test.each(edits)('a bug that can still be put in: $name, into $file', ({ file, old }) => {
  expect(readFileSync(join(root, file), 'utf8').split(old)).toHaveLength(2);
});
