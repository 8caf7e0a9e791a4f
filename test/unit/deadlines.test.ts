import { describe, expect, test } from 'vitest';
import type { TrainingJobSpec, TrainingJobStatus } from '../../controller/api/trainingjob.ts';
import { decide } from '../../controller/reconcile/decide.ts';
import type { Plan } from '../../controller/reconcile/plan.ts';
import { connectedAtMs, deadlines, nextDeadlineMs } from '../../controller/reconcile/stages/deadlines.ts';
import { at, attempt, final, isoAt, nowMs, pod, snapshot, spec, telemetry, type SnapshotParts } from './snapshot.ts';

const run = (parts: SnapshotParts): Plan | undefined => deadlines(snapshot(parts));
/** Why the job fails, or the attempt ends and is tried again. */
const reason = (parts: SnapshotParts): string | undefined => {
  const { outcome, attempt: ended } = run(parts)?.record ?? {};
  return outcome?.reason ?? ended?.end?.reason;
};
const policyOf = (changes: Partial<TrainingJobSpec['runPolicy']>): Partial<TrainingJobSpec> => ({
  runPolicy: { ...spec.runPolicy, ...changes },
});
const connected = attempt({ connectedTime: isoAt(-50) });

describe('without a pod', () => {
  const placing = (startedSeconds: number, more: Partial<TrainingJobStatus> = {}): SnapshotParts => ({
    status: { startTime: isoAt(startedSeconds), ...more },
  });

  const line = (
    number: number,
    endSeconds: number,
    rented: boolean,
  ): NonNullable<TrainingJobStatus['attempts']>[number] => ({
    number,
    podName: 'x',
    candidate: 'small',
    reason: 'X',
    endTime: isoAt(endSeconds),
    ...(rented && { startTime: isoAt(endSeconds - 10) }),
  });

  const cases: readonly (readonly [string, SnapshotParts, string | undefined])[] = [
    ['within the time for placement', placing(-14_399), undefined],
    ['when it is over', placing(-14_400), 'PlacementDeadlineExceeded'],
    ['a job that is not taken up yet', { status: null }, undefined],
    [
      'refused candidates do not stop the clock',
      placing(-14_400, { attempt: attempt({ state: 'Refused' }) }),
      'PlacementDeadlineExceeded',
    ],
    ['an attempt that had a pod starts it anew', placing(-20_000, { attempts: [line(1, -14_399, true)] }), undefined],
    ['from the end of that pod', placing(-30_000, { attempts: [line(1, -14_400, true)] }), 'PlacementDeadlineExceeded'],
    [
      'one whose pod never appeared does not',
      placing(-14_400, { attempts: [line(1, -5, false)] }),
      'PlacementDeadlineExceeded',
    ],
    [
      'nor does one after it',
      placing(-30_000, { attempts: [line(1, -14_400, true), line(2, -5, false)] }),
      'PlacementDeadlineExceeded',
    ],
    ['an unknown outcome is waited for', placing(-14_400, { attempt: attempt({ state: 'Unknown' }) }), undefined],
    ['an intent that may have been sent too', placing(-14_400, { attempt: attempt({ state: 'Intent' }) }), undefined],
    [
      'an intent that was not sent is no pod',
      { ...placing(-14_400, { attempt: attempt({ state: 'Intent' }) }), own: { freshIntent: 1 } },
      'PlacementDeadlineExceeded',
    ],
    ['an outcome stands', placing(-14_400, { outcome: { result: 'Failed', reason: 'X', time: isoAt(-1) } }), undefined],
  ];
  test.each(cases)('%s', (_, parts, expected) => expect(reason(parts)).toBe(expected));

  test('an intent that an obstacle holds back for ever fails in the end', () => {
    const parts = {
      status: { startTime: isoAt(-14_400), attempt: attempt({ state: 'Intent' }) },
      own: { freshIntent: 1 },
    };
    const plan = decide(snapshot({ ...parts, missingSecrets: ['env A: no Secret.'] }));
    expect(plan.record.outcome?.reason).toBe('PlacementDeadlineExceeded');
  });

  test('money that earlier pods have used up ends the job', () => {
    const spent = { ...line(1, -5, true), cost: '0.9500' };
    const parts = { ...placing(-100, { attempts: [spent] }), spec: { budget: { maxTotal: '0.95' } } };
    expect(reason(parts)).toBe('BudgetExceeded');
    expect(reason({ ...parts, spec: { budget: { maxTotal: '2.00' } } })).toBeUndefined();
  });
});

