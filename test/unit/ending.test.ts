import { describe, expect, test } from 'vitest';
import { abandonPodsAnnotation, type Attempt } from '../../controller/api/trainingjob.ts';
import { isProvedGone } from '../../controller/reconcile/attempts.ts';
import { ending, podsLeft } from '../../controller/reconcile/ending.ts';
import { abandon } from '../../controller/reconcile/stages/abandon.ts';
import { finalize } from '../../controller/reconcile/stages/finalize.ts';
import { settle } from '../../controller/reconcile/stages/settle.ts';
import { RunpodError } from '../../controller/runpod/errors.ts';
import {
  at,
  attempt,
  final,
  isoAt,
  list,
  nameOf,
  nowMs,
  pod,
  snapshot,
  spec,
  telemetry,
  type SnapshotParts,
} from './snapshot.ts';

const observed = attempt();
const outcome = { result: 'Succeeded', reason: 'TrainerSucceeded', message: 'Done.', time: isoAt(-5) } as const;
const goneLists = [list(-40), list(-15)];
const deleted = { deletionTimestamp: isoAt(-3) };
const unauthorized = new RunpodError('unauthorized', 'key was revoked');

describe('proof that a pod is gone', () => {
  const cases: readonly (readonly [string, SnapshotParts, boolean])[] = [
    ['two lists far enough apart', { lists: goneLists }, true],
    ['exactly the gap apart', { lists: [list(-40), list(-20)] }, true],
    ['a millisecond less', { lists: [list(-40), list(-20.001)] }, false],
    ['one list', { lists: [list(-40)] }, false],
    ['no list', { lists: [] }, false],
    ['a list that shows its id between', { lists: [list(-60), list(-40, ['pod1']), list(-25)] }, false],
    ['a list that shows its name between', { lists: [list(-60), list(-40, [nameOf(1)]), list(-25)] }, false],
    ['shown before, then missing in two', { lists: [list(-60, ['pod1']), list(-40), list(-20)] }, true],
    ['the newest list shows it again', { lists: [list(-60), list(-40), list(-5, ['pod1'])] }, false],
    ['one of the two is not believed', { lists: [list(-40), list(-15, [], false)] }, false],
    ['both are not believed', { lists: [list(-40, [], false), list(-15, [], false)] }, false],
    ['both started after our last write', { lists: goneLists, own: { lastWriteAtMs: at(-41) } }, true],
    ['one started before our last write', { lists: goneLists, own: { lastWriteAtMs: at(-39) } }, false],
    ['one started with our last write', { lists: goneLists, own: { lastWriteAtMs: at(-40) } }, false],
    [
      'its trainer was heard after one of them',
      { lists: goneLists, telemetry: telemetry({ lastReportAt: at(-20) }) },
      false,
    ],
    ['its trainer was heard before both', { lists: goneLists, telemetry: telemetry({ lastReportAt: at(-41) }) }, true],
    ['the trainer of another attempt was heard', { lists: goneLists, telemetry: telemetry({ attempt: 9 }) }, true],
    ['both started after a restart', { lists: goneLists, own: { processStartedAtMs: at(-41) } }, true],
    ['one is older than this process', { lists: goneLists, own: { processStartedAtMs: at(-39) } }, false],
  ];
  test.each(cases)('%s', (_, parts, expected) => {
    expect(isProvedGone(snapshot({ status: { attempt: observed }, ...parts }), observed)).toBe(expected);
  });
});

