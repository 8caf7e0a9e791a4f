import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { applyCrds } from './crds.ts';
import { findBinaries } from './binaries.ts';
import { startControlPlane, type ControlPlane } from './controlplane.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Unix socket that answers with the run's control plane, started for the first who asks. */
    readonly controlPlaneSocket: string;
  }
}

/**
 * Makes sure that the binaries are there, and gives the run one control plane that starts when the first test asks for it:
 * a run of unit tests pays nothing. Returns the teardown.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  await findBinaries(say);
  const folder = await mkdtemp(join(tmpdir(), 'trainingjob-run-'));
  const socket = join(folder, 'controlplane.sock');
  let plane: Promise<ControlPlane> | undefined;
  const server = createServer((connection) => {
    connection.on('error', () => connection.destroy());
    plane ??= start(say);
    plane.then(
      (started) => connection.end(JSON.stringify(started)),
      (error: unknown) => connection.end(JSON.stringify({ error: String(error) })),
    );
  });
  await new Promise<void>((resolve) => {
    server.listen(socket, resolve);
  });
  project.provide('controlPlaneSocket', socket);
  return async () => {
    server.close();
    await plane?.then(
      (started) => started.stop(),
      () => undefined,
    );
    await rm(folder, { recursive: true, force: true });
  };
}

async function start(say: (line: string) => void): Promise<ControlPlane> {
  const plane = await startControlPlane({ say });
  try {
    await applyCrds(plane);
    return plane;
  } catch (error) {
    await plane.stop();
    throw error;
  }
}