describe('a pod whose trainer has not connected', () => {
  const starting = (createdSeconds: number, more: SnapshotParts = {}): SnapshotParts => ({
    status: { attempt: attempt({ createTime: isoAt(createdSeconds), billedFrom: isoAt(createdSeconds) }) },
    ...more,
  });
  const cases: readonly (readonly [string, SnapshotParts, string | undefined])[] = [
    ['has until the start deadline', starting(-1199), undefined],
    ['and no longer', starting(-1200), 'StartDeadlineExceeded'],
    [
      'an earlier attempt that connected does not count',
      starting(-1200, {
        status: { attempt: attempt({ number: 2, createTime: isoAt(-1200) }) },
        telemetry: telemetry(),
      }),
      'StartDeadlineExceeded',
    ],
    ['the first contact does', starting(-1200, { telemetry: telemetry() }), undefined],
    ['our own outage does not use up its time', starting(-5000, { ingestReadyAtMs: at(-299) }), undefined],
    ['nor does our return shorten it', starting(-1199, { ingestReadyAtMs: at(-1000) }), undefined],
    [
      'from our return on it has as long as silence may last',
      starting(-5000, { ingestReadyAtMs: at(-300) }),
      'StartDeadlineExceeded',
    ],
    [
      'a final report is stronger',
      starting(-1200, { telemetry: telemetry({ attempt: 2, finals: { 1: final() } }) }),
      undefined,
    ],
  ];
  test.each(cases)('%s', (_, parts, expected) => expect(reason(parts)).toBe(expected));
});

test.each([
  ['Push', "pods can reach the operator's address"],
  ['Pull', "the operator can reach the pod's HTTP port (its setting RUNPOD_PROXY_URL)"],
] as const)('what to look at when a trainer does not connect depends on who calls whom: %s', (transport, words) => {
  const plan = deadlines(snapshot({ status: { attempt: attempt({ createTime: isoAt(-1200), transport }) } }));
  expect(plan?.record.attempt?.end?.message).toContain(words);
});

describe('a trainer that falls silent', () => {
  const silent = (seconds: number, more: SnapshotParts = {}): SnapshotParts => ({
    status: { attempt: connected },
    telemetry: telemetry({ lastReportAt: at(-seconds) }),
    ...more,
  });
  const cases: readonly (readonly [string, SnapshotParts, string | undefined])[] = [
    ['is alive within the timeout', silent(299), undefined],
    ['is dead after it', silent(300), 'HeartbeatLost'],
    ['is not while we could not hear it', silent(900, { ingestReadyAtMs: at(-299) }), undefined],
    ['is dead a whole timeout after we could', silent(900, { ingestReadyAtMs: at(-300) }), 'HeartbeatLost'],
    [
      'is dead where the store is lost, a timeout after its first contact',
      { status: { attempt: attempt({ connectedTime: isoAt(-300) }) } },
      'HeartbeatLost',
    ],
    [
      'reported its end before',
      silent(900, { telemetry: telemetry({ lastReportAt: at(-900), finals: { 1: final() } }) }),
      undefined,
    ],
  ];
  test.each(cases)('%s', (_, parts, expected) => expect(reason(parts)).toBe(expected));
});

describe('the time of the run', () => {
  const running = (connectedSeconds: number, limit: number): SnapshotParts => ({
    status: { attempt: attempt({ connectedTime: isoAt(connectedSeconds) }) },
    telemetry: telemetry(),
    spec: policyOf({ activeDeadlineSeconds: limit }),
  });

  test('has no limit unless the spec names one', () => {
    expect(
      run({ status: { attempt: attempt({ connectedTime: isoAt(-900_000) }) }, telemetry: telemetry() }),
    ).toBeUndefined();
  });

  test.each([
    [-99, 100, false],
    [-100, 100, true],
    [-1, 1, true],
  ])('connected %d s ago with a limit of %d s: stop %s', (connectedSeconds, limit, stops) => {
    const plan = run(running(connectedSeconds, limit));
    expect(plan?.record.attempt?.stop?.reason).toBe(stops ? 'DeadlineExceeded' : undefined);
    if (stops) {
      expect(plan).toMatchObject({
        action: { kind: 'none' },
        requeueAfterMs: 120_000,
        say: { reason: 'DeadlineExceeded' },
      });
      expect(plan?.record.outcome).toBeUndefined();
    }
  });

  test('a stop is asked for once', () => {
    const stop = { reason: 'DeadlineExceeded', message: 'Too long.', time: isoAt(-5) };
    const parts = running(-100, 100);
    expect(run({ ...parts, status: { attempt: attempt({ connectedTime: isoAt(-100), stop }) } })).toBeUndefined();
  });
});

