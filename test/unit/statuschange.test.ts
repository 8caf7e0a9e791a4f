import { describe, expect, test } from 'vitest';
import type { TrainingJobStatus } from '../../controller/api/trainingjob.ts';
import { decide } from '../../controller/reconcile/decide.ts';
import { nothing, type Plan, type Say, type StatusRecord } from '../../controller/reconcile/plan.ts';
import { nextStatus } from '../../controller/reconcile/status.ts';
import { statusChange } from '../../controller/reconcile/statuschange.ts';
import { at, attempt, isoAt, pod, snapshot, telemetry, type SnapshotParts } from './snapshot.ts';

const say: Say = { reason: 'Because', message: 'It is so.' };
const plan = (record: StatusRecord = {}, said: Say = say): Plan => ({ stage: 'x', action: nothing, record, say: said });
const alertAt = (second: number): NonNullable<TrainingJobStatus['alerts']>[number] => ({
  attempt: 1,
  name: 'BatchHalved',
  severity: 'Warning',
  message: 'memory did not suffice',
  time: isoAt(second),
});
const after = (parts: SnapshotParts, record: StatusRecord = {}, said: Say = say): TrainingJobStatus =>
  nextStatus(snapshot(parts), plan(record, said));

describe('how much a change of status matters', () => {
  const base = after({ status: { attempt: attempt() }, telemetry: telemetry({ step: 5 }) });
  const changed = (change: Partial<TrainingJobStatus>): string => statusChange(base, { ...base, ...change });

  test.each([
    ['nothing', {}, 'none'],
    ['money', { cost: { accrued: '9', asOf: isoAt(9) } }, 'none'],
    [
      'the last report',
      {
        progress: {
          ...base.progress,
          lastReportTime: isoAt(9),
          sequence: 99,
          estimatedRemainingSeconds: 5,
          confidence: 'High',
        },
      },
      'none',
    ],
    ['an undefined member', { failure: undefined as never }, 'none'],
    ['a step', { progress: { ...base.progress, step: 6 } }, 'progress'],
    ['a metric', { metrics: [{ name: 'a', value: '1', step: 1 }] }, 'progress'],
    ['a trial of a search', { search: { trials: 9, complete: 1, pruned: 0, failed: 0 } }, 'progress'],
    ['evaluations since the best', { evalsSinceBest: 4 }, 'progress'],
    ['an alert', { alerts: [alertAt(1)] }, 'urgent'],
    ['the first checkpoint', { checkpoint: { step: 1, uri: 'u', verified: true, time: isoAt(0) } }, 'urgent'],
    ['a new best', { best: { step: 1, score: '1', scorerVersion: 1, verified: false } }, 'urgent'],
    ['a phase', { phase: 'Failed' }, 'urgent'],
    ['a condition', { conditions: [] }, 'urgent'],
    ['the generation', { observedGeneration: 2 }, 'urgent'],
    ['the attempt', { attempt: attempt({ billedTo: isoAt(0) }) }, 'urgent'],
  ] as readonly (readonly [string, Partial<TrainingJobStatus>, string])[])('%s', (_, change, expected) =>
    expect(changed(change)).toBe(expected),
  );

  test('an alert of a kind that was told before is progress', () => {
    const told = { ...base, alerts: [alertAt(1)] };
    expect(statusChange(told, { ...base, alerts: [alertAt(1), alertAt(2)] })).toBe('progress');
    expect(statusChange(told, { ...base, alerts: [alertAt(1), { ...alertAt(2), name: 'Other' }] })).toBe('urgent');
  });

  test('another checkpoint is progress', () => {
    const checkpoint = { step: 1, uri: 'u', verified: true, time: isoAt(0) };
    expect(statusChange({ ...base, checkpoint }, { ...base, checkpoint: { ...checkpoint, step: 2 } })).toBe('progress');
  });

  test('a steady job is written once, however much time passes (I12)', () => {
    const parts = { status: { attempt: attempt() }, pods: [pod()], telemetry: telemetry({ step: 5 }) };
    const first = snapshot(parts);
    const written = nextStatus(first, decide(first));
    const later = snapshot({
      ...parts,
      status: { ...written },
      nowMs: at(200),
      telemetry: telemetry({ step: 5, lastReportAt: at(195), lastSequence: 40 }),
    });
    expect(statusChange(written, nextStatus(later, decide(later)))).toBe('none');
  });
});
