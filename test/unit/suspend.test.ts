import { describe, expect, test } from 'vitest';
import type { TrainingJobStatus } from '../../controller/api/trainingjob.ts';
import { decide } from '../../controller/reconcile/decide.ts';
import { WriteMemory } from '../../controller/reconcile/memory.ts';
import { observe } from '../../controller/reconcile/observe.ts';
import type { Plan } from '../../controller/reconcile/plan.ts';
import { deadlines, nextDeadlineMs } from '../../controller/reconcile/stages/deadlines.ts';
import { suspend } from '../../controller/reconcile/stages/suspend.ts';
import { nextStatus } from '../../controller/reconcile/status.ts';
import { initialScorer } from '../../controller/scoring/best.ts';
import type { CheckpointSummary } from '../../controller/telemetry/jobtelemetry.ts';
import { ManualClock } from './manualclock.ts';
import {
  at,
  attempt,
  final,
  isoAt,
  list,
  nowMs,
  pod,
  snapshot,
  spec,
  telemetry,
  type SnapshotParts,
  installation,
  policy,
  noRuntimes,
} from './snapshot.ts';

const suspended: SnapshotParts = { spec: { suspend: true } };
const run = (parts: SnapshotParts): Plan => decide(snapshot({ ...suspended, ...parts }));
const stored = (seconds: number, changes: Partial<CheckpointSummary> = {}): CheckpointSummary => ({
  step: 40,
  uri: 'file:///volume/40',
  manifestSHA256: 'c'.repeat(64),
  verified: true,
  time: at(seconds),
  attempt: 1,
  scorer: initialScorer,
  ...changes,
});
const connected = { attempt: attempt({ connectedTime: isoAt(-50) }) };
const asked = (seconds: number): TrainingJobStatus => ({
  attempt: attempt({ connectedTime: isoAt(-50), checkpointing: { time: isoAt(seconds) } }),
});