describe('a trainer that was asked to stop', () => {
  const stopping = (askedSeconds: number, more: SnapshotParts = {}): SnapshotParts => ({
    status: {
      attempt: attempt({
        connectedTime: isoAt(-300),
        stop: { reason: 'BudgetExceeded', message: 'Money is used up.', time: isoAt(askedSeconds) },
      }),
    },
    telemetry: telemetry(),
    ...more,
  });

  test.each([
    ['has its grace', stopping(-119), undefined],
    ['and no more', stopping(-120), 'BudgetExceeded'],
    ['not even a grace of zero is forgotten', stopping(0, { policy: { stopGraceMs: 0 } }), 'BudgetExceeded'],
    [
      'its report in the last moment counts',
      stopping(-120, { telemetry: telemetry({ finals: { 1: final() } }) }),
      undefined,
    ],
    ['silence ends it before', stopping(-60, { telemetry: telemetry({ lastReportAt: at(-300) }) }), 'HeartbeatLost'],
  ] as const)('%s', (_, parts, expected) => expect(reason(parts)).toBe(expected));
});

describe('a trainer that gets no further', () => {
  const stuck = (seconds: number | undefined, more: SnapshotParts = {}): SnapshotParts => ({
    status: { attempt: attempt({ connectedTime: isoAt(-9000) }) },
    telemetry: telemetry(seconds === undefined ? {} : { progressAt: at(-seconds) }),
    ...more,
  });
  const stopped = (parts: SnapshotParts): string | undefined => run(parts)?.record.attempt?.stop?.reason;
  const ended = (graceSeconds: number): TrainingJobStatus => ({
    attempt: attempt({
      connectedTime: isoAt(-9000),
      stop: { reason: 'NoProgress', message: 'No new step.', time: isoAt(-graceSeconds) },
    }),
  });

  test.each([
    ['has its time', stuck(1799), undefined],
    ['is asked to stop, with a checkpoint', stuck(1800), 'NoProgress'],
    ['is not blamed for our absence', stuck(9000, { ingestReadyAtMs: at(-1799) }), undefined],
    ['is not judged where it never told a step or a stage', stuck(undefined), undefined],
    ['is not judged by an earlier attempt', stuck(9000, { telemetry: telemetry({ attempt: 2 }) }), undefined],
    ['is let be once it has ended', stuck(9000, { telemetry: telemetry({ finals: { 1: final() } }) }), undefined],
  ] as const)('%s', (_, parts, expected) => expect(stopped(parts)).toBe(expected));

  test('counts as a fault of the trainer, whether it confirms the stop or not', () => {
    const late = run({ status: ended(120), telemetry: telemetry() });
    expect(late?.record).toMatchObject({ attempt: { end: { reason: 'NoProgress', fault: 'User' } } });
    const report = final({ outcome: 'Stopped', exitCode: 130, reason: 'Stopped' });
    const told = { status: ended(5), pods: [pod()], telemetry: telemetry({ finals: { 1: report } }) };
    expect(decide(snapshot(told)).record).toMatchObject({ retries: { user: 1 } });
  });

  test('is looked at when its time is over', () => {
    expect(nextDeadlineMs(snapshot(stuck(1700, { telemetry: telemetry({ progressAt: at(-1700) }) })))).toBe(at(100));
  });
});

