import { describe, expect, test } from 'vitest';
import { conditionIsTrue, nextConditions, type ConditionState } from '../../controller/api/conditions.ts';
import type { Condition, Phase, TrainingJobStatus } from '../../controller/api/trainingjob.ts';
import { nothing, type Plan, type Say, type StatusRecord } from '../../controller/reconcile/plan.ts';
import { nextStatus, phaseOf } from '../../controller/reconcile/status.ts';
import { at, attempt, isoAt, snapshot, telemetry, type SnapshotParts } from './snapshot.ts';

const say: Say = { reason: 'Because', message: 'It is so.' };
const plan = (record: StatusRecord = {}, said: Say = say): Plan => ({ stage: 'x', action: nothing, record, say: said });
const after = (parts: SnapshotParts, record: StatusRecord = {}, said: Say = say): TrainingJobStatus =>
  nextStatus(snapshot(parts), plan(record, said));
const outcome = { result: 'Succeeded', reason: 'TrainerSucceeded', message: 'Done.', time: isoAt(-5) } as const;
const failed = { result: 'Failed', reason: 'PodLost', message: 'Gone.', time: isoAt(-5) } as const;

describe('phase', () => {
  const end = { reason: 'WrongPlace', message: '', time: isoAt(-1) };
  const cases: readonly (readonly [string, TrainingJobStatus, SnapshotParts, Phase])[] = [
    ['nothing asked for', {}, {}, 'Pending'],
    ['an intent', { attempt: attempt({ state: 'Intent' }) }, {}, 'Placing'],
    ['an unknown outcome', { attempt: attempt({ state: 'Unknown' }) }, {}, 'Placing'],
    ['a refusal', { attempt: attempt({ state: 'Refused' }) }, {}, 'Placing'],
    ['an attempt that was given up', { attempt: attempt({ state: 'Abandoned' }) }, {}, 'Placing'],
    ['an attempt that is gone without an outcome', { attempt: attempt({ state: 'Gone' }) }, {}, 'Placing'],
    ['a pod', { attempt: attempt() }, {}, 'Provisioning'],
    ['a trainer that was heard', { attempt: attempt() }, { telemetry: telemetry() }, 'Running'],
    ['a trainer of another attempt', { attempt: attempt({ number: 2 }) }, { telemetry: telemetry() }, 'Provisioning'],
    [
      'a trainer that was heard before the store was lost',
      { attempt: attempt({ connectedTime: isoAt(-9) }) },
      {},
      'Running',
    ],
    [
      'a pod whose end is a fault that is tried again',
      { attempt: attempt({ end: { ...end, fault: 'Host' } }) },
      { telemetry: telemetry() },
      'Recovering',
    ],
    ['the wait for a retry', { attempt: attempt({ state: 'Gone' }), retryTime: isoAt(1) }, {}, 'Recovering'],
    ['that wait, when it is over', { attempt: attempt({ state: 'Gone' }), retryTime: isoAt(0) }, {}, 'Placing'],
    [
      'a checkpoint that is waited for',
      { attempt: attempt({ checkpointing: { time: isoAt(-1) } }) },
      { telemetry: telemetry() },
      'Checkpointing',
    ],
    ['a suspended job', { attempt: attempt({ state: 'Gone' }), suspendTime: isoAt(-1) }, {}, 'Suspended'],
    [
      'a run that begins after another',
      { attempt: attempt({ state: 'Gone' }), run: { number: 2, specHash: 'a', firstAttempt: 2 } },
      {},
      'Pending',
    ],
    ['a pod that is to be ended', { attempt: attempt({ end }) }, { telemetry: telemetry() }, 'Terminating'],
    [
      'a deletion',
      { attempt: attempt() },
      { telemetry: telemetry(), metadata: { deletionTimestamp: isoAt(-1) } },
      'Terminating',
    ],
    ['an outcome', { attempt: attempt(), outcome }, {}, 'Terminating'],
    ['success, proved', { attempt: attempt({ state: 'Gone' }), outcome, completionTime: isoAt(-1) }, {}, 'Succeeded'],
    [
      'failure, proved',
      { attempt: attempt({ state: 'Gone' }), outcome: failed, completionTime: isoAt(-1) },
      {},
      'Failed',
    ],
    [
      'a finished job that is deleted',
      { outcome, completionTime: isoAt(-1) },
      { metadata: { deletionTimestamp: isoAt(-1) } },
      'Succeeded',
    ],
  ];
  test.each(cases)('%s', (_, status, parts, phase) => {
    expect(after({ ...parts, status }).phase).toBe(phase);
  });

  test('a completion time without an outcome is no end', () => {
    expect(phaseOf({ completionTime: isoAt(-1) }, undefined, false, at(0))).toBe('Pending');
  });
});

/** What kstatus makes of an object, as far as it looks at a TrainingJob. */
function kstatus(status: TrainingJobStatus): string {
  if (status.observedGeneration !== 1) return 'InProgress';
  if (conditionIsTrue(status.conditions, 'Reconciling')) return 'InProgress';
  if (conditionIsTrue(status.conditions, 'Stalled')) return 'Failed';
  const ready = status.conditions?.find((condition) => condition.type === 'Ready');
  return ready && ready.status !== 'True' ? 'InProgress' : 'Current';
}