describe('the next step towards no pod', () => {
  const withAttempt = (changes: Partial<Attempt>, parts: SnapshotParts = {}): ReturnType<typeof snapshot> =>
    snapshot({ status: { attempt: attempt(changes) }, ...parts });

  test('a pod that is listed is ended, whatever status says of it', () => {
    for (const state of ['Observed', 'Gone', 'Abandoned', 'Refused'] as const) {
      expect(ending(withAttempt({ state }, { pods: [pod()] }))).toMatchObject({ kind: 'terminate', podID: 'pod1' });
    }
    expect(ending(snapshot({ pods: [pod()] }))).toMatchObject({ kind: 'terminate', podID: 'pod1' });
  });

  test('the dearest first', () => {
    const pods = [pod(), pod({ attempt: 2, costUsdPerHour: 3 })];
    expect(ending(withAttempt({ number: 2 }, { pods }))).toMatchObject({ kind: 'terminate', podID: 'pod2' });
  });

  test('a pod that is not listed yet is ended all the same', () => {
    expect(ending(withAttempt({}))).toMatchObject({ kind: 'terminate', podID: 'pod1' });
  });

  test.each([
    ['was recorded', { billedTo: isoAt(-10) }, {}],
    ['is known to this process only', {}, { terminates: { pod1: { sentAtMs: at(-11), acceptedAtMs: at(-10) } } }],
  ] as const)('an unlisted pod whose end was accepted, which %s, is waited for', (_, changes, own) => {
    expect(ending(withAttempt(changes, { own }))).toEqual({ kind: 'wait', podIDs: ['pod1'] });
  });

  test('a terminate that failed is sent again', () => {
    const own = { terminates: { pod1: { sentAtMs: at(-1) } }, lastWriteAtMs: at(-1) };
    expect(ending(withAttempt({}, { own }))).toMatchObject({ kind: 'terminate' });
    expect(ending(withAttempt({}, { own, pods: [pod()] }))).toMatchObject({ kind: 'terminate' });
  });

  test('a pod that is still listed after its end was accepted is ended again, by a list that began later', () => {
    const own = { terminates: { pod1: { sentAtMs: at(-11), acceptedAtMs: at(-10) } } };
    const listed = (seconds: number): ReturnType<typeof ending> =>
      ending(withAttempt({ billedTo: isoAt(-10) }, { own, pods: [pod()], lists: [list(seconds, ['pod1'])] }));
    expect(listed(-11)).toEqual({ kind: 'wait', podIDs: ['pod1'] });
    expect(listed(-10)).toEqual({ kind: 'wait', podIDs: ['pod1'] });
    expect(listed(-9)).toMatchObject({ kind: 'terminate' });
  });

  test('of two pods each is ended once until a list tells more', () => {
    const pods = [pod(), pod({ attempt: 2, costUsdPerHour: 3 })];
    const accepted = { sentAtMs: at(-0.5), acceptedAtMs: at(-0.4) };
    const first = { terminates: { pod2: accepted } };
    const both = { terminates: { pod2: accepted, pod1: accepted } };
    expect(ending(withAttempt({ number: 2 }, { pods, own: first }))).toMatchObject({ podID: 'pod1' });
    expect(ending(withAttempt({ number: 2 }, { pods, own: both }))).toEqual({ kind: 'wait', podIDs: ['pod2', 'pod1'] });
  });

  test('a pod that cannot be ended does not keep the others alive', () => {
    const pods = [pod(), pod({ attempt: 2, costUsdPerHour: 3 })];
    const refused = { terminates: { pod2: { sentAtMs: at(-0.5) } } };
    expect(ending(withAttempt({ number: 2 }, { pods, own: refused }))).toMatchObject({ podID: 'pod1' });
    const both = { terminates: { pod2: { sentAtMs: at(-5) }, pod1: { sentAtMs: at(-0.5) } } };
    expect(ending(withAttempt({ number: 2 }, { pods, own: both }))).toMatchObject({ podID: 'pod2' });
  });

  test.each([
    ['an attempt that is proved gone by lists', { billedTo: isoAt(-60) }, { lists: goneLists }],
    ['an attempt that was refused', { state: 'Refused' }, {}],
    ['an attempt that was given up', { state: 'Abandoned' }, {}],
    ['an attempt that was closed', { state: 'Gone' }, {}],
  ] as const)('nothing is left of %s', (_, changes, parts) => {
    expect(ending(withAttempt(changes, parts))).toEqual({ kind: 'gone' });
  });

  test('nothing is left where nothing was asked for', () => expect(ending(snapshot())).toEqual({ kind: 'gone' }));

  test('after a restart the same lists prove nothing until they are this process its own', () => {
    const parts = { own: { processStartedAtMs: at(-20) }, lists: goneLists };
    expect(ending(withAttempt({ billedTo: isoAt(-60) }, parts))).toEqual({ kind: 'wait', podIDs: ['pod1'] });
  });
});

