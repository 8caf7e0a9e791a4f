import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { kubectl } from '../controlplane/crds.ts';
import { freshNamespace, sharedControlPlane, type SharedControlPlane } from '../controlplane/shared.ts';

const examples = new URL('../../crds/examples/', import.meta.url).pathname;
const runtimes = new URL('../../crds/runtimes/', import.meta.url).pathname;
const files = (kind: string): readonly string[] =>
  readdirSync(`${examples}${kind}`).filter((file) => file.endsWith('.yaml'));

/** Whole manifests that pages show, by page. */
const docs = new URL('../../docs/', import.meta.url).pathname;
const manifests = readdirSync(docs, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.md'))
  .flatMap((file) =>
    [...readFileSync(join(docs, file), 'utf8').matchAll(/```yaml\n(apiVersion: .*?)```/gs)].map(
      ([, text = '']) => [file, text] as const,
    ),
  );

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
    expect(manifests.map(([page]) => page)).toEqual(
      expect.arrayContaining(['sft', 'cpt', 'dpo', 'orpo', 'rlhf'].map((method) => `methods/${method}.md`)),
    );
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

  test.each(manifests)('the job of %s is accepted', async (_page, text) => {
    const file = join(mkdtempSync(join(tmpdir(), 'manifest-')), 'job.yaml');
    writeFileSync(file, text);
    const answer = await kubectl(plane, ['apply', '-n', namespace, '--dry-run=server', '-f', file]);
    expect(answer).toContain('(server dry run)');
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