describe('kstatus reads', () => {
  const stalled: Say = { ...say, stalled: true };
  const cases: readonly (readonly [string, TrainingJobStatus, Say, string])[] = [
    ['Pending', {}, say, 'InProgress'],
    ['Pending, stalled', {}, stalled, 'Failed'],
    ['Placing', { attempt: attempt({ state: 'Refused' }) }, say, 'InProgress'],
    ['Placing, stalled', { attempt: attempt({ state: 'Refused' }) }, stalled, 'Failed'],
    ['Provisioning', { attempt: attempt() }, say, 'InProgress'],
    ['Running', { attempt: attempt({ connectedTime: isoAt(-9) }) }, say, 'Current'],
    ['Checkpointing', { attempt: attempt({ checkpointing: { time: isoAt(-1) } }) }, say, 'InProgress'],
    ['Recovering', { attempt: attempt({ state: 'Gone' }), retryTime: isoAt(9) }, say, 'InProgress'],
    ['Suspended', { suspendTime: isoAt(-9) }, say, 'InProgress'],
    ['Terminating', { attempt: attempt(), outcome }, say, 'InProgress'],
    ['Terminating, stalled', { attempt: attempt(), outcome }, stalled, 'Failed'],
    ['Succeeded', { outcome, completionTime: isoAt(-1) }, say, 'Current'],
    ['Failed', { outcome: failed, completionTime: isoAt(-1) }, say, 'Failed'],
  ];
  test.each(cases)('%s', (_, status, said, expected) => {
    const next = after({ status }, {}, said);
    expect(kstatus(next)).toBe(expected);
    expect(conditionIsTrue(next.conditions, 'Reconciling') && conditionIsTrue(next.conditions, 'Stalled')).toBe(false);
  });

  test('a brand-new job, before the operator saw it, as in progress', () => {
    expect(kstatus({ observedGeneration: -1 })).toBe('InProgress');
  });
});

