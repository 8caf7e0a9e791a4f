import { describe, expect, test } from 'vitest';
import { decide } from '../../controller/reconcile/decide.ts';
import { nextStatus } from '../../controller/reconcile/status.ts';
import { adopt } from '../../controller/reconcile/stages/adopt.ts';
import { duplicates } from '../../controller/reconcile/stages/duplicates.ts';
import { track } from '../../controller/reconcile/stages/track.ts';
import {
  at,
  attempt,
  final,
  isoAt,
  list,
  nameOf,
  pod,
  snapshot,
  spec,
  telemetry,
  type SnapshotParts,
} from './snapshot.ts';

describe('a pod besides the recorded one', () => {
  const run = (parts: SnapshotParts): string | undefined => {
    const plan = duplicates(snapshot(parts));
    if (!plan) return undefined;
    expect(plan).toMatchObject({
      stage: 'duplicates',
      record: {},
      say: { reason: 'EndingDuplicatePod' },
      wantsList: true,
    });
    return plan.action.kind === 'terminatePod' ? plan.action.podID : plan.action.kind;
  };
  const second = attempt({ number: 2 });
  const pods = [pod(), pod({ attempt: 2 })];
  const accepted = { sentAtMs: at(-11), acceptedAtMs: at(-10) };

  const cases: readonly (readonly [string, SnapshotParts, string | undefined])[] = [
    ['the recorded pod is none', { status: { attempt: second }, pods: [pods[1]!] }, undefined],
    ['a pod of an older attempt is ended', { status: { attempt: second }, pods }, 'pod1'],
    [
      'a second pod by the same name is ended',
      { status: { attempt: second }, pods: [pods[1]!, pod({ attempt: 2, id: 'twin' })] },
      'twin',
    ],
    [
      'a pod of the same number with another nonce is ended',
      { status: { attempt: second }, pods: [pod({ id: 'stray', name: nameOf(2, 'abcd') })] },
      'stray',
    ],
    ['a pod of a later attempt means an old snapshot', { status: { attempt: attempt() }, pods }, undefined],
    [
      'the pod of a refused create is ended',
      { status: { attempt: attempt({ state: 'Refused' }) }, pods: [pod()] },
      'pod1',
    ],
    [
      'the late pod of an attempt that was given up is ended',
      { status: { attempt: attempt({ state: 'Abandoned' }) }, pods: [pod()] },
      'pod1',
    ],
    [
      'a pod that was proved gone and is back is ended',
      { status: { attempt: attempt({ state: 'Gone' }) }, pods: [pod()] },
      'pod1',
    ],
    [
      'before the create of an intent, older pods are ended',
      { status: { attempt: attempt({ number: 2, state: 'Intent' }) }, own: { freshIntent: 2 }, pods: [pod()] },
      'pod1',
    ],
    [
      'the pod of an intent or an unknown outcome is not judged here',
      { status: { attempt: attempt({ number: 2, state: 'Unknown' }) }, pods: [pods[1]!] },
      undefined,
    ],
    [
      'the dearest first',
      { status: { attempt: attempt({ number: 3 }) }, pods: [pod(), pod({ attempt: 2, costUsdPerHour: 2 })] },
      'pod2',
    ],
    [
      'one whose end is on its way is left',
      { status: { attempt: second }, pods, own: { terminates: { pod1: accepted } }, lists: [list(-10)] },
      undefined,
    ],
    [
      'one that a later list still shows is ended again',
      { status: { attempt: second }, pods, own: { terminates: { pod1: accepted } }, lists: [list(-9)] },
      'pod1',
    ],
    [
      'one whose end failed is ended again',
      { status: { attempt: second }, pods, own: { terminates: { pod1: { sentAtMs: at(-1) } } } },
      'pod1',
    ],
    ['a job without attempt has none', { pods }, undefined],
  ];
  test.each(cases)('%s', (_, parts, expected) => expect(run(parts)).toBe(expected));

  test('a final report goes before a pod that perhaps cannot be ended', () => {
    const parts = { status: { attempt: second }, pods, telemetry: telemetry({ attempt: 2, finals: { 2: final() } }) };
    expect(run(parts)).toBeUndefined();
    expect(decide(snapshot(parts))).toMatchObject({ stage: 'track', record: { outcome: { result: 'Succeeded' } } });
  });

  test('the report of an older attempt does not', () => {
    const parts = { status: { attempt: second }, pods, telemetry: telemetry({ finals: { 1: final() } }) };
    expect(run(parts)).toBe('pod1');
  });

  test('a pod that cannot be ended lifts no limit of the job', () => {
    const parts = { status: { attempt: second }, pods, telemetry: telemetry({ attempt: 2, lastReportAt: at(-301) }) };
    expect(decide(snapshot(parts))).toMatchObject({
      stage: 'deadlines',
      record: { attempt: { end: { reason: 'HeartbeatLost' } } },
    });
  });

  test('while its end is on its way, lists are wanted', () => {
    const parts = { status: { attempt: second }, pods, own: { terminates: { pod1: accepted } }, lists: [list(-10)] };
    const connected = { ...parts, telemetry: telemetry({ attempt: 2 }) };
    expect(track(snapshot(connected))?.wantsList).toBe(true);
    expect(track(snapshot({ ...connected, pods: [pods[1]!] }))?.wantsList).toBe(false);
  });
});

