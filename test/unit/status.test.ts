import { describe, expect, test } from 'vitest';
import { conditionIsTrue, nextConditions, type ConditionState } from '../../controller/api/conditions.ts';
import type { Attempt, Condition, Phase, TrainingJobStatus } from '../../controller/api/trainingjob.ts';
import { decide } from '../../controller/reconcile/decide.ts';
import { jobEvents } from '../../controller/reconcile/jobevents.ts';
import { nothing, type Plan, type Say, type StatusRecord } from '../../controller/reconcile/plan.ts';
import { decimal } from '../../controller/reconcile/reported.ts';
import { nextStatus, phaseOf } from '../../controller/reconcile/status.ts';
import { statusChange } from '../../controller/reconcile/statuschange.ts';
import type { BestSummary } from '../../controller/telemetry/jobtelemetry.ts';
import { at, attempt, final, isoAt, pod, snapshot, telemetry, type SnapshotParts } from './snapshot.ts';

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

describe('what the trainer reported', () => {
  const best: BestSummary = {
    step: 60,
    epoch: 0.6,
    evalLoss: 0,
    trainLoss: 0,
    trainLossStep: 0,
    score: 0.25,
    components: { base: 0.25, gap: 0 },
    scorerVersion: 1,
    verified: true,
    uri: 'file:///v/60',
    manifestSHA256: 'ab',
  };

  test('zero is a value', () => {
    const told = telemetry({
      step: 0,
      totalSteps: 200,
      epoch: 0,
      best,
      evalsSinceBest: 0,
      metrics: [{ name: 'eval/loss', value: 0, step: 0, best: 0, bestStep: 0 }],
    });
    expect(after({ telemetry: told })).toMatchObject({
      progress: { step: 0, percentage: 0, epoch: '0' },
      best: { evalLoss: '0', trainLoss: '0', trainLossStep: 0, components: { gap: '0' } },
      evalsSinceBest: 0,
      metrics: [{ value: '0', step: 0, best: '0', bestStep: 0 }],
    });
  });

  test('what is not known is absent', () => {
    const { progress } = after({ telemetry: telemetry() });
    expect(progress).toEqual({ lastReportTime: isoAt(-5), sequence: 3 });
  });

  test('the address of the best weights only once they are verified (promise 3)', () => {
    expect(after({ telemetry: telemetry({ best }) }).best).toMatchObject({
      verified: true,
      uri: 'file:///v/60',
      manifestSHA256: 'ab',
    });
    const unverified = after({ telemetry: telemetry({ best: { ...best, verified: false } }) }).best;
    expect(unverified).toMatchObject({ step: 60, verified: false });
    expect(unverified).not.toHaveProperty('uri');
    expect(unverified).not.toHaveProperty('manifestSHA256');
  });

  test('null where the trainer has no epoch does not break status', () => {
    const told = telemetry({ best: { ...best, epoch: null as never }, epoch: null as never });
    const status = after({ telemetry: told });
    expect(status.best).not.toHaveProperty('epoch');
    expect(status.progress).not.toHaveProperty('epoch');
  });

  test.each([
    [0, 200, 0],
    [1, 3, 33],
    [199, 200, 99],
    [200, 200, 100],
    [300, 200, 100],
    [5, 0, undefined],
  ])('step %d of %d is %s percent', (step, totalSteps, percentage) => {
    expect(after({ telemetry: telemetry({ step, totalSteps }) }).progress?.percentage).toBe(percentage);
  });

  test('a guess that no integer can hold is left out', () => {
    const eta = { remainingSeconds: 1e20, confidence: 'Low' } as const;
    expect(after({ telemetry: telemetry({ eta }) }).progress).not.toHaveProperty('estimatedRemainingSeconds');
    expect(
      after({ telemetry: telemetry({ eta: { ...eta, remainingSeconds: 90.4 } }) }).progress?.estimatedRemainingSeconds,
    ).toBe(90);
  });

  test('stays when the store is lost', () => {
    const status = { progress: { step: 40, sequence: 9 }, evalsSinceBest: 2 };
    expect(after({ status })).toMatchObject(status);
  });

  test('the model, once the attempt reported its end', () => {
    const output = { uri: 'file:///v/models/1', manifestSHA256: 'cd' };
    const told = telemetry({ finals: { 1: final({ output }) } });
    expect(after({ status: { attempt: attempt() }, telemetry: told }).output).toEqual(output);
    expect(after({ status: { attempt: attempt({ number: 2 }) }, telemetry: told }).output).toBeUndefined();
  });

  test.each([
    [0, '0'],
    [-0, '0'],
    [1.0984999999, '1.0985'],
    [-0.1, '-0.1'],
    [0.0001, '0.0001'],
    [0.00001234567, '0.0000123457'],
    [1.234567e-7, '1.23457e-7'],
    [123_456_789, '123457000'],
    [1e12, '1.00000e+12'],
    [1e308, '1.00000e+308'],
  ])('%d is written as %s', (value, text) => {
    expect(decimal(value)).toBe(text);
    expect(text.length).toBeLessThanOrEqual(32);
  });
});

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
    ['evaluations since the best', { evalsSinceBest: 4 }, 'progress'],
    ['the first checkpoint', { checkpoint: { step: 1, uri: 'u', verified: true, time: isoAt(0) } }, 'urgent'],
    ['a new best', { best: { step: 1, score: '1', scorerVersion: 1, verified: false } }, 'urgent'],
    ['a phase', { phase: 'Failed' }, 'urgent'],
    ['a condition', { conditions: [] }, 'urgent'],
    ['the generation', { observedGeneration: 2 }, 'urgent'],
    ['the attempt', { attempt: attempt({ billedTo: isoAt(0) }) }, 'urgent'],
  ] as readonly (readonly [string, Partial<TrainingJobStatus>, string])[])('%s', (_, change, expected) =>
    expect(changed(change)).toBe(expected),
  );

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

