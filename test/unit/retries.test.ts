import { describe, expect, test } from 'vitest';
import type { TrainingJobSpec, TrainingJobStatus } from '../../controller/api/trainingjob.ts';
import { attemptOver } from '../../controller/reconcile/attemptover.ts';
import { decide } from '../../controller/reconcile/decide.ts';
import { faultOf, noRetries, retryWaitMs, type Fault } from '../../controller/reconcile/faults.ts';
import { recover } from '../../controller/reconcile/stages/recover.ts';
import { settle } from '../../controller/reconcile/stages/settle.ts';
import { nextStatus } from '../../controller/reconcile/status.ts';
import {
  at,
  attempt,
  final,
  isoAt,
  list,
  pod,
  policy,
  snapshot,
  spec,
  telemetry,
  type SnapshotParts,
} from './snapshot.ts';

const lost = { reason: 'PodLost', message: 'Pod pod1 vanished.' };
const limits = (changes: Partial<TrainingJobSpec['runPolicy']>): Partial<TrainingJobSpec> => ({
  runPolicy: { ...spec.runPolicy, ...changes },
});
const goneLists = [list(-40), list(-15)];

describe('whose fault it was', () => {
  test.each<readonly [string, number | undefined, Fault | undefined]>([
    ['TrainerFailed', 1, 'User'],
    ['TrainerFailed', -9, 'User'],
    ['TrainerFailed', 0, 'User'],
    ['TrainerFailed', 77, 'User'],
    ['OutOfMemory', 4, 'User'],
    ['ArtifactsFailed', 6, 'User'],
    ['NoProgress', 130, 'User'],
    ['NoProgress', undefined, 'User'],
    ['PreflightFailed', 7, 'Host'],
    ['PodLost', undefined, 'Host'],
    ['PodError', undefined, 'Host'],
    ['PodStopped', undefined, 'Host'],
    ['StartDeadlineExceeded', undefined, 'Host'],
    ['HeartbeatLost', undefined, 'Host'],
    ['Preempted', 143, 'Interruption'],
    ['DeadMan', 130, 'Interruption'],
    ['HardEnd', 130, 'Interruption'],
    ['ConfigurationInvalid', 2, undefined],
    ['DataInvalid', 3, undefined],
    ['Diverged', 5, undefined],
    ['Stopped', 130, undefined],
    ['DeadlineExceeded', 130, undefined],
    ['BudgetExceeded', undefined, undefined],
    // Names of members that every object has are no reasons.
    ['constructor', 1, 'User'],
  ])('%s with exit code %s', (reason, exitCode, fault) => {
    expect(faultOf({ reason, ...(exitCode !== undefined && { exitCode }) })).toBe(fault);
  });
});

describe('an attempt that ended', () => {
  const over = (retries: TrainingJobStatus['retries'], parts: SnapshotParts = {}): ReturnType<typeof attemptOver> =>
    attemptOver(snapshot({ ...parts, status: { attempt: attempt(), ...(retries && { retries }) } }), 'x', lost);

  test('is tried again, after a wait, and says how often it may be', () => {
    expect(over(undefined)).toMatchObject({
      record: {
        attempt: { number: 1, end: { ...lost, fault: 'Host', time: isoAt(0) } },
        retries: { user: 0, host: 1, interruption: 0 },
        retryTime: isoAt(10),
      },
      say: {
        reason: 'PodLost',
        message: `Attempt 1 ended: Pod pod1 vanished. It is tried again from ${isoAt(10)} on; after that, 4 of 5 retries are left (spec.runPolicy.hostFaultLimit).`,
      },
      wantsList: true,
    });
    expect(over(undefined).record.outcome).toBeUndefined();
  });

  test.each([
    [4, 5, true],
    [5, 5, false],
    [6, 5, false],
    [0, 0, false],
    [0, 1, true],
  ])('after %i retries of %i: again %s', (host, hostFaultLimit, again) => {
    const plan = over({ user: 2, host, interruption: 20 }, { spec: limits({ hostFaultLimit }) });
    expect(plan.record.outcome?.result).toBe(again ? undefined : 'Failed');
    expect(plan.record.retries?.host).toBe(again ? host + 1 : undefined);
  });

  test('fails with its own reason and a message that names the limit, whatever its length', () => {
    const none = limits({ hostFaultLimit: 0 });
    expect(over(undefined, { spec: none }).record.failure).toEqual({
      reason: 'PodLost',
      message: 'Pod pod1 vanished. Attempt 1 was the last: spec.runPolicy.hostFaultLimit is 0.',
      attempt: 1,
    });
    const long = { ...lost, message: 'm'.repeat(5000) };
    const used = snapshot({ status: { attempt: attempt(), retries: { ...noRetries, host: 5 } } });
    const { failure } = attemptOver(used, 'x', long).record;
    expect(failure?.message).toMatch(/the retries that spec\.runPolicy\.hostFaultLimit allows, 5, are used up\.$/);
    expect(failure?.message.length).toBeLessThanOrEqual(1024);
    expect(over(undefined, { spec: none }).record.retries).toBeUndefined();
  });

  test.each([2, 3, 5, 130])('with exit code %i is not tried again, though it might be', (exitCode) => {
    const report = final({ outcome: 'Failed', exitCode, reason: 'Said', message: 'So.' });
    const plan = decide(
      snapshot({ status: { attempt: attempt() }, pods: [pod()], telemetry: telemetry({ finals: { 1: report } }) }),
    );
    expect(plan.record.failure).toEqual({ reason: 'Said', message: 'So.', exitCode, attempt: 1 });
  });

  test.each([
    [{ user: 1, host: 0, interruption: 0 }, 10],
    [{ user: 0, host: 1, interruption: 1 }, 20],
    [{ user: 1, host: 1, interruption: 1 }, 40],
    [{ user: 0, host: 0, interruption: 6 }, 300],
    [{ user: 100, host: 100, interruption: 1000 }, 300],
    [noRetries, 10],
  ])('%o: the wait doubles up to its most, %i s', (retries, seconds) => {
    expect(retryWaitMs(retries, policy)).toBe(seconds * 1000);
  });
});