describe('finalize', () => {
  const run = (parts: SnapshotParts): ReturnType<typeof finalize> =>
    finalize(snapshot({ ...parts, metadata: { ...deleted, ...parts.metadata } }));

  test('says nothing while the job is not deleted', () => expect(finalize(snapshot())).toBeUndefined());

  test.each([
    ['a listed pod is ended', { status: { attempt: observed }, pods: [pod()] }, 'terminatePod'],
    ['an unlisted pod is ended', { status: { attempt: observed } }, 'terminatePod'],
    ['a pod that is ending is waited for', { status: { attempt: attempt({ billedTo: isoAt(-9) }) } }, 'none'],
    ['a pod that is proved gone frees the job', { status: { attempt: observed }, lists: goneLists }, 'removeFinalizer'],
    [
      'an intent that was not sent frees it',
      { status: { attempt: attempt({ state: 'Intent' }) }, own: { freshIntent: 1 } },
      'removeFinalizer',
    ],
    ['a job that never asked is free', { status: {} }, 'removeFinalizer'],
    ['a job without status is free', { status: null }, 'removeFinalizer'],
    [
      'a finished job is free',
      { status: { outcome, completionTime: isoAt(-3), attempt: attempt({ state: 'Gone' }) } },
      'removeFinalizer',
    ],
    [
      'a finished job whose pod is back is not',
      { status: { outcome, completionTime: isoAt(-3), attempt: attempt({ state: 'Gone' }) }, pods: [pod()] },
      'terminatePod',
    ],
  ] as const satisfies readonly (readonly [string, SnapshotParts, string])[])('%s', (_, parts, action) => {
    const plan = run(parts);
    expect(plan).toMatchObject({ stage: 'finalize', action: { kind: action }, say: { reason: 'Deleting' } });
    expect(plan?.wantsList ?? false).toBe(action !== 'removeFinalizer');
  });

  test('a status that was wiped tells nothing: a list is waited for, and the pod in it ended', () => {
    const waiting = run({ status: null, lists: [] });
    expect(waiting).toMatchObject({ action: { kind: 'none' }, wantsList: true });
    expect(waiting?.requeueAfterMs).toBeUndefined();
    expect(run({ status: {}, lists: [] })?.action.kind).toBe('removeFinalizer');
    expect(run({ status: null, pods: [pod()] })?.action.kind).toBe('terminatePod');
  });

  test('removes nothing where its finalizer is off already', () => {
    const plan = run({ metadata: { finalizers: ['other/one'] }, pods: [pod()] });
    expect(plan).toMatchObject({ action: { kind: 'none' } });
    expect(plan?.requeueAfterMs).toBeUndefined();
  });

  test('says why the proof does not come when lists are refused', () => {
    const plan = run({ status: { attempt: attempt({ billedTo: isoAt(-9) }) }, listError: unauthorized });
    expect(plan?.say).toMatchObject({ reason: 'AccountUnauthorized', stalled: true });
  });
});

describe('settle', () => {
  const run = (parts: SnapshotParts): ReturnType<typeof settle> => settle(snapshot(parts));

  test('says nothing while the run goes on', () => {
    expect(run({ status: { attempt: observed }, pods: [pod()] })).toBeUndefined();
    expect(run({})).toBeUndefined();
  });

  test('ends the pod of a run that is over, in one call', () => {
    expect(run({ status: { attempt: observed, outcome }, pods: [pod()] })).toMatchObject({
      stage: 'settle',
      action: { kind: 'terminatePod', podID: 'pod1', podName: nameOf(1) },
      record: {},
      say: { reason: 'TrainerSucceeded' },
      wantsList: true,
    });
  });

  test('waits for the proof, and records nothing before it', () => {
    const plan = run({ status: { attempt: attempt({ billedTo: isoAt(-3) }), outcome } });
    expect(plan).toMatchObject({ action: { kind: 'none' }, record: {}, wantsList: true });
    expect(plan?.requeueAfterMs).toBeUndefined();
  });

  test('says why the proof does not come when lists are refused', () => {
    const plan = run({ status: { attempt: attempt({ billedTo: isoAt(-3) }), outcome }, listError: unauthorized });
    expect(plan?.say).toMatchObject({ reason: 'AccountUnauthorized', stalled: true });
  });

  test('with the proof the attempt goes to the ledger and the job is finished', () => {
    const ended = attempt({ billedTo: isoAt(-50) });
    const parts = {
      status: { attempt: ended, outcome },
      lists: goneLists,
      telemetry: telemetry({
        firstStep: 10,
        step: 200,
        finals: { 1: final({ logTail: ['bye'] }) },
        lastReportAt: at(-60),
      }),
    };
    expect(run(parts)).toMatchObject({
      action: { kind: 'none' },
      record: {
        completed: true,
        attempt: { ...ended, state: 'Gone' },
        ledger: {
          number: 1,
          podID: 'pod1',
          reason: 'TrainerSucceeded',
          message: 'Done.',
          startTime: isoAt(-58),
          endTime: isoAt(-50),
          cost: '0.0003',
          firstStep: 10,
          lastStep: 200,
          exitCode: 0,
          logTail: ['bye'],
        },
      },
    });
  });

  test('a pod that ended by itself is billed until now at most', () => {
    expect(run({ status: { attempt: observed, outcome }, lists: goneLists })?.record.attempt?.billedTo).toBe(isoAt(0));
  });

  test('a pod that was placed or charged wrongly is closed, and the job goes on', () => {
    const end = { reason: 'PriceAboveCap', message: 'Too dear.', time: isoAt(-50) };
    const plan = run({ status: { attempt: attempt({ end, billedTo: isoAt(-49) }) }, lists: goneLists });
    expect(plan).toMatchObject({ record: { attempt: { state: 'Gone' }, ledger: { reason: 'PriceAboveCap' } } });
    expect(plan?.record.completed).toBeUndefined();
    expect(plan?.say.message).toContain('another is asked for');
  });

  test('an attempt with an end that is closed already is not closed again', () => {
    const end = { reason: 'PriceAboveCap', message: 'Too dear.', time: isoAt(-50) };
    expect(run({ status: { attempt: attempt({ end, state: 'Gone' }) } })).toBeUndefined();
  });

  test.each(['Refused', 'Abandoned', 'Gone'] as const)('an outcome over a %s attempt finishes at once', (state) => {
    expect(run({ status: { attempt: attempt({ state }), outcome } })?.record).toEqual({ completed: true });
  });

  test('an outcome over an intent that was never sent finishes without a pod that was never there', () => {
    const intended = attempt({ state: 'Intent' });
    expect(run({ status: { attempt: intended, outcome }, own: { freshIntent: 1 } })?.record).toEqual({
      completed: true,
      attempt: { ...intended, state: 'Abandoned' },
    });
  });

  test('a finished job rests, and says how it ended', () => {
    const plan = run({ status: { attempt: attempt({ state: 'Gone' }), outcome, completionTime: isoAt(-3) } });
    expect(plan).toEqual({
      stage: 'rest',
      action: { kind: 'none' },
      record: {},
      say: { reason: 'TrainerSucceeded', message: 'Done.' },
    });
  });
});

