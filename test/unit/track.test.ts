import { describe, expect, test } from 'vitest';
import type { Candidate, TrainingJobSpec } from '../../controller/api/trainingjob.ts';
import { instanceOf, rate, withPod } from '../../controller/reconcile/attempts.ts';
import { breach } from '../../controller/reconcile/breach.ts';
import { decide } from '../../controller/reconcile/decide.ts';
import type { Plan } from '../../controller/reconcile/plan.ts';
import { track } from '../../controller/reconcile/stages/track.ts';
import { RunpodError } from '../../controller/runpod/errors.ts';
import type { CloudPod } from '../../controller/runpod/cloudpod.ts';
import { at, attempt, final, isoAt, list, pod, snapshot, spec, telemetry, type SnapshotParts } from './snapshot.ts';

const run = (parts: SnapshotParts = {}): Plan | undefined =>
  track(snapshot({ status: { attempt: attempt() }, pods: [pod()], ...parts }));
const outcome = (parts: SnapshotParts): object | undefined => run(parts)?.record.outcome;
/** Why the attempt ends to be tried again. */
const end = (parts: SnapshotParts): object | undefined => run(parts)?.record.attempt?.end;
const stop = { reason: 'BudgetExceeded', message: 'Money is used up.', time: isoAt(-20) };

test.each(['Intent', 'Unknown', 'Refused', 'Gone', 'Abandoned'] as const)(
  'a %s attempt has no pod to look at',
  (state) => {
    expect(run({ status: { attempt: attempt({ state }) } })).toBeUndefined();
  },
);

describe('the final report of the trainer decides', () => {
  const with1 = (report: Parameters<typeof final>[0], more: SnapshotParts = {}): SnapshotParts => ({
    telemetry: telemetry({ finals: { 1: final(report) } }),
    ...more,
  });
  const failed = { outcome: 'Failed', exitCode: 3, reason: 'DataInvalid', message: 'Column y is missing.' } as const;
  const stopped = { outcome: 'Stopped', exitCode: 130, reason: 'StoppedOnRequest', message: 'Stopped.' } as const;

  test.each([
    ['success', with1({}), { result: 'Succeeded', reason: 'TrainerSucceeded' }],
    ['failure', with1(failed), { result: 'Failed', reason: 'DataInvalid', message: 'Column y is missing.' }],
    [
      'a stop that we asked for',
      with1(stopped, { status: { attempt: attempt({ stop }) } }),
      { result: 'Failed', reason: 'BudgetExceeded' },
    ],
    ['a stop that nobody asked for', with1(stopped), { result: 'Failed', reason: 'StoppedOnRequest' }],
    ['success in spite of a stop', with1({}, { status: { attempt: attempt({ stop }) } }), { result: 'Succeeded' }],
    [
      'failure during a stop',
      with1(failed, { status: { attempt: attempt({ stop }) } }),
      { result: 'Failed', reason: 'DataInvalid' },
    ],
    ['success of a pod that is gone', with1({}, { pods: [], lists: [list(-40), list(-15)] }), { result: 'Succeeded' }],
    ['success of a pod that stands still', with1({}, { pods: [pod({ status: 'EXITED' })] }), { result: 'Succeeded' }],
    [
      'success of a pod that is charged too much',
      with1({}, { pods: [pod({ costUsdPerHour: 99 })] }),
      { result: 'Succeeded' },
    ],
  ] as const)('%s', (_, parts, expected) => expect(outcome(parts)).toMatchObject(expected));

  test('exit code and attempt go into the failure', () => {
    expect(run(with1(failed))?.record.failure).toEqual({
      reason: 'DataInvalid',
      message: 'Column y is missing.',
      exitCode: 3,
      attempt: 1,
    });
    const never = { spec: { runPolicy: { ...spec.runPolicy, backoffLimit: 0 } } };
    expect(run(with1({ ...failed, exitCode: 0 }, never))?.record.failure).toMatchObject({ exitCode: 0 });
    expect(run(with1({}))?.record.failure).toBeUndefined();
  });

  test('a message of any length is kept bounded', () => {
    expect(run(with1({ ...failed, message: 'm'.repeat(5000) }))?.record.failure?.message).toHaveLength(1024);
  });

  test('the report of another attempt does not', () => {
    expect(outcome({ telemetry: telemetry({ finals: { 2: final() } }) })).toBeUndefined();
  });

  test('a report and a deadline in the same pass: the report', () => {
    const parts = { status: { attempt: attempt({ createTime: isoAt(-9999) }) }, pods: [pod()] };
    expect(decide(snapshot(parts)).record.attempt?.end?.reason).toBe('StartDeadlineExceeded');
    const reported = { ...parts, telemetry: telemetry({ lastReportAt: at(-9999), finals: { 1: final() } }) };
    expect(decide(snapshot(reported)).record.outcome?.reason).toBe('TrainerSucceeded');
  });
});