describe('a job with a pod that is to be suspended', () => {
  test('asks its trainer for a checkpoint, to the millisecond', () => {
    const plan = run({ status: connected, pods: [pod()], telemetry: telemetry(), nowMs: nowMs + 123 });
    expect(plan).toMatchObject({
      stage: 'suspend',
      action: { kind: 'none' },
      record: { attempt: { checkpointing: { time: '2026-03-01T12:00:00.123Z' } } },
      say: { reason: 'AwaitingCheckpoint' },
      requeueAfterMs: 120_000,
    });
    expect(plan.record.attempt?.end).toBeUndefined();
  });

  test.each<readonly [string, readonly CheckpointSummary[], number, string | undefined]>([
    ['nothing stored', [], -5, undefined],
    ['one stored before', [stored(-6)], -5, undefined],
    ['one stored after', [stored(-4)], -5, 'The checkpoint of step 40 was stored'],
    ['one stored at that very time', [stored(-5)], -5, 'The checkpoint of step 40 was stored'],
    ['one that is not verified', [stored(-4, { verified: false })], -5, undefined],
    ['one of another attempt', [stored(-4, { attempt: 2 })], -5, undefined],
    ['none in the grace', [], -120, 'No verified checkpoint came in 120 s'],
  ])('%s', (_, checkpoints, seconds, sentence) => {
    const plan = run({ status: asked(seconds), pods: [pod()], telemetry: telemetry({ checkpoints }) });
    const { end } = plan.record.attempt ?? {};
    expect(end?.reason).toBe(sentence === undefined ? undefined : 'Suspended');
    if (sentence !== undefined) expect(end?.message).toContain(sentence);
    else expect(plan).toMatchObject({ stage: 'track', say: { reason: 'AwaitingCheckpoint' }, requeueAfterMs: 115_000 });
  });

  test('is not waited for where no trainer has connected', () => {
    expect(run({ status: { attempt: attempt() }, pods: [pod()] }).record.attempt?.end?.reason).toBe('Suspended');
  });

  test('goes on when it is not to be suspended any more, and asks anew the next time', () => {
    const plan = decide(snapshot({ status: asked(-5), pods: [pod()], telemetry: telemetry() }));
    expect(plan.stage).toBe('suspend');
    expect(plan.record.attempt).not.toHaveProperty('checkpointing');
  });

  test.each([
    ['a success', final(), { outcome: { result: 'Succeeded' } }],
    ['a failure', final({ outcome: 'Failed', exitCode: 1, reason: 'TrainerFailed' }), { retries: { user: 1 } }],
  ] as const)('%s that is reported meanwhile counts', (_, report, record) => {
    const parts = { status: asked(-5), pods: [pod()], telemetry: telemetry({ finals: { 1: report } }) };
    expect(run(parts).record).toMatchObject(record);
  });

  test.each([
    ['the budget', { budget: { maxTotal: '0.0001' } }, {}, 'BudgetExceeded'],
    ['silence', {}, { lastReportAt: at(-300) }, 'HeartbeatLost'],
  ] as const)('%s still holds', (_, limit, heard, reason) => {
    const parts = { status: asked(-5), pods: [pod()], telemetry: telemetry(heard), spec: { suspend: true, ...limit } };
    const { attempt: recorded } = run(parts).record;
    expect(recorded?.stop?.reason ?? recorded?.end?.reason).toBe(reason);
  });

  test('a stop that was asked for before goes on, and stores a checkpoint itself', () => {
    const stop = { reason: 'BudgetExceeded', message: '', time: isoAt(-5) };
    const parts = { status: { attempt: attempt({ connectedTime: isoAt(-50), stop }) }, telemetry: telemetry() };
    expect(suspend(snapshot({ ...suspended, ...parts, pods: [pod()] }))).toBeUndefined();
  });

  test('a deletion does not wait for a checkpoint', () => {
    const metadata = { deletionTimestamp: isoAt(-1) };
    expect(run({ status: asked(-1), pods: [pod()], metadata }).action.kind).toBe('terminatePod');
  });

  test('its pod is proved gone before it is called suspended', () => {
    const end = { reason: 'Suspended', message: 'Stored.', time: isoAt(-50) };
    const ending = { attempt: attempt({ end, billedTo: isoAt(-49), connectedTime: isoAt(-58) }) };
    expect(run({ status: ending })).toMatchObject({ stage: 'settle', record: {}, wantsList: true });
    const closed = run({ status: ending, lists: [list(-40), list(-15)] });
    expect(closed.record).toMatchObject({
      attempt: { state: 'Gone' },
      ledger: { reason: 'Suspended' },
      suspended: true,
    });
    const resumed = decide(snapshot({ status: ending, lists: [list(-40), list(-15)] }));
    expect(resumed.record.suspended).toBeUndefined();
    expect(closed.record).not.toHaveProperty('retries');
  });
});

