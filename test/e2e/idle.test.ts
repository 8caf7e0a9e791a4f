import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startRig, stubSpec, type Rig } from '../rig/rig.ts';

const jobs = 100;
const windowMs = 60_000;

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
  await rig.start({ HEARTBEAT_SECONDS: '5', INVENTORY_CALM_SECONDS: '10', LOG_LEVEL: 'info' });
});
afterAll(() => rig.stop());

interface AuditLine {
  readonly verb: string;
  readonly requestURI: string;
}

/** Requests that the API server took and that change a job or write an Event; the leader's own Lease is no job's. */
function writes(): readonly AuditLine[] {
  const lines = readFileSync(rig.plane.auditLogPath, 'utf8').split('\n').filter(Boolean);
  return lines
    .map((line) => JSON.parse(line) as AuditLine)
    .filter(({ verb }) => ['create', 'update', 'patch', 'delete', 'deletecollection'].includes(verb))
    .filter(({ requestURI }) => /^\/apis\/(training\.finetunelab\.ai|events\.k8s\.io)\//.test(requestURI));
}

test('100 running pods that only send heartbeats: no API write and only the shared list in one minute', async () => {
  const namespace = await rig.namespace();
  const names = Array.from({ length: jobs }, (_, index) => `idle-${index}`);
  for (const name of names) await rig.create(namespace, name, stubSpec('heartbeat'));
  for (const name of names)
    await rig.until(
      namespace,
      name,
      ({ status }) => status?.phase === 'Running' && status.attempt?.trainerVersion !== undefined,
      60_000,
    );
  expect(rig.simulator.live()).toHaveLength(jobs);
  // Two lists further everything that followed the last connection has been written.
  const list = (): Promise<unknown> => rig.simulator.nextCall((call) => call.path === '/v2/pods', 30_000);
  await list();
  await list();

  const writesBefore = writes().length;
  const callsBefore = rig.simulator.calls.length;
  await new Promise((resolve) => setTimeout(resolve, windowMs));
  expect(writes().slice(writesBefore)).toEqual([]);
  const calls = rig.simulator.calls.slice(callsBefore).filter((call) => !call.byPod);
  expect(new Set(calls.map((call) => `${call.method} ${call.path}`))).toEqual(new Set(['GET /v2/pods']));
  expect(calls.length).toBeLessThanOrEqual(windowMs / 10_000 + 1);
  // The heartbeats of this very minute were heard: no job is near its timeout.
  const metrics = await (await fetch(rig.metricsUrl)).text();
  const heard = [...metrics.matchAll(/^trainingjob_last_report_timestamp_seconds\{.*\} (\S+)$/gm)].map((match) =>
    Number(match[1]),
  );
  expect(heard).toHaveLength(jobs);
  expect(Math.min(...heard)).toBeGreaterThan(Date.now() / 1000 - 30);
}, 240_000);