describe('what Runpod says of the pod', () => {
  test.each([
    ['PROVISIONING', undefined],
    ['STARTING', undefined],
    ['RUNNING', undefined],
    ['EXITED', 'PodStopped'],
    ['ERROR', 'PodError'],
  ] as const)('%s', (status, reason) => {
    expect(end({ pods: [pod({ status })] })).toEqual(reason && expect.objectContaining({ fault: 'Host', reason }));
  });

  test.each([
    ['two lists without it', [list(-40), list(-15)], {}, 'PodLost'],
    ['one list without it', [list(-15)], {}, undefined],
    ['two that are too close', [list(-20), list(-15)], {}, undefined],
    ['two of which one is not believed', [list(-40), list(-15, [], false)], {}, undefined],
    ['two that began before this process', [list(-40), list(-15)], { processStartedAtMs: at(-20) }, undefined],
    ['two that began before its create was answered', [list(-40), list(-15)], { lastWriteAtMs: at(-10) }, undefined],
  ] as const)('%s', (_, lists, own, reason) => {
    expect(end({ pods: [], lists: [...lists], own })).toEqual(reason && expect.objectContaining({ reason }));
  });

  test('one list without it makes the next come soon, also when the trainer is connected', () => {
    expect(run({ pods: [], lists: [list(-15)], telemetry: telemetry() })?.wantsList).toBe(true);
    expect(run({ telemetry: telemetry() })?.wantsList).toBe(false);
    expect(run()?.wantsList).toBe(true);
  });
});

describe('a pod that was placed or charged otherwise than asked', () => {
  const h100 = { name: 'large', gpu: { type: 'NVIDIA H100 80GB HBM3', count: 1 }, cloud: 'Secure' } as const;
  const on = (changes: Partial<CloudPod>): CloudPod => {
    const { cpuFlavor: _flavor, vcpuCount: _vcpus, ...rest } = pod();
    return { ...rest, gpuType: h100.gpu.type, gpuCount: 1, ...changes };
  };
  const look = (candidate: Candidate, seen: CloudPod): ReturnType<typeof breach> =>
    breach(
      snapshot({
        spec: { compute: { ...spec.compute, candidates: [candidate] } satisfies TrainingJobSpec['compute'] },
      }),
      attempt({ candidate: candidate.name }),
      seen,
    );

  test.each([
    ['as asked', h100, on({}), undefined],
    ['at the cap', { ...h100, maxPricePerHour: '3.20' }, on({ costUsdPerHour: 3.2 }), undefined],
    ['above the cap', { ...h100, maxPricePerHour: '3.20' }, on({ costUsdPerHour: 3.2001 }), 'PriceAboveCap'],
    ['in a data center that was named', { ...h100, dataCenters: ['EU-RO-1', 'EU-SE-1'] }, on({}), undefined],
    ['in another', { ...h100, dataCenters: ['EU-SE-1'] }, on({}), 'WrongPlace'],
    ['with an empty list of data centers: any', { ...h100, dataCenters: [] }, on({}), undefined],
    ['on another GPU', h100, on({ gpuType: 'NVIDIA A40' }), 'WrongPlace'],
    ['with fewer GPUs', { ...h100, gpu: { ...h100.gpu, count: 2 } }, on({}), 'WrongPlace'],
    ['without GPUs', h100, on({ gpuCount: 0 }), 'WrongPlace'],
    ['on no GPU', h100, pod(), 'WrongPlace'],
  ] as const)('%s', (_, candidate, seen, reason) => {
    const found = look(candidate as Candidate, seen);
    expect(found?.say.reason).toBe(reason);
    if (reason === undefined) return;
    expect(found?.record).toMatchObject({
      attempt: { state: 'Observed', podID: 'pod1', end: { reason, time: isoAt(0) } },
      refusals: [{ candidate: 'large', class: reason, count: 1, retryTime: isoAt(3600) }],
    });
    expect(found?.wantsList).toBe(true);
  });

  test('a place that is not known yet is not wrong', () => {
    const { dataCenterId: _none, ...seen } = on({});
    expect(look({ ...h100, dataCenters: ['EU-SE-1'] }, seen)).toBeUndefined();
  });

  test('what is said of it fits into status', () => {
    const dataCenters = Array.from({ length: 32 }, (_, index) => `${index}`.padStart(32, 'x'));
    const { record } = look({ ...h100, dataCenters }, on({})) ?? {};
    expect(record?.attempt?.end?.message).toHaveLength(1024);
    expect(record?.refusals?.[0]?.message).toHaveLength(512);
  });

  test('a rate that rises above the cap while the pod runs ends it', () => {
    const compute = { ...spec.compute, candidates: [{ ...spec.compute.candidates[0]!, maxPricePerHour: '0.15' }] };
    const parts = { spec: { compute }, telemetry: telemetry() };
    expect(run({ ...parts, pods: [pod({ costUsdPerHour: 0.15 })] })?.record.attempt?.end).toBeUndefined();
    expect(run({ ...parts, pods: [pod({ costUsdPerHour: 0.16 })] })?.record.attempt?.end?.reason).toBe('PriceAboveCap');
  });

  test.each([
    ['a lower cap', [{ ...spec.compute.candidates[0]!, maxPricePerHour: '0.05' }]],
    ['other data centers', [{ ...spec.compute.candidates[0]!, dataCenters: ['US-KS-2'] }]],
    ['other hardware', [{ name: 'small', gpu: { type: 'NVIDIA A40', count: 2 }, cloud: 'Secure' as const }]],
    ['a candidate that is gone', [spec.compute.candidates[1]!]],
  ])('the spec is edited while the pod runs (%s): that is for the next attempt', (_, candidates) => {
    const parts = { spec: { compute: { ...spec.compute, candidates } }, telemetry: telemetry() };
    expect(run(parts)).toMatchObject({
      record: { attempt: { state: 'Observed' } },
      say: { reason: 'TrainerConnected' },
    });
    expect(run(parts)?.record.attempt?.end).toBeUndefined();
  });

  test('after its end the candidate is left out and the next is asked for', () => {
    const dear = { reason: 'PriceAboveCap', message: 'Too dear.', time: isoAt(-60) };
    const refusals = [
      {
        candidate: 'small',
        class: 'PriceAboveCap' as const,
        count: 1,
        generation: 1,
        lastTime: isoAt(-60),
        retryTime: isoAt(3540),
      },
    ];
    const status = { attempt: attempt({ end: dear, state: 'Gone' }), placement: { refusals } };
    expect(decide(snapshot({ status }))).toMatchObject({
      stage: 'place',
      record: { attempt: { number: 2, candidate: 'large' } },
    });
  });
});