describe('between two attempts', () => {
  const ended = { ...lost, time: isoAt(-30), fault: 'Host' as const };
  const retries = { ...noRetries, host: 1 };
  const between = (more: Partial<TrainingJobStatus>, parts: SnapshotParts = {}): ReturnType<typeof snapshot> =>
    snapshot({ ...parts, status: { retries, retryTime: isoAt(5), ...more } });

  test('the pod is ended and proved gone, and its line is in the ledger', () => {
    const observed = attempt({ end: ended, connectedTime: isoAt(-50), billedTo: isoAt(-20) });
    const heard = telemetry({ firstStep: 10, step: 40, logTail: ['so far'], lastReportAt: at(-60) });
    const plan = settle(between({ attempt: observed }, { lists: goneLists, telemetry: heard }));
    expect(plan?.record.ledger).toMatchObject({
      ...lost,
      activeSeconds: 30,
      firstStep: 10,
      lastStep: 40,
      logTail: ['so far'],
    });
    expect(plan?.say.message).toContain('4 of 5 retries are left');
  });

  test('the steps of an earlier attempt are not those of one that reported none', () => {
    const second = attempt({ number: 2, end: ended, billedTo: isoAt(-20) });
    const { ledger } = settle(
      between({ attempt: second }, { lists: goneLists, telemetry: telemetry({ attempt: 2, lastReportAt: at(-60) }) }),
    )!.record;
    expect(ledger).not.toHaveProperty('firstStep');
    expect(ledger).not.toHaveProperty('lastStep');
    expect(ledger?.activeSeconds).toBe(10);
  });

  const gone = attempt({ state: 'Gone', end: ended });
  test('nothing is asked for before its time, and then at once', () => {
    expect(decide(between({ attempt: gone }))).toMatchObject({
      stage: 'recover',
      action: { kind: 'none' },
      requeueAfterMs: 5000,
      say: { reason: 'PodLost' },
    });
    expect(decide(between({ attempt: gone, retryTime: isoAt(0) }))).toMatchObject({
      stage: 'place',
      record: { attempt: { number: 2, state: 'Intent' } },
    });
  });

  test('a pod that was charged too much was no fault: the next is asked for at once', () => {
    const dear = { reason: 'PriceAboveCap', message: '', time: isoAt(-30) };
    const { retryTime: _none, ...rest } = between({}).status;
    expect(recover(snapshot({ status: { ...rest, attempt: attempt({ state: 'Gone', end: dear }) } }))).toBeUndefined();
  });

  test('the budget and the placement deadline hold', () => {
    const line = { number: 1, podName: 'x', candidate: 'small', reason: 'X', cost: '1.00', startTime: isoAt(-60) };
    const attempts = [{ ...line, endTime: isoAt(-20) }];
    expect(decide(between({ attempt: gone, attempts }, { spec: { budget: { maxTotal: '1.00' } } }))).toMatchObject({
      record: { outcome: { reason: 'BudgetExceeded' } },
    });
    const spent = { number: 1, specHash: 'a', activeSeconds: 100 };
    const active = { spec: limits({ activeDeadlineSeconds: 100 }) };
    expect(decide(between({ attempt: gone, attempts, run: spent }, active))).toMatchObject({
      record: { outcome: { reason: 'DeadlineExceeded' } },
    });
    expect(decide(between({ attempt: gone, attempts, run: { ...spent, activeSeconds: 99 } }, active)).stage).toBe(
      'recover',
    );
  });

  test.each([
    ['while its pod ends', attempt({ end: ended }), {}],
    ['after its pod is gone', gone, { lists: goneLists }],
  ] as const)('a success that is reported %s counts: done is done', (_, state, parts) => {
    const heard = telemetry({ finals: { 1: final() } });
    expect(decide(between({ attempt: state }, { ...parts, telemetry: heard }))).toMatchObject({
      record: { outcome: { result: 'Succeeded' } },
    });
  });

  test('a success of the run before does not', () => {
    const heard = telemetry({ finals: { 1: final() } });
    const run = { number: 2, specHash: 'a', firstAttempt: 2, restartToken: '' };
    expect(decide(between({ attempt: gone, run }, { telemetry: heard })).record.outcome).toBeUndefined();
  });

  test('a failure that is reported late changes nothing', () => {
    const heard = telemetry({ finals: { 1: final({ outcome: 'Failed', exitCode: 3 }) } });
    expect(decide(between({ attempt: gone }, { telemetry: heard })).stage).toBe('recover');
  });

  test('the wait is over in status once the next attempt is asked for', () => {
    const before = between({ attempt: gone, retryTime: isoAt(0) });
    const after = nextStatus(before, decide(before));
    expect(after).not.toHaveProperty('retryTime');
    expect(after.retries).toEqual(retries);
  });
});
