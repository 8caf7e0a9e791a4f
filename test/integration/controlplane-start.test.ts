import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, readdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { kubectl } from '../controlplane/crds.ts';
import { freshNamespace, sharedControlPlane, type SharedControlPlane } from '../controlplane/shared.ts';

const main = new URL('../controlplane/main.ts', import.meta.url).pathname;

test('the shared control plane serves, asks for authorization and writes an audit log', async () => {
  const plane = await sharedControlPlane();
  const namespace = await freshNamespace(plane);
  expect(await kubectl(plane, ['get', 'namespace', namespace, '-o', 'name'])).toBe(`namespace/${namespace}\n`);
  const as = `system:serviceaccount:${namespace}:reader`;
  await expect(kubectl(plane, ['get', 'secrets', '-n', namespace, '--as', as])).rejects.toThrow(/cannot list resource/);
  expect(await readFile(plane.auditLogPath, 'utf8')).toContain(namespace);
});

test('a control plane whose owner is killed leaves neither processes nor files', async () => {
  const owner = spawn(process.execPath, [main], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = (await once(createInterface(owner.stdout), 'line')) as [string];
  const plane = JSON.parse(line) as SharedControlPlane;
  const folder = dirname(plane.auditLogPath);
  await access(folder);
  const children = await processesOf(folder);
  expect(children).toHaveLength(2);
  owner.kill('SIGKILL');
  await expect.poll(() => processesOf(folder), { timeout: 10_000 }).toEqual([]);
  await expect
    .poll(
      () =>
        access(folder).then(
          () => 'there',
          () => 'gone',
        ),
      { timeout: 10_000 },
    )
    .toBe('gone');
});

/** Ids of the processes that name `folder` on their command line. */
async function processesOf(folder: string): Promise<number[]> {
  const found: number[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const words = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (words.includes(folder)) found.push(Number(pid));
  }
  return found;
}