describe('a pod that goes on', () => {
  test('waits for its trainer', () => {
    expect(run()).toMatchObject({
      stage: 'track',
      action: { kind: 'none' },
      record: { attempt: attempt() },
      say: { reason: 'PodStarting' },
      requeueAfterMs: 1_141_000,
    });
  });

  test('records the first contact once, and the version', () => {
    expect(run({ telemetry: telemetry({ trainerVersion: '0.1.0' }) })?.record.attempt).toMatchObject({
      connectedTime: isoAt(-30),
      trainerVersion: '0.1.0',
    });
    const again = run({ status: { attempt: attempt({ connectedTime: isoAt(-55) }) }, telemetry: telemetry() });
    expect(again?.record.attempt?.connectedTime).toBe(isoAt(-55));
  });

  test.each([
    ['before the first evaluation', { nextEvaluationStep: 20 }, 'AwaitingFirstEvaluation', /step 20/],
    ['after it', { nextEvaluationStep: 40, evaluations: 1 }, 'TrainerConnected', /at work/],
    ['without evaluations', {}, 'TrainerConnected', /at work/],
  ] as const)('says what it waits for: %s', (_, changes, reason, message) => {
    const say = run({ telemetry: telemetry(changes) })?.say;
    expect(say).toMatchObject({ reason, message: expect.stringMatching(message) as string });
  });

  test('says that it was asked to stop', () => {
    expect(
      run({ status: { attempt: attempt({ stop, connectedTime: isoAt(-50) }) }, telemetry: telemetry() })?.say.reason,
    ).toBe('BudgetExceeded');
  });

  test('says that the key is refused, and goes on', () => {
    const plan = run({ telemetry: telemetry(), listError: new RunpodError('unauthorized', 'revoked') });
    expect(plan?.say).toMatchObject({ reason: 'AccountUnauthorized', stalled: true });
    expect(plan?.record.outcome).toBeUndefined();
  });

  test('the same facts change nothing: a steady job causes no write', () => {
    const settled = run({ telemetry: telemetry() })?.record.attempt;
    expect(run({ status: { attempt: settled! }, telemetry: telemetry() })?.record.attempt).toEqual(settled);
  });
});

describe('a pod in status', () => {
  test('keeps its rate while it stands still, and its start when it is seen again', () => {
    const seen = withPod(attempt({ pricePerHour: '2.99', billedFrom: isoAt(-90) }), pod({ costUsdPerHour: 0 }));
    expect(seen).toMatchObject({ pricePerHour: '2.99', billedFrom: isoAt(-90) });
  });

  test.each([
    [{ gpuType: 'NVIDIA A40', gpuCount: 2 }, '2x NVIDIA A40'],
    [{ gpuType: 'NVIDIA A40', gpuCount: 0 }, '0x NVIDIA A40'],
    [{}, 'cpu3c 4 vCPU'],
    [{ gpuType: 'G'.repeat(200), gpuCount: 1 }, `1x ${'G'.repeat(93)}`],
  ])('names its hardware %o', (changes, text) => expect(instanceOf(pod(changes))).toBe(text));

  test.each([
    [0.12, '0.12'],
    [0.0625, '0.0625'],
    [2, '2.00'],
    [1.999, '1.999'],
    [0, '0.00'],
    [10.5, '10.50'],
  ])('writes the rate %d as %s', (value, text) => expect(rate(value)).toBe(text));
});