describe('a finished job that has a time to live', () => {
  const rest = (ttlSecondsAfterFinished: number, completed: number): ReturnType<typeof settle> =>
    settle(
      snapshot({
        status: { outcome, completionTime: isoAt(completed) },
        spec: { runPolicy: { ...spec.runPolicy, ttlSecondsAfterFinished } },
      }),
    );

  test.each([
    [100, -99, 'none', 1000],
    [100, -100, 'deleteResource', undefined],
    [0, 0, 'deleteResource', undefined],
    [31_536_000, -5, 'none', 31_535_995_000],
  ])('%i s, finished %i s ago: %s', (ttl, completed, action, requeueAfterMs) => {
    expect(rest(ttl, completed)).toMatchObject({ stage: 'rest', action: { kind: action } });
    expect(rest(ttl, completed)?.requeueAfterMs).toBe(requeueAfterMs);
  });
});

describe('abandon', () => {
  const run = (value: string | undefined, parts: SnapshotParts): ReturnType<typeof abandon> =>
    abandon(
      snapshot({
        ...parts,
        metadata: {
          ...deleted,
          ...(value !== undefined && { annotations: { [abandonPodsAnnotation]: value } }),
          ...parts.metadata,
        },
      }),
    );
  const two = { status: { attempt: observed }, pods: [pod(), pod({ id: 'other' })] };

  test.each([
    ['exactly the pod that is left', 'pod1', { status: { attempt: observed } }, ['pod1']],
    ['all pods that are left, in any order, with spaces', ' pod1 , other,', two, ['other', 'pod1']],
    [
      'the name of a pod whose id is not known',
      nameOf(1),
      { status: { attempt: attempt({ state: 'Unknown' }) } },
      [nameOf(1)],
    ],
  ] as const)('%s', (_, value, parts, abandoned) => {
    expect(run(value, parts)).toMatchObject({
      stage: 'abandon',
      action: { kind: 'removeFinalizer', abandoned },
      say: { reason: 'PodsAbandoned' },
    });
  });

  test.each([
    ['no annotation', undefined, two],
    ['an empty one', '', two],
    ['only one of two pods', 'pod1', two],
    ['a pod too many', 'pod1,other,third', two],
    ['another pod', 'other', { status: { attempt: observed } }],
    ['"all"', 'all', two],
    ['no pod is left', '', { status: { attempt: attempt({ state: 'Gone' }) } }],
    ['the job is not deleted', 'pod1', { status: { attempt: observed }, metadata: { deletionTimestamp: undefined } }],
    ['the finalizer is off', 'pod1', { status: { attempt: observed }, metadata: { finalizers: [] } }],
  ] as readonly (readonly [string, string | undefined, SnapshotParts])[])('not by %s', (_, value, parts) => {
    expect(run(value, parts)).toBeUndefined();
  });

  test('what is left is named once, sorted', () => {
    expect(podsLeft(snapshot(two))).toEqual(['other', 'pod1']);
    expect(podsLeft(snapshot({ nowMs, status: { attempt: attempt({ state: 'Refused' }) } }))).toEqual([]);
  });
});