describe('a job without a pod that is to be suspended', () => {
  test.each([
    ['before anything', null],
    ['after a refusal', { attempt: attempt({ state: 'Refused' }) }],
    ['after an attempt', { attempt: attempt({ state: 'Gone' }) }],
  ] as const)('%s: rents nothing, and is suspended', (_, status) => {
    const plan = run({ status });
    expect(plan).toMatchObject({
      stage: 'suspended',
      action: { kind: 'none' },
      record: { suspended: true },
      say: { reason: 'JobSuspended' },
    });
    const after = nextStatus(snapshot({ ...suspended, status }), plan);
    expect(after).toMatchObject({ phase: 'Suspended', suspendTime: isoAt(0) });
    const rests = run({ status: after });
    expect(rests.record).toEqual({});
    expect(rests.requeueAfterMs).toBeUndefined();
  });

  test('an intent that was not sent is given up', () => {
    const plan = run({ status: { attempt: attempt({ state: 'Intent' }) }, own: { freshIntent: 1 } });
    expect(plan.record).toMatchObject({ suspended: true, attempt: { state: 'Abandoned' } });
  });

  test('an intent that may have been sent is cleared up first', () => {
    expect(run({ status: { attempt: attempt({ state: 'Intent' }) } }).stage).toBe('unknownOutcome');
  });

  test('a wiped status tells nothing before a list does', () => {
    expect(run({ status: null, lists: [] })).toMatchObject({ stage: 'suspended', record: {}, wantsList: true });
    expect(run({ status: null, pods: [pod()] }).stage).toBe('adopt');
  });

  test('a pod that appears late is ended', () => {
    const status = { attempt: attempt({ number: 2, state: 'Abandoned' }), suspendTime: isoAt(-9) };
    expect(run({ status, pods: [pod()] })).toMatchObject({ action: { kind: 'terminatePod', podID: 'pod1' } });
  });

  test('no deadline runs, and after it the time for placement begins anew', () => {
    const long = { startTime: isoAt(-900_000), suspendTime: isoAt(-800_000) };
    expect(run({ status: long }).stage).toBe('suspended');
    const resumed = decide(snapshot({ status: long }));
    expect(resumed).toMatchObject({ stage: 'suspended', record: { resumed: true } });
    const after = nextStatus(snapshot({ status: long }), resumed);
    expect(after).toMatchObject({ resumeTime: isoAt(0) });
    expect(after).not.toHaveProperty('suspendTime');
    expect(decide(snapshot({ status: after })).stage).toBe('place');
    expect(decide(snapshot({ status: { ...after, resumeTime: isoAt(-14_400) } })).record.outcome?.reason).toBe(
      'PlacementDeadlineExceeded',
    );
  });

  test('its Secrets are not read: what nobody rents for needs none', async () => {
    const env = [{ name: 'A', valueFrom: { secretKeyRef: { name: 'hub', key: 'token' } } }];
    const { job, account, inventory } = snapshot({ spec: { suspend: true, trainer: { ...spec.trainer, env } } });
    const clock = new ManualClock();
    const observed = await observe(
      {
        clock,
        memory: new WriteMemory(0),
        accounts: {
          of: () => ({
            ...account,
            view: () => inventory.view,
            prices: () => undefined,
            closedTo: () => undefined,
          }),
        },
        telemetry: { summary: () => undefined, ingestReadyAtMs: 0 },
        secrets: { readSecretKey: () => Promise.reject(new Error('a Secret was asked for')) },
        lastWords: () => Promise.reject(new Error('a log was read')),
        installation,
        policy,
        runs: { ofJob: () => undefined, succeededBefore: () => undefined },
        runtimes: noRuntimes,
      },
      job,
    );
    expect(observed.missingSecrets).toEqual([]);
    expect(decide(observed).stage).toBe('suspended');
  });

  test('a finished job stays finished', () => {
    const outcome = { result: 'Failed', reason: 'X', time: isoAt(-9) } as const;
    expect(run({ status: { outcome, completionTime: isoAt(-5) } })).toMatchObject({ stage: 'rest' });
  });
});

describe('the time of the run over its attempts', () => {
  const running = (connectedSeconds: number, activeSeconds: number): SnapshotParts => ({
    status: {
      attempt: attempt({ connectedTime: isoAt(connectedSeconds) }),
      run: { number: 1, specHash: 'a', activeSeconds },
    },
    telemetry: telemetry(),
    spec: { runPolicy: { ...spec.runPolicy, activeDeadlineSeconds: 100 } },
  });

  test.each([
    [-39, 60, undefined],
    [-40, 60, 'DeadlineExceeded'],
    [-99, 0, undefined],
    [-1, 500, 'DeadlineExceeded'],
  ])('%i s of this attempt after %i s of those before', (seconds, before, reason) => {
    expect(deadlines(snapshot(running(seconds, before)))?.record.attempt?.stop?.reason).toBe(reason);
  });

  test('the next look is when they reach the limit together', () => {
    expect(nextDeadlineMs(snapshot(running(-30, 60)))).toBe(at(10));
  });

  test('an attempt that is closed adds its own, once', () => {
    const ledger = { number: 1, podName: 'x', candidate: 'small', reason: 'X', activeSeconds: 40 };
    const plan: Plan = { stage: 'x', action: { kind: 'none' }, record: { ledger }, say: { reason: 'X', message: '' } };
    const once = nextStatus(snapshot({ status: { run: { number: 1, specHash: 'a', activeSeconds: 60 } } }), plan);
    expect(once.run?.activeSeconds).toBe(100);
    expect(nextStatus(snapshot({ status: once }), plan).run?.activeSeconds).toBe(100);
  });
});
