import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { condition, startRig, stubSpec, type Rig } from '../rig/rig.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
  await rig.start();
});
afterAll(() => rig.stop());

const bill = (name: string): ReturnType<Rig['simulator']['bill']> =>
  rig.simulator.bill().filter((line) => line.name.endsWith(`-${name}`));

async function failed(name: string, spec: object): Promise<NonNullable<ReturnType<Rig['get']>>> {
  const namespace = await rig.namespace();
  await rig.create(namespace, name, spec);
  const job = await rig.until(namespace, name, ({ status }) => status?.phase === 'Failed', 40_000);
  expect(condition(job, 'Failed')?.reason).toBe(job.status?.failure?.reason);
  expect(condition(job, 'CleanupDone')?.status).toBe('True');
  expect(bill(name).filter((line) => line.endedAt === null)).toEqual([]);
  return job;
}

describe('deadlines, silence and budget end a job and its pod', () => {
  test('no pod within placementDeadlineSeconds', async () => {
    const candidates = [{ name: 'dear', gpu: { type: 'NVIDIA L40S', count: 1 }, maxPricePerHour: '0.01' }];
    const job = await failed(
      'placement',
      stubSpec('succeed', { compute: { candidates }, runPolicy: { placementDeadlineSeconds: 2 } }),
    );
    expect(job.status?.failure?.reason).toBe('PlacementDeadlineExceeded');
    expect(bill('placement')).toEqual([]);
  });

  test('a trainer that never connects within startDeadlineSeconds', async () => {
    const job = await failed('never', stubSpec('never', { runPolicy: { startDeadlineSeconds: 2, hostFaultLimit: 0 } }));
    expect(job.status?.failure?.reason).toBe('StartDeadlineExceeded');
    expect(job.status?.failure?.message).toContain('check that the image exists');
    expect(bill('never')).toHaveLength(1);
  });

  test('a trainer that falls silent for heartbeatTimeoutSeconds', async () => {
    const job = await failed(
      'silent',
      stubSpec('silent', { watchdog: { heartbeatTimeoutSeconds: 5 }, runPolicy: { hostFaultLimit: 0 } }),
    );
    expect(job.status?.failure?.reason).toBe('HeartbeatLost');
    expect(job.status?.attempts).toMatchObject([{ number: 1, reason: 'HeartbeatLost' }]);
  });

  test('activeDeadlineSeconds: the trainer is asked to stop, and confirms', async () => {
    const job = await failed('active', stubSpec('heartbeat', { runPolicy: { activeDeadlineSeconds: 2 } }));
    expect(job.status?.failure).toMatchObject({ reason: 'DeadlineExceeded', exitCode: 130 });
    expect(job.status?.attempt?.stop?.reason).toBe('DeadlineExceeded');
  });

  test('activeDeadlineSeconds: a trainer that ignores the stop gets its grace and no more', async () => {
    const job = await failed('stubborn', stubSpec('stubborn', { runPolicy: { activeDeadlineSeconds: 1 } }));
    expect(job.status?.failure?.reason).toBe('DeadlineExceeded');
    expect(job.status?.failure?.message).toContain('did not confirm the stop in 5 s');
  });

  test('budget.maxTotal: stopped before it is spent, and the bill stays below it', async () => {
    // A cent for each second.
    rig.simulator.fault({ kind: 'chargedRate', costUsdPerHour: 36, match: 'budget', times: null });
    const job = await failed('budget', stubSpec('heartbeat', { budget: { maxTotal: '0.10' } }));
    expect(job.status?.failure).toMatchObject({ reason: 'BudgetExceeded', exitCode: 130 });
    expect(condition(job, 'WithinBudget')).toMatchObject({ status: 'False', reason: 'BudgetExceeded' });
    expect(bill('budget')[0]?.totalUsd).toBeLessThanOrEqual(0.1);
    expect(bill('budget')[0]?.totalUsd).toBeGreaterThan(0.05);
  });

  test('a raised budget lets a job go on', async () => {
    rig.simulator.fault({ kind: 'chargedRate', costUsdPerHour: 3.6, match: 'raised', times: null });
    const namespace = await rig.namespace();
    await rig.create(namespace, 'raised', stubSpec('heartbeat', { budget: { maxTotal: '0.01' } }));
    await rig.until(namespace, 'raised', ({ status }) => status?.phase === 'Running');
    await rig.patch(namespace, 'raised', { spec: { budget: { maxTotal: '100.00' } } });
    await rig.until(
      namespace,
      'raised',
      ({ metadata, status }) => status?.observedGeneration === metadata.generation && metadata.generation > 1,
    );
    // The bill goes on while the status rests; lists of pods come all the time.
    await rig.simulator.nextCall(() => (bill('raised')[0]?.totalUsd ?? 0) > 0.012, 40_000);
    expect(rig.get(namespace, 'raised')?.status?.phase).toBe('Running');
  });
});