describe('conditions', () => {
  const condition = (parts: SnapshotParts, type: string, said: Say = say): Partial<Condition> | undefined =>
    after(parts, {}, said).conditions?.find((entry) => entry.type === type);

  const cases: readonly (readonly [string, SnapshotParts, string, string | undefined])[] = [
    ['no pod yet', {}, 'PodProvisioned', 'False Because'],
    ['a pod', { status: { attempt: attempt() } }, 'PodProvisioned', 'True PodRented'],
    ['a pod that is gone', { status: { attempt: attempt({ state: 'Gone' }) } }, 'PodProvisioned', 'False PodGone'],
    ['no trainer yet', { status: { attempt: attempt() } }, 'TrainerConnected', 'False NotConnected'],
    [
      'a trainer',
      { status: { attempt: attempt() }, telemetry: telemetry() },
      'TrainerConnected',
      'True HeartbeatFresh',
    ],
    ['a run that is over', { status: { attempt: attempt(), outcome } }, 'TrainerConnected', 'False RunOver'],
    [
      'a deletion in mid-run',
      { status: { attempt: attempt({ connectedTime: isoAt(-9) }) }, metadata: { deletionTimestamp: isoAt(-1) } },
      'TrainerConnected',
      'False RunOver',
    ],
    [
      'silence',
      { status: { attempt: attempt(), outcome: failed, failure: { reason: 'HeartbeatLost', message: 'Silent.' } } },
      'TrainerConnected',
      'False HeartbeatLost',
    ],
    ['no checkpoints asked for', {}, 'CheckpointReady', 'False NotRequested'],
    [
      'none stored yet',
      { spec: { checkpoints: { uri: 'file:///v/c', keepBest: 1, keepLast: 1 } } },
      'CheckpointReady',
      'False AwaitingFirstCheckpoint',
    ],
    [
      'one stored',
      { status: { checkpoint: { step: 5, uri: 'u', verified: true, time: isoAt(-1) } } },
      'CheckpointReady',
      'True ManifestVerified',
    ],
    [
      'one that was not verified',
      { status: { checkpoint: { step: 5, uri: 'u', verified: false, time: isoAt(-1) } } },
      'CheckpointReady',
      'False NotRequested',
    ],
    ['no budget', {}, 'WithinBudget', undefined],
    ['a budget', { spec: { budget: { maxTotal: '5' } } }, 'WithinBudget', 'True WithinBudget'],
    [
      'a stop for the budget',
      {
        spec: { budget: { maxTotal: '5' } },
        status: { attempt: attempt({ stop: { reason: 'BudgetExceeded', message: 'x', time: isoAt(-1) } }) },
      },
      'WithinBudget',
      'False BudgetExceeded',
    ],
    [
      'a failure by the budget',
      {
        spec: { budget: { maxTotal: '5' } },
        status: { outcome: failed, failure: { reason: 'BudgetExceeded', message: 'x' } },
      },
      'WithinBudget',
      'False BudgetExceeded',
    ],
    ['nothing to clean up yet', {}, 'CleanupDone', undefined],
    ['a pod to clean up', { status: { attempt: attempt(), outcome } }, 'CleanupDone', 'False EndingPod'],
    ['all cleaned up', { status: { outcome, completionTime: isoAt(-1) } }, 'CleanupDone', 'True PodsGone'],
    ['Complete before the proof', { status: { attempt: attempt(), outcome } }, 'Complete', undefined],
    ['Complete with it', { status: { outcome, completionTime: isoAt(-1) } }, 'Complete', 'True TrainerSucceeded'],
    ['Complete of a failure', { status: { outcome: failed, completionTime: isoAt(-1) } }, 'Complete', undefined],
    ['Failed of a failure', { status: { outcome: failed, completionTime: isoAt(-1) } }, 'Failed', 'True PodLost'],
    ['Stalled of a failure', { status: { outcome: failed, completionTime: isoAt(-1) } }, 'Stalled', 'True PodLost'],
    ['never suspended', {}, 'Suspended', undefined],
    ['suspended', { status: { suspendTime: isoAt(-1) } }, 'Suspended', 'True JobSuspended'],
    ['Ready while suspended', { status: { suspendTime: isoAt(-1) } }, 'Ready', 'False Because'],
    ['Reconciling while suspended', { status: { suspendTime: isoAt(-1) } }, 'Reconciling', 'False Steady'],
    ['resumed', { status: { resumeTime: isoAt(-1) } }, 'Suspended', 'False JobResumed'],
    [
      'Ready only after success, while running',
      { status: { attempt: attempt() }, telemetry: telemetry(), spec: { readyWhen: 'Succeeded' } },
      'Ready',
      'False Because',
    ],
    [
      'Ready only after success, after it',
      { status: { outcome, completionTime: isoAt(-1) }, spec: { readyWhen: 'Succeeded' } },
      'Ready',
      'True Succeeded',
    ],
    [
      'a silent trainer that is tried again',
      {
        status: { attempt: attempt({ end: { reason: 'HeartbeatLost', message: '', time: isoAt(-1), fault: 'Host' } }) },
      },
      'TrainerConnected',
      'False HeartbeatLost',
    ],
    [
      'an attempt that is over',
      {
        status: {
          attempt: attempt({
            connectedTime: isoAt(-9),
            end: { reason: 'PodLost', message: '', time: isoAt(-1), fault: 'Host' },
          }),
        },
      },
      'TrainerConnected',
      'False AttemptOver',
    ],
    [
      'a trainer that stores a checkpoint',
      { status: { attempt: attempt({ checkpointing: { time: isoAt(-1) } }) } },
      'TrainerConnected',
      'True HeartbeatFresh',
    ],
    ['Ready while running', { status: { attempt: attempt() }, telemetry: telemetry() }, 'Ready', 'True Because'],
    [
      'Ready while deleted',
      { status: { attempt: attempt() }, telemetry: telemetry(), metadata: { deletionTimestamp: isoAt(-1) } },
      'Ready',
      'False Because',
    ],
  ];
  test.each(cases)('%s (%#)', (_, parts, type, expected) => {
    const found = condition(parts, type);
    expect(found && `${found.status} ${found.reason}`).toBe(expected);
  });

  const wanted = (status: boolean, reason = 'R', message = ''): ConditionState => ({
    type: 'Ready',
    status,
    reason,
    message,
  });
  const old: Condition = {
    type: 'Ready',
    status: 'True',
    reason: 'Old',
    message: '',
    lastTransitionTime: isoAt(-99),
    observedGeneration: 1,
  };

  test.each([
    ['the same status keeps its time, whatever its reason', [old], true, isoAt(-99)],
    ['another status has a new one', [old], false, isoAt(0)],
    ['a new condition has one', [], true, isoAt(0)],
    ['the time of another condition is not taken', [{ ...old, type: 'Stalled' }], true, isoAt(0)],
    ['Unknown is neither', [{ ...old, status: 'Unknown' as const }], true, isoAt(0)],
  ])('%s', (_, before, status, time) => {
    expect(nextConditions(before, [wanted(status)], 2, isoAt(0))).toEqual([
      {
        type: 'Ready',
        status: status ? 'True' : 'False',
        reason: 'R',
        message: '',
        observedGeneration: 2,
        lastTransitionTime: time,
      },
    ]);
  });

  test('are bounded, and only those that are wanted stay', () => {
    const next = nextConditions([{ ...old, type: 'Gone' }], [wanted(true, 'R', 'm'.repeat(2000))], 1, isoAt(0));
    expect(next).toHaveLength(1);
    expect(next[0]?.message).toHaveLength(1024);
  });

  test('conditionIsTrue', () => {
    expect(conditionIsTrue([old], 'Ready')).toBe(true);
    expect(conditionIsTrue([{ ...old, status: 'Unknown' }], 'Ready')).toBe(false);
    expect(conditionIsTrue([old], 'Stalled')).toBe(false);
    expect(conditionIsTrue(undefined, 'Ready')).toBe(false);
  });
});
