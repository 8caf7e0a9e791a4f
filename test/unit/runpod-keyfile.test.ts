import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { keyFile } from '../../controller/runpod/keyfile.ts';

const folder = mkdtempSync(join(tmpdir(), 'keyfile-'));
afterAll(() => rmSync(folder, { recursive: true }));

let count = 0;
function newFile(content?: string): string {
  const path = join(folder, `key${(count += 1)}`);
  if (content !== undefined) writeFileSync(path, content);
  return path;
}

describe('the key file', () => {
  test('gives the key without the line end that editors leave', () => {
    expect(keyFile(newFile('rpa_ABC123\n'))()).toBe('rpa_ABC123');
    expect(keyFile(newFile('  rpa_ABC123\r\n'))()).toBe('rpa_ABC123');
  });

  test('is read again when it was written again', () => {
    const path = newFile('first');
    const key = keyFile(path);
    expect(key()).toBe('first');
    writeFileSync(path, 'second key'.replace(' ', '-'));
    expect(key()).toBe('second-key');
  });

  test('is read again when another file of the same size took its place', () => {
    const path = newFile('aaaa');
    const key = keyFile(path);
    expect(key()).toBe('aaaa');
    renameSync(newFile('bbbb'), path);
    expect(key()).toBe('bbbb');
  });

  test('is followed where its link leads, as a mounted Secret does it', () => {
    const path = join(folder, 'link');
    symlinkSync(newFile('old1'), path);
    const key = keyFile(path);
    expect(key()).toBe('old1');
    symlinkSync(newFile('new1'), `${path}.next`);
    renameSync(`${path}.next`, path);
    expect(key()).toBe('new1');
  });

  test.each<[string, string | undefined, RegExp]>([
    ['missing', undefined, /cannot be read: ENOENT/],
    ['empty', '', /is empty/],
    ['blank', ' \n', /is empty/],
    ['more than a key', 'KEY=rpa_1 # mine', /write the key alone, on one line/],
    ['two lines', 'rpa_1\nrpa_2', /write the key alone, on one line/],
    ['no key at all', 'schlüssel', /write the key alone, on one line/],
  ])('that is %s is an account that refuses us, in words', (_, content, sentence) => {
    const path = newFile(content);
    const key = keyFile(path);
    expect(key).toThrow(sentence);
    expect(key).toThrow(expect.objectContaining({ kind: 'unauthorized', message: expect.stringContaining(path) }));
    writeFileSync(path, 'good');
    expect(key()).toBe('good');
  });

  test('that vanishes takes the key with it, and gives it back when it returns', () => {
    const path = newFile('here');
    const key = keyFile(path);
    expect(key()).toBe('here');
    renameSync(path, `${path}.away`);
    expect(key).toThrow(/cannot be read/);
    renameSync(`${path}.away`, path);
    expect(key()).toBe('here');
  });

  test('never shows the key in its errors', () => {
    expect(keyFile(newFile('secret one'))).not.toThrow(/secret/);
  });
});
