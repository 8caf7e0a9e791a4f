import { describe, expect, test } from 'vitest';
import type { TrainingJobStatus } from '../../controller/api/trainingjob.ts';
import { nothing, type Plan, type Say, type StatusRecord } from '../../controller/reconcile/plan.ts';
import { nextStatus } from '../../controller/reconcile/status.ts';
import { attempt, isoAt, snapshot, type SnapshotParts } from './snapshot.ts';

const say: Say = { reason: 'Because', message: 'It is so.' };
const plan = (record: StatusRecord = {}, said: Say = say): Plan => ({ stage: 'x', action: nothing, record, say: said });
const after = (parts: SnapshotParts, record: StatusRecord = {}, said: Say = say): TrainingJobStatus =>
  nextStatus(snapshot(parts), plan(record, said));
const outcome = { result: 'Succeeded', reason: 'TrainerSucceeded', message: 'Done.', time: isoAt(-5) } as const;
const failed = { result: 'Failed', reason: 'PodLost', message: 'Gone.', time: isoAt(-5) } as const;

describe('what is stored', () => {
  test('the start, and the run with the spec as it is', () => {
    const status = after({ status: null }, { started: true });
    expect(status).toMatchObject({
      startTime: isoAt(0),
      run: { number: 1, specHash: expect.stringMatching(/^[0-9a-f]{64}$/) as string },
    });
  });

  test('the run is pinned to the spec of the first intent: until then it may change', () => {
    const first = after({ status: null }, { started: true }).run;
    const spec = { trainer: { custom: { command: ['other'] } } };
    const intent = { attempt: attempt({ state: 'Intent' }) };
    const pinned = after({ status: { run: first! }, spec }, intent).run;
    expect(pinned?.specHash).not.toBe(first?.specHash);
    expect(after({ status: { run: pinned!, ...intent } }, { attempt: attempt() }).run).toEqual(pinned);
  });

  test('an outcome once, whatever comes later (I5)', () => {
    const status = after({ status: { outcome } }, { outcome: failed, failure: { reason: 'PodLost', message: '' } });
    expect(status.outcome).toEqual(outcome);
    expect(status.failure).toBeUndefined();
  });

  test('the newest twenty attempts, each once', () => {
    const line = (number: number, reason = 'X'): NonNullable<TrainingJobStatus['attempts']>[number] => ({
      number,
      podName: 'x',
      candidate: 'small',
      reason,
    });
    const attempts = Array.from({ length: 20 }, (_, index) => line(index + 1));
    expect(after({ status: { attempts } }, { ledger: line(21) }).attempts?.map((entry) => entry.number)).toEqual(
      Array.from({ length: 20 }, (_, index) => index + 2),
    );
    expect(after({ status: { attempts: [line(1)] } }, { ledger: line(1, 'Y') }).attempts).toEqual([line(1, 'Y')]);
  });

  test('what an attempt cost stays spent when its line is no longer listed', () => {
    const line = (number: number): NonNullable<TrainingJobStatus['attempts']>[number] => ({
      number,
      podName: 'x',
      candidate: 'small',
      reason: 'X',
      cost: '0.5000',
    });
    let status: Partial<TrainingJobStatus> = {};
    for (let number = 1; number <= 25; number += 1) status = after({ status }, { ledger: line(number) });
    expect(status.attempts).toHaveLength(20);
    expect(status.cost).toMatchObject({ accrued: '12.5000', earlier: '2.5000' });
  });

  test('refusals by candidate, in the order of the spec, and none of a candidate that is gone', () => {
    const refused = (candidate: string, count = 1): NonNullable<StatusRecord['refusals']>[number] => ({
      candidate,
      class: 'NoCapacity',
      count,
      lastTime: isoAt(-9),
    });
    const status = { placement: { refusals: [refused('large'), refused('removed')] } };
    expect(after({ status }, { refusals: [refused('small')] }).placement?.refusals).toEqual([
      refused('small'),
      refused('large'),
    ]);
    expect(after({ status }, { refusals: [refused('large', 2)] }).placement?.refusals).toEqual([refused('large', 2)]);
    expect(after({ status: { placement: { refusals: [refused('removed')] } } })).not.toHaveProperty('placement');
  });

  test('money, with when it was counted', () => {
    const status = { attempt: attempt({ billedFrom: isoAt(-3600), pricePerHour: '1.00' }) };
    expect(after({ status }).cost).toEqual({ accrued: '1.0000', asOf: isoAt(0) });
    expect(after({ status, spec: { budget: { maxTotal: '1.50' } } }).cost?.remaining).toBe('0.5000');
    expect(after({ status, spec: { budget: { maxTotal: '0.50' } } }).cost?.remaining).toBe('0.0000');
    expect(after({}).cost?.accrued).toBe('0.0000');
  });
});