describe('events for people', () => {
  const reasons = (before: TrainingJobStatus, next: TrainingJobStatus): readonly string[] =>
    jobEvents(before, next).map((event) => `${event.type} ${event.reason}`);
  const states = (from: Attempt['state'] | undefined, to: Attempt['state']): readonly string[] =>
    reasons(from ? { attempt: attempt({ state: from }) } : {}, { attempt: attempt({ state: to }) });

  test.each([
    [undefined, 'Intent', []],
    ['Intent', 'Observed', ['Normal PodRented']],
    ['Unknown', 'Observed', ['Normal PodAdopted']],
    [undefined, 'Observed', ['Normal PodAdopted']],
    ['Intent', 'Unknown', ['Warning CreateOutcomeUnknown']],
    ['Intent', 'Refused', ['Warning Refused']],
    ['Unknown', 'Abandoned', ['Warning CreateAbandoned']],
    ['Observed', 'Gone', ['Normal PodGone']],
    ['Observed', 'Observed', []],
  ] as const)('from %s to %s', (from, to, expected) => expect(states(from, to)).toEqual(expected));

  test('a refusal tells its class and words', () => {
    const refusals = [
      { candidate: 'small', class: 'Balance' as const, message: 'balance too low', count: 1, lastTime: isoAt(0) },
    ];
    const [event] = jobEvents(
      { attempt: attempt({ state: 'Intent' }) },
      { attempt: attempt({ state: 'Refused' }), placement: { refusals } },
    );
    expect(event).toEqual({
      type: 'Warning',
      reason: 'Balance',
      message: 'Runpod refused candidate small: balance too low',
    });
  });

  test('the trainer, a stop and an end are told once', () => {
    const noted = { reason: 'BudgetExceeded', message: 'x', time: isoAt(0) };
    const next = {
      attempt: attempt({ connectedTime: isoAt(0), stop: noted, end: { ...noted, reason: 'WrongPlace' } }),
    };
    expect(reasons({ attempt: attempt() }, next)).toEqual([
      'Normal TrainerConnected',
      'Warning BudgetExceeded',
      'Warning WrongPlace',
    ]);
    expect(reasons(next, next)).toEqual([]);
  });

  test('each new best, with what its score is made of', () => {
    const best = {
      step: 20,
      score: '0.4',
      scorerVersion: 1,
      verified: false,
      components: { base: '0.5', bonus: '-0.1' },
    };
    expect(jobEvents({}, { best })).toEqual([
      { type: 'Normal', reason: 'NewBest', message: 'Step 20 has the best score so far, 0.4 (base 0.5, bonus -0.1).' },
    ]);
    expect(jobEvents({ best }, { best: { ...best, verified: true } })).toEqual([]);
    expect(reasons({ best }, { best: { ...best, step: 40 } })).toEqual(['Normal NewBest']);
  });

  test('a new run, a suspension and its end', () => {
    const first = { number: 1, specHash: 'a' };
    expect(reasons({ run: first }, { run: { ...first, number: 2 } })).toEqual(['Normal RunBegun']);
    expect(reasons({}, { run: first })).toEqual([]);
    const still = { suspendTime: isoAt(-1) };
    expect(reasons({}, still)).toEqual(['Normal JobSuspended']);
    expect(reasons(still, still)).toEqual([]);
    expect(reasons(still, { resumeTime: isoAt(0) })).toEqual(['Normal JobResumed']);
  });

  test('a best step that was never stored and gives way to one that was', () => {
    const best = { step: 60, score: '0.4', scorerVersion: 1, verified: false };
    const verified = { ...best, step: 40, score: '0.5', verified: true };
    expect(jobEvents({ best }, { best: verified })).toMatchObject([
      { type: 'Warning', reason: 'BestFellBack', message: expect.stringContaining('step 60') as string },
    ]);
    expect(reasons({ best }, { best: { ...verified, score: '0.3' } })).toEqual(['Normal NewBest']);
  });

  test('a stall is told when it begins and when its reason changes', () => {
    const stalled = (reason: string, status: 'True' | 'False' = 'True'): TrainingJobStatus => ({
      conditions: [{ type: 'Stalled', status, reason, message: 'm', lastTransitionTime: isoAt(0) }],
    });
    expect(reasons({}, stalled('SecretMissing'))).toEqual(['Warning SecretMissing']);
    expect(reasons(stalled('SecretMissing'), stalled('SecretMissing'))).toEqual([]);
    expect(reasons(stalled('SecretMissing'), stalled('InvalidCandidate'))).toEqual(['Warning InvalidCandidate']);
    expect(reasons(stalled('SecretMissing'), stalled('Progressing', 'False'))).toEqual([]);
  });

  test('the outcome when it is decided, the end when it is proved', () => {
    expect(reasons({}, { outcome })).toEqual(['Normal TrainerSucceeded']);
    expect(reasons({ outcome }, { outcome, completionTime: isoAt(0) })).toEqual(['Normal Completed']);
    expect(reasons({}, { outcome: failed })).toEqual(['Warning PodLost']);
    expect(reasons({ outcome: failed }, { outcome: failed, completionTime: isoAt(0) })).toEqual(['Warning JobFailed']);
    expect(reasons({ outcome, completionTime: isoAt(0) }, { outcome, completionTime: isoAt(0) })).toEqual([]);
  });
});