describe('the budget', () => {
  const spending = (rate: string | undefined, maxTotal: string, more: SnapshotParts = {}): SnapshotParts => {
    const { pricePerHour: _price, ...rest } = attempt({ billedFrom: isoAt(-3600), connectedTime: isoAt(-50) });
    return {
      status: { attempt: { ...rest, ...(rate !== undefined && { pricePerHour: rate }) } },
      telemetry: telemetry(),
      spec: { budget: { maxTotal } },
      ...more,
    };
  };

  const cases: readonly (readonly [string, SnapshotParts, boolean])[] = [
    ['is not reached', spending('1.00', '1.04'), false],
    ['is reached less what the last checkpoint may cost', spending('1.00', '1.03'), true],
    ['of which never more than a tenth is kept back', spending('3.00', '3.30'), false],
    [
      'counts earlier attempts',
      spending('1.00', '1.50', {
        status: {
          ...spending('1.00', '1').status,
          attempts: [{ number: 0, podName: 'x', candidate: 'small', reason: 'X', cost: '0.50' }],
        },
      }),
      true,
    ],
    ['is not used up by a pod that costs nothing', spending('0.00', '0.0001'), false],
    ['nor by one whose rate is not known yet', spending(undefined, '0.0001'), false],
  ];
  test.each(cases)('%s', (_, parts, stops) => {
    expect(run(parts)?.record.attempt?.stop?.reason).toBe(stops ? 'BudgetExceeded' : undefined);
  });

  test('ends a pod whose trainer never connected without asking it', () => {
    const { telemetry: _none, ...parts } = spending('1.00', '1.03');
    const unconnected = attempt({ billedFrom: isoAt(-3600), pricePerHour: '1.00' });
    expect(reason({ ...parts, status: { attempt: unconnected } })).toBe('BudgetExceeded');
  });

  test('is taken at once when it is raised', () => {
    expect(run(spending('1.00', '1.03'))).toBeDefined();
    expect(run(spending('1.00', '5.00'))).toBeUndefined();
  });
});

describe('the next look', () => {
  const next = (parts: SnapshotParts): number | undefined => {
    const ms = nextDeadlineMs(snapshot(parts));
    return ms === undefined ? undefined : (ms - nowMs) / 1000;
  };

  test.each([
    ['no pod', {}, undefined],
    ['not connected: the start deadline', { status: { attempt: attempt({ createTime: isoAt(-200) }) } }, 1000],
    ['connected: silence', { status: { attempt: connected }, telemetry: telemetry({ lastReportAt: at(-100) }) }, 200],
    [
      'the active deadline, when it is sooner',
      { status: { attempt: connected }, telemetry: telemetry(), spec: policyOf({ activeDeadlineSeconds: 60 }) },
      10,
    ],
    [
      'the budget, when it is sooner',
      {
        status: { attempt: attempt({ connectedTime: isoAt(-50), billedFrom: isoAt(0), pricePerHour: '3.60' }) },
        telemetry: telemetry(),
        spec: { budget: { maxTotal: '0.10' } },
      },
      90,
    ],
    [
      'a stop: its grace',
      {
        status: {
          attempt: attempt({ connectedTime: isoAt(-50), stop: { reason: 'X', message: '', time: isoAt(-20) } }),
        },
        telemetry: telemetry(),
        spec: { budget: { maxTotal: '0.01' } },
      },
      100,
    ],
  ] as const)('%s', (_, parts, expected) => {
    const seconds = next(parts);
    if (expected === undefined) expect(seconds).toBeUndefined();
    else expect(seconds).toBeCloseTo(expected, 3);
  });

  test('is in the future whenever no limit is reached: no pass follows another at once', () => {
    for (const parts of [
      { status: { attempt: attempt() }, pods: [pod()] },
      { status: { attempt: connected }, pods: [pod()], telemetry: telemetry() },
      { status: { attempt: connected }, pods: [pod()], telemetry: telemetry(), spec: { budget: { maxTotal: '1' } } },
    ]) {
      expect(run(parts)).toBeUndefined();
      expect(decide(snapshot(parts)).requeueAfterMs).toBeGreaterThan(0);
    }
  });

  test('first contact is what status recorded, else what telemetry says of this attempt', () => {
    expect(connectedAtMs(snapshot({ status: { attempt: connected }, telemetry: telemetry() }))).toBe(at(-50));
    expect(connectedAtMs(snapshot({ status: { attempt: attempt() }, telemetry: telemetry() }))).toBe(at(-30));
    expect(
      connectedAtMs(snapshot({ status: { attempt: attempt({ number: 2 }) }, telemetry: telemetry() })),
    ).toBeUndefined();
    expect(connectedAtMs(snapshot({ telemetry: telemetry() }))).toBeUndefined();
  });
});