describe('a pod that status knows nothing of', () => {
  test('a status that was wiped while a pod runs gets the pod back, and no second one is rented', () => {
    const wiped = snapshot({ status: null, pods: [pod({ attempt: 3 })], telemetry: telemetry({ attempt: 3 }) });
    const plan = decide(wiped);
    expect(plan).toMatchObject({
      stage: 'adopt',
      action: { kind: 'none' },
      record: {
        attempt: {
          number: 3,
          nonce: 'x9q2',
          podName: nameOf(3),
          podID: 'pod3',
          state: 'Observed',
          candidate: 'small',
          createTime: isoAt(-58),
          billedFrom: isoAt(-58),
          pricePerHour: '0.12',
        },
      },
      say: { reason: 'PodAdopted' },
    });
    const status = nextStatus(wiped, plan);
    expect(status).toMatchObject({ phase: 'Running', run: { number: 1 } });
    const next = decide(
      snapshot({ status: { ...status }, pods: [pod({ attempt: 3 })], telemetry: telemetry({ attempt: 3 }) }),
    );
    expect(next).toMatchObject({ stage: 'track', say: { reason: 'TrainerConnected' } });
  });

  test.each([
    [undefined, 'Push'],
    [['22/tcp', '8000/http'], 'Push'],
    [['22/tcp', '8477/http'], 'Pull'],
  ] as const)('who calls whom is told by its ports %j, whatever the spec says by now', (ports, transport) => {
    const found = pod(ports && { ports });
    const spec = { telemetry: { transport: transport === 'Push' ? 'Pull' : 'Push' } } as const;
    expect(adopt(snapshot({ status: null, pods: [found], spec }))?.record.attempt?.transport).toBe(transport);
  });

  test('the candidate is found by its hardware', () => {
    const gpu = pod({ gpuType: 'NVIDIA H100 80GB HBM3', gpuCount: 1 });
    expect(adopt(snapshot({ status: null, pods: [gpu] }))?.record.attempt?.candidate).toBe('large');
    const other = pod({ cpuFlavor: 'cpu5c' });
    expect(adopt(snapshot({ status: null, pods: [other] }))?.record.attempt?.candidate).toBe('unknown');
  });

  test('the latest attempt is taken, and the others are duplicates of it', () => {
    const pods = [
      pod(),
      pod({ attempt: 2, id: 'young', createdAt: at(-5) }),
      pod({ attempt: 2 }),
      pod({ attempt: 2, id: 'cold', status: 'STARTING' }),
    ];
    expect(adopt(snapshot({ status: null, pods }))?.record.attempt?.podID).toBe('pod2');
  });

  test.each(['Refused', 'Abandoned', 'Gone'] as const)(
    'a status that was set back to a %s attempt takes it too',
    (state) => {
      const parts = { status: { attempt: attempt({ state }) }, pods: [pod({ attempt: 2 })] };
      expect(decide(snapshot(parts))).toMatchObject({ stage: 'adopt', record: { attempt: { number: 2 } } });
    },
  );

  test.each([
    ['the recorded one', { status: { attempt: attempt() }, pods: [pod()] }],
    ['one of an attempt that is over', { status: { attempt: attempt({ state: 'Gone' }) }, pods: [pod()] }],
    ['none', { status: null }],
  ] as const)('but not %s', (_, parts) => expect(adopt(snapshot(parts))).toBeUndefined());

  const ended = { terminates: { pod1: { sentAtMs: 1, acceptedAtMs: at(0) } } };

  test('a status that was wiped while its pod ended: nothing is rented before a list shows its end', () => {
    expect(decide(snapshot({ status: {}, pods: [pod()], own: ended }))).toMatchObject({
      stage: 'adopt',
      action: { kind: 'none' },
      record: {},
      say: { reason: 'PodEnding' },
      wantsList: true,
    });
    expect(decide(snapshot({ status: {}, own: ended })).stage).toBe('place');
  });

  test('a status that was wiped while the pod of a success ended: the success counts, and so does what it cost', () => {
    const heard = telemetry({ finals: { 1: final() } });
    const wiped = snapshot({ status: {}, pods: [pod()], own: ended, telemetry: heard });
    const status = nextStatus(wiped, decide(wiped));
    expect(status).toMatchObject({ attempt: { podID: 'pod1', state: 'Observed' } });
    const next = decide(snapshot({ status, pods: [pod()], own: ended, telemetry: heard }));
    expect(next.record.outcome).toMatchObject({ result: 'Succeeded' });
  });

  test('an adopted pod that is charged more than the cap is ended', () => {
    const candidates = [{ ...spec.compute.candidates[0]!, maxPricePerHour: '0.10' }];
    const wiped = snapshot({ status: {}, pods: [pod()], spec: { compute: { ...spec.compute, candidates } } });
    expect(adopt(wiped)).toMatchObject({
      record: { attempt: { podID: 'pod1', end: { reason: 'PriceAboveCap' } }, refusals: [{ class: 'PriceAboveCap' }] },
      say: { reason: 'PriceAboveCap' },
    });
  });

  test('no number is used twice, even where only telemetry remembers it', () => {
    const plan = decide(snapshot({ spec, telemetry: telemetry({ attempt: 4 }) }));
    expect(plan).toMatchObject({ stage: 'place', record: { attempt: { number: 5, podName: nameOf(5, 'n0nc') } } });
  });
});
