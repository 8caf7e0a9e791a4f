import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startRig, stubSpec, type Rig } from '../rig/rig.ts';

const dies = 'echo starting; printenv TRAININGJOB_TOKEN; echo "No module named torch" >&2; exit 1';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig({ images: { 'broken:1': ['sh', '-c', dies] }, restartMs: 300 });
  await rig.start();
});
afterAll(() => rig.stop());

const broken = {
  ...stubSpec('never'),
  trainer: { custom: { image: 'broken:1', command: ['train'] } },
  runPolicy: { startDeadlineSeconds: 2, hostFaultLimit: 0 },
};

/** How long a pod billed beyond the moment from which it was to be ended. */
function endedLateSeconds(job: NonNullable<ReturnType<Rig['get']>>): number {
  const line = rig.simulator.bill().find(({ id }) => id === job.status?.attempt?.podID);
  const endedMs = Date.parse(line?.endedAt ?? '');
  return (endedMs - Date.parse(job.status?.outcome?.time ?? '')) / 1000;
}

function logReads(job: NonNullable<ReturnType<Rig['get']>>): number {
  return rig.simulator.calls.filter(({ path }) => path === `/v2/pods/${job.status?.attempt?.podID}/logs`).length;
}

describe('the last words of a pod whose agent never spoke', () => {
  test('an image that dies at once: status shows what its container said, without its token', async () => {
    const namespace = await rig.namespace();
    await rig.create(namespace, 'dies', broken);
    const job = await rig.until(namespace, 'dies', ({ status }) => status?.phase === 'Failed');
    expect(job.status?.failure).toMatchObject({ reason: 'StartDeadlineExceeded' });
    const [entry] = job.status?.attempts ?? [];
    expect(entry?.logSource).toBe('Container');
    expect(entry?.logTail).toEqual(
      expect.arrayContaining(['starting', '[hidden]', 'No module named torch', 'system: container exited: 1']),
    );
    expect(JSON.stringify(job)).not.toContain('tj1.');
    expect(job.status?.attempt).not.toHaveProperty('containerLog');
  });

  test('an agent that reported its end has told enough: the log is not read', async () => {
    const namespace = await rig.namespace();
    await rig.create(namespace, 'told', stubSpec('fail', { runPolicy: { backoffLimit: 0 } }));
    const job = await rig.until(namespace, 'told', ({ status }) => status?.phase === 'Failed');
    expect(rig.simulator.calls.filter(({ path }) => path === `/v2/pods/${job.status?.attempt?.podID}/logs`)).toEqual(
      [],
    );
  });

  // The one that fails comes last: after it no log is asked for in the next minute.
  test.each(['silentLogs', 'hangLogs'] as const)('%s: the pod is ended all the same, a moment later', async (kind) => {
    const namespace = await rig.namespace();
    rig.simulator.fault({ kind });
    await rig.create(namespace, 'hung', broken);
    const job = await rig.until(namespace, 'hung', ({ status }) => status?.phase === 'Failed');
    // The outcome has whole seconds.
    expect(endedLateSeconds(job)).toBeLessThan(4);
    expect(job.status?.attempts?.[0]).not.toHaveProperty('logTail');
    expect(logReads(job)).toBe(1);
  });
});
