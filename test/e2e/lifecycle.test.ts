import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kubectl } from '../controlplane/crds.ts';
import { condition, startRig, stubSpec, type Rig } from '../rig/rig.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
  await rig.start();
});
afterAll(() => rig.stop());

describe('the life of a job', () => {
  test('succeeds: pod ended, conditions, ledger and cost agree with the bill', async () => {
    const namespace = await rig.namespace();
    await rig.create(namespace, 'good', stubSpec('succeed'));
    const job = await rig.until(namespace, 'good', ({ status }) => status?.phase === 'Succeeded');
    expect(condition(job, 'Complete')?.status).toBe('True');
    expect(condition(job, 'CleanupDone')?.status).toBe('True');
    expect(condition(job, 'Failed')).toBeUndefined();
    expect(job.status?.best?.step).toBe(30);
    const bill = rig.simulator.bill().filter((line) => line.name.endsWith('-good'));
    expect(bill).toHaveLength(1);
    expect(bill[0]?.endedAt).not.toBeNull();
    expect(Number(job.status?.cost?.accrued)).toBeCloseTo(bill[0]!.totalUsd, 3);
    expect(job.status?.attempts).toHaveLength(1);
    expect(job.status?.attempts?.[0]?.podID).toBe(bill[0]?.id);
  });

  test('kubectl shows, explains, describes and waits as for any other resource', async () => {
    const namespace = await rig.namespace();
    await rig.create(namespace, 'shown', stubSpec('succeed'));
    const until = ['--for=condition=Complete', '--timeout=30s'];
    const waited = await kubectl(rig.plane, ['wait', 'tj/shown', '-n', namespace, ...until]);
    expect(waited).toContain('condition met');
    const columns = (table: string): string[] => (table.split('\n')[0] ?? '').split(/\s+/).filter(Boolean);
    const all = ['NAMESPACE', 'NAME', 'PHASE', 'STEP', 'DONE%', 'SCORE', 'BEST', 'GPU', '$/H', 'COST', 'AGE'];
    const table = await kubectl(rig.plane, ['get', 'tj', '-A']);
    expect(columns(table)).toEqual(all);
    expect(table).toMatch(/shown +Succeeded +30 +100 /);
    const wide = await kubectl(rig.plane, ['get', 'tj', '-A', '-o', 'wide']);
    expect(columns(wide)).toEqual([...all, 'DC', 'ATTEMPTS', 'REASON', 'ETA', 'POD', 'ACCOUNT']);
    const described = await kubectl(rig.plane, ['describe', 'tj', 'shown', '-n', namespace]);
    for (const reason of ['PodRented', 'TrainerConnected', 'NewBest', 'Completed']) expect(described).toContain(reason);
    const explained = await kubectl(rig.plane, ['explain', 'tj.spec', '--recursive']);
    for (const field of ['trainer', 'compute', 'maxPricePerHour', 'heartbeatTimeoutSeconds', 'maxTotal'])
      expect(explained).toContain(field);
    await kubectl(rig.plane, ['delete', 'tj', 'shown', '-n', namespace, '--timeout=30s']);
    await rig.untilGone(namespace, 'shown');
  });

  test('fails with what the trainer said', async () => {
    const namespace = await rig.namespace();
    await rig.create(namespace, 'bad', stubSpec('fail', { runPolicy: { backoffLimit: 0 } }));
    const job = await rig.until(namespace, 'bad', ({ status }) => status?.phase === 'Failed');
    expect(job.status?.failure).toMatchObject({ reason: 'TrainerFailed', exitCode: 1, attempt: 1 });
    expect(condition(job, 'Failed')).toMatchObject({ status: 'True', reason: 'TrainerFailed' });
    expect(rig.simulator.live().filter((pod) => pod.body.name.endsWith('-bad'))).toEqual([]);
  });
});
