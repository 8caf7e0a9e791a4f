import { readdirSync, readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { kubectl } from '../controlplane/crds.ts';
import { freshNamespace, sharedControlPlane, type SharedControlPlane } from '../controlplane/shared.ts';

const examples = new URL('../../crds/examples/', import.meta.url).pathname;
const runtimes = new URL('../../crds/runtimes/', import.meta.url).pathname;
const files = (kind: string): readonly string[] =>
  readdirSync(`${examples}${kind}`).filter((file) => file.endsWith('.yaml'));

let plane: SharedControlPlane;
let namespace: string;
beforeAll(async () => {
  plane = await sharedControlPlane();
  namespace = await freshNamespace(plane, 'examples');
});

const apply = (file: string): Promise<string> => kubectl(plane, ['apply', '-n', namespace, '-f', file]);

describe('examples, applied to a real API server', () => {
  test('there are enough of them', () => {
    expect(files('valid').length).toBeGreaterThanOrEqual(5);
    expect(files('invalid').length).toBeGreaterThanOrEqual(10);
  });

  test.each(files('valid'))('valid/%s is accepted', async (file) => {
    expect(await apply(`${examples}valid/${file}`)).toContain('created');
  });

  test.each(readdirSync(runtimes))('runtimes/%s is accepted, and named after its file', async (file) => {
    expect(await apply(`${runtimes}${file}`)).toContain(`${file.replace('.yaml', '')} created`);
  });

  test.each(files('invalid'))('invalid/%s is refused with its sentence', async (file) => {
    const path = `${examples}invalid/${file}`;
    const sentence = /^# refused: (.*)$/m.exec(readFileSync(path, 'utf8'))?.[1];
    expect(sentence).toBeDefined();
    await expect(apply(path)).rejects.toThrow(sentence);
  });

  test('a new job reads as in progress to kstatus before the operator has seen it', async () => {
    const name = (await kubectl(plane, ['get', 'tj', '-n', namespace, '-o', 'name'])).split('\n')[0] ?? '';
    const generation = await kubectl(plane, [
      'get',
      '-n',
      namespace,
      name,
      '-o',
      'jsonpath={.status.observedGeneration}',
    ]);
    expect(generation).toBe('-1');
  });
});
