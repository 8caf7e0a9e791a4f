import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { ControlPlane } from './controlplane.ts';

const crdFolder = new URL('../../crds/', import.meta.url).pathname;

/** Applies the project's resource definitions and waits until the API server serves them. */
export async function applyCrds(plane: Pick<ControlPlane, 'kubectlPath' | 'kubeconfigPath'>): Promise<void> {
  const files = (await readdir(crdFolder)).filter((file) => file.endsWith('.yaml'));
  if (files.length === 0) return;
  const from = files.flatMap((file) => ['-f', crdFolder + file]);
  await kubectl(plane, ['apply', ...from]);
  await established(plane, from);
}

/** `kubectl wait` fails, instead of waiting, while a definition that was just made has no conditions at all. */
async function established(
  plane: Pick<ControlPlane, 'kubectlPath' | 'kubeconfigPath'>,
  from: readonly string[],
): Promise<void> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    try {
      await kubectl(plane, ['wait', '--for=condition=Established', '--timeout=30s', ...from]);
      return;
    } catch (error) {
      if (performance.now() > deadline || !String(error).includes('accessor error')) throw error;
    }
  }
}

/** What kubectl printed; a failure carries what it said on standard error. */
export async function kubectl(
  plane: Pick<ControlPlane, 'kubectlPath' | 'kubeconfigPath'>,
  args: readonly string[],
): Promise<string> {
  const { stdout } = await promisify(execFile)(plane.kubectlPath, ['--kubeconfig', plane.kubeconfigPath, ...args], {
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout;
}
