import { mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startControlPlane, type ControlPlane } from '../controlplane/controlplane.ts';
import { applyCrds } from '../controlplane/crds.ts';
import { freePorts, startOperatorProcess, type OperatorProcess } from '../rig/process.ts';
import { startSimulator, type Simulator } from '../runpod/simulator.ts';

let plane: ControlPlane;
let simulator: Simulator;
let folder: string;
let ports: readonly number[];
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'trainingjob-start-'));
  [plane, simulator, ports] = await Promise.all([
    startControlPlane(),
    startSimulator({ folder: join(folder, 'runpod') }),
    freePorts(2),
  ]);
  writeFileSync(join(folder, 'key'), simulator.apiKey);
});
afterAll(async () => {
  await Promise.all([plane.stop(), simulator.stop()]);
  await rm(folder, { recursive: true, force: true });
});

const start = (): Promise<OperatorProcess> =>
  startOperatorProcess(
    {
      PATH: process.env['PATH'],
      KUBECONFIG: plane.kubeconfigPath,
      RUNPOD_API_URL: simulator.url,
      RUNPOD_API_KEY_FILE: join(folder, 'key'),
      TRAINER_IMAGE: 'stub:heartbeat',
      TELEMETRY_URL: `http://127.0.0.1:${ports[0]}`,
      TELEMETRY_LISTEN: `127.0.0.1:${ports[0]}`,
      METRICS_LISTEN: `127.0.0.1:${ports[1]}`,
      STORE_PATH: join(folder, 'store.sqlite'),
    },
    join(folder, 'operator.log'),
  );
const readiness = async (): Promise<string> => (await fetch(`http://127.0.0.1:${ports[1]}/readyz`)).text();

test('without the resource definition the operator says so, can be ended, and goes on when it is there', async () => {
  const first = await start();
  await expect.poll(readiness, { timeout: 10_000 }).toContain('are the files in crds/ applied?');
  await first.end();
  const second = await start();
  await expect.poll(readiness, { timeout: 10_000 }).toContain('are the files in crds/ applied?');
  await applyCrds(plane);
  await expect.poll(readiness, { timeout: 40_000 }).toBe('ok\n');
  await second.end();
}, 120_000);
