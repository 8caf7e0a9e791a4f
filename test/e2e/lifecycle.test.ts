import { afterAll, beforeAll, describe, expect, test } from 'vitest';
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

  test('fails with what the trainer said', async () => {
    const namespace = await rig.namespace();
    await rig.create(namespace, 'bad', stubSpec('fail', { runPolicy: { backoffLimit: 0 } }));
    const job = await rig.until(namespace, 'bad', ({ status }) => status?.phase === 'Failed');
    expect(job.status?.failure).toMatchObject({ reason: 'TrainerFailed', exitCode: 1, attempt: 1 });
    expect(condition(job, 'Failed')).toMatchObject({ status: 'True', reason: 'TrainerFailed' });
    expect(rig.simulator.live().filter((pod) => pod.body.name.endsWith('-bad'))).toEqual([]);
  });
});
