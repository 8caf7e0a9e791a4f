import { describe, expect, test } from 'vitest';
import { abandonPodsAnnotation, type Attempt } from '../../controller/api/trainingjob.ts';
import { afterAct } from '../../controller/reconcile/afteract.ts';
import type { ActResult } from '../../controller/reconcile/act.ts';
import { decide } from '../../controller/reconcile/decide.ts';
import { WriteMemory } from '../../controller/reconcile/memory.ts';
import { nothing, type Plan } from '../../controller/reconcile/plan.ts';
import { recordCreate } from '../../controller/reconcile/record.ts';
import type { CreateResult } from '../../controller/reconcile/snapshot.ts';
import { launch } from '../../controller/reconcile/stages/launch.ts';
import { unknownOutcome } from '../../controller/reconcile/stages/unknownoutcome.ts';
import { RunpodError } from '../../controller/runpod/errors.ts';
import { at, attempt, isoAt, list, nameOf, pod, snapshot, spec, uid, type SnapshotParts } from './snapshot.ts';

const intent = attempt({ state: 'Intent' });
const unknown = attempt({ state: 'Unknown' });
const sent = { attempt: 1, sentAtMs: at(-95) };

describe('unknown outcome', () => {
  const run = (state: Attempt, parts: SnapshotParts = {}): Plan | undefined =>
    unknownOutcome(snapshot({ status: { attempt: state }, ...parts }));

  test.each(['Refused', 'Observed', 'Gone', 'Abandoned'] as const)('is none of %s', (state) => {
    expect(run(attempt({ state }))).toBeUndefined();
  });

  test('is none of a job without attempt, nor of an intent that this process has yet to send', () => {
    expect(unknownOutcome(snapshot())).toBeUndefined();
    expect(run(intent, { own: { freshIntent: 1 } })).toBeUndefined();
  });

  test('an intent that is not known to be unsent counts as sent', () => {
    const plan = run(intent, { own: { processStartedAtMs: at(-10) } });
    expect(plan).toMatchObject({
      action: { kind: 'none' },
      record: { attempt: { ...intent, state: 'Unknown' } },
      say: { reason: 'CreateOutcomeUnknown' },
      wantsList: true,
      requeueAfterMs: 80_000,
    });
  });

  test('a fresh intent of another number is no reason to believe this one unsent', () => {
    expect(run(intent, { own: { freshIntent: 2 } })).toMatchObject({ stage: 'unknownOutcome' });
  });

  test.each([intent, unknown])('the pod in the list is adopted ($state)', (state) => {
    const plan = run(state, { pods: [pod()] });
    expect(plan?.record.attempt).toMatchObject({
      state: 'Observed',
      podID: 'pod1',
      instance: 'cpu3c 4 vCPU',
      dataCenter: 'EU-RO-1',
      pricePerHour: '0.12',
      billedFrom: isoAt(-58),
    });
    expect(plan?.action).toEqual(nothing);
  });

  test('of several pods by that name the oldest that runs is adopted', () => {
    const pods = [
      pod({ id: 'starting', status: 'STARTING', createdAt: at(-90) }),
      pod({ id: 'younger', createdAt: at(-40) }),
      pod({ id: 'older', createdAt: at(-50) }),
    ];
    expect(run(unknown, { pods })?.record.attempt?.podID).toBe('older');
  });

  test('a pod of another attempt is not taken for it', () => {
    const plan = run(attempt({ number: 2, state: 'Unknown' }), {
      pods: [pod()],
      own: { create: { ...sent, attempt: 2 } },
    });
    expect(plan?.record.attempt?.podID).toBeUndefined();
  });

  test('an adopted pod that is charged too much is to be ended', () => {
    const candidates = [{ ...spec.compute.candidates[0]!, maxPricePerHour: '0.10' }];
    const plan = run(unknown, { pods: [pod()], spec: { compute: { ...spec.compute, candidates } } });
    expect(plan?.record.attempt).toMatchObject({ state: 'Observed', end: { reason: 'PriceAboveCap' } });
  });

  test('an answer whose status write failed is written now', () => {
    const refused = { kind: 'refused', class: 'NoCapacity', message: 'none left' } as const;
    expect(run(intent, { own: { create: { ...sent, result: refused } } })?.record).toMatchObject({
      attempt: { state: 'Refused', createTime: isoAt(-95) },
      refusals: [{ candidate: 'small', class: 'NoCapacity', count: 1 }],
    });
    const created = { kind: 'created', pod: pod() } as const;
    expect(run(intent, { own: { create: { ...sent, result: created } } })?.record.attempt).toMatchObject({
      state: 'Observed',
      podID: 'pod1',
    });
  });

  test('the answer to the create of another attempt is not this one its own', () => {
    const refused = { kind: 'refused', class: 'NoCapacity', message: 'none left' } as const;
    const own = { create: { attempt: 1, sentAtMs: at(-5), result: refused }, processStartedAtMs: at(-10) };
    expect(run(attempt({ number: 2, state: 'Unknown' }), { own })?.record).toEqual({});
  });

  const lost = { kind: 'unknown', message: 'timeout' } as const;
  const waits: readonly (readonly [string, SnapshotParts, boolean])[] = [
    ['before its grace is over', { own: { create: { attempt: 1, sentAtMs: at(-80), result: lost } } }, false],
    ['by lists that began before its grace was over', { own: { create: sent }, lists: [list(-6)] }, false],
    ['by a list that began when its grace was over', { own: { create: sent }, lists: [list(-5)] }, true],
    ['by a later list', { own: { create: sent }, lists: [list(-1)] }, true],
    ['by a list that is not believed', { own: { create: sent }, lists: [list(-20), list(-1, [], false)] }, false],
    ['without any list', { own: { create: sent }, lists: [] }, false],
    ['so soon after a restart', { own: { processStartedAtMs: at(-80) } }, false],
    ['once lists began long enough after the restart', { own: { processStartedAtMs: at(-95) } }, true],
  ];
  test.each(waits)('a pod that never appears is given up %s', (_, parts, givenUp) => {
    const plan = run(unknown, parts);
    expect(plan?.record.attempt?.state === 'Abandoned').toBe(givenUp);
    if (givenUp) {
      expect(plan?.record.ledger).toMatchObject({
        number: 1,
        podName: nameOf(1),
        reason: 'CreateOutcomeUnknown',
        endTime: isoAt(0),
        cost: '0.0000',
      });
      expect(plan?.record.ledger).not.toHaveProperty('startTime');
    } else expect(plan).toMatchObject({ record: {}, wantsList: true, say: { reason: 'CreateOutcomeUnknown' } });
  });

  test('once the grace is over only a list makes the job due: no pass follows at once', () => {
    expect(run(unknown, { own: { create: sent }, lists: [list(-6)] })).not.toHaveProperty('requeueAfterMs');
  });

  test('a refused key is told', () => {
    const plan = run(unknown, { own: { create: sent }, lists: [], listError: new RunpodError('unauthorized', 'no') });
    expect(plan?.say).toMatchObject({ reason: 'AccountUnauthorized', stalled: true });
  });

  test.each([
    ['a job that is being deleted', { metadata: { deletionTimestamp: isoAt(-3) } }, {}],
    ['a run that is over', {}, { outcome: { result: 'Failed', reason: 'BudgetExceeded', time: isoAt(-3) } as const }],
  ])('%s waits for it as well', (_, parts, more) => {
    const plan = decide(
      snapshot({ ...parts, status: { attempt: unknown, ...more }, own: { create: { ...sent, sentAtMs: at(-5) } } }),
    );
    expect(plan).toMatchObject({ stage: 'unknownOutcome', action: { kind: 'none' } });
  });
});

describe('launch', () => {
  const run = (state: Attempt, parts: SnapshotParts = {}): Plan | undefined =>
    launch(snapshot({ status: { attempt: state }, own: { freshIntent: 1 }, ...parts }));

  test('sends the create of an intent that this process wrote', () => {
    expect(run(intent)).toMatchObject({
      stage: 'launch',
      action: {
        kind: 'createPod',
        attempt: { ...intent, createTime: isoAt(0) },
        candidate: spec.compute.candidates[0],
      },
      record: {},
    });
  });

  test.each([
    ['of another process', intent, { own: {} }],
    ['of another number', intent, { own: { freshIntent: 2 } }],
    ['that was sent', unknown, {}],
    ['that has its pod', attempt(), {}],
  ] as const)('sends none of an intent %s', (_, state, parts) => expect(run(state, parts)).toBeUndefined());

  test('gives up an intent whose candidate is no longer in the spec', () => {
    const compute = { ...spec.compute, candidates: [spec.compute.candidates[1]!] };
    const plan = run(intent, { spec: { compute } });
    expect(plan).toMatchObject({ action: { kind: 'none' }, record: { attempt: { state: 'Abandoned' } } });
    expect(plan?.record.ledger).toBeUndefined();
  });

  test('asks for what the spec says of the candidate now', () => {
    const changed = { name: 'small', cpu: { flavor: 'cpu5c', vcpus: 8 }, cloud: 'Secure' } as const;
    const plan = run(intent, { spec: { compute: { ...spec.compute, candidates: [changed] } } });
    expect(plan?.action).toMatchObject({ candidate: changed });
  });

  test('while every candidate waits for a person, asking again does not take that back', () => {
    const refusals = ['small', 'large'].map((candidate) => ({
      candidate,
      class: 'Balance' as const,
      message: 'balance too low',
      count: 2,
      generation: 1,
      lastTime: isoAt(-40),
      retryTime: isoAt(-10),
    }));
    const status = { attempt: intent, placement: { refusals } };
    expect(run(intent, { status })?.say).toMatchObject({ reason: 'InsufficientBalance', stalled: true });
  });
});

describe('the answer to a create', () => {
  const record = (result: CreateResult, parts: SnapshotParts = {}): ReturnType<typeof recordCreate> =>
    recordCreate(snapshot({ status: { attempt: intent }, ...parts }), { ...intent, createTime: isoAt(-2) }, result);

  test('a pod is recorded with what is charged for it', () => {
    expect(record({ kind: 'created', pod: pod() })).toMatchObject({
      record: { attempt: { state: 'Observed', podID: 'pod1', createTime: isoAt(-2), pricePerHour: '0.12' } },
      say: { reason: 'PodStarting' },
    });
  });

  test('a pod without a rate yet has none, not one of zero', () => {
    const recorded = record({ kind: 'created', pod: pod({ costUsdPerHour: 0 }) }).record.attempt;
    expect(recorded).not.toHaveProperty('pricePerHour');
  });

  test('a refusal is counted, with when the candidate may be asked again', () => {
    const result = { kind: 'refused', class: 'NoCapacity', message: 'none left' } as const;
    expect(record(result).record).toEqual({
      attempt: { ...intent, createTime: isoAt(-2), state: 'Refused' },
      refusals: [
        {
          candidate: 'small',
          class: 'NoCapacity',
          message: 'none left',
          count: 1,
          generation: 1,
          lastTime: isoAt(0),
          retryTime: isoAt(15),
        },
      ],
    });
  });

  test('no usable answer makes the outcome unknown', () => {
    expect(record({ kind: 'unknown', message: 'timeout' })).toMatchObject({
      record: { attempt: { state: 'Unknown', createTime: isoAt(-2) } },
      say: { reason: 'CreateOutcomeUnknown' },
      wantsList: true,
    });
  });

  test('a wait that Runpod asks for is kept, but not one that no clock can hold', () => {
    const retryTime = (retryAfterMs: number): string | undefined =>
      record({ kind: 'refused', class: 'RateLimited', message: '', retryAfterMs }).record.refusals?.[0]?.retryTime;
    expect(retryTime(0)).toBe(isoAt(15));
    expect(retryTime(60_000)).toBe(isoAt(60));
    expect(retryTime(1e300)).toBe(isoAt(86_400));
  });
});

describe('what an action brought', () => {
  const plan: Plan = { stage: 'settle', action: nothing, record: {}, say: { reason: 'X', message: 'x' } };
  const after = (result: ActResult, parts: SnapshotParts = {}): Plan =>
    afterAct(snapshot({ status: { attempt: attempt() }, ...parts }), plan, result);

  test('nothing', () => expect(after({ kind: 'none' })).toBe(plan));

  test('an accepted end is where billing ends', () => {
    const result = { kind: 'terminated', podID: 'pod1', atMs: at(2) } as const;
    expect(after(result).record.attempt).toEqual(attempt({ billedTo: isoAt(2) }));
  });

  test('the end of another pod changes nothing of the recorded one', () => {
    expect(after({ kind: 'terminated', podID: 'other', atMs: at(2) })).toBe(plan);
  });

  test.each(['unauthorized', 'forbidden'] as const)('a key that is %s stalls, and tells the pods left', (kind) => {
    const error = new RunpodError(kind, 'no such key');
    const said = after({ kind: 'terminateFailed', podID: 'pod1', error }, { pods: [pod(), pod({ id: 'other' })] }).say;
    expect(said).toMatchObject({ reason: 'AccountUnauthorized', stalled: true });
    expect(said.message).toContain('Pods left: other,pod1.');
    expect(said.message).not.toContain('annotate');
  });

  test('of a deleted job it tells how to release it', () => {
    const error = new RunpodError('unauthorized', 'no such key');
    const parts = { metadata: { deletionTimestamp: isoAt(-3) } };
    expect(after({ kind: 'terminateFailed', podID: 'pod1', error }, parts).say.message).toContain(
      `kubectl annotate tj -n team fit ${abandonPodsAnnotation}=pod1`,
    );
  });

  test('any other failure is told and tried again', () => {
    const error = new RunpodError('conflict', 'pod is locked');
    expect(after({ kind: 'terminateFailed', podID: 'pod1', error }).say).toMatchObject({
      reason: 'EndingPodFailed',
      stalled: false,
    });
  });
});

describe('memory of own writes', () => {
  test('an intent is fresh from its write to its create', () => {
    const memory = new WriteMemory(at(-3600));
    memory.intentWritten(uid, 1);
    expect(memory.of(uid)).toEqual({ processStartedAtMs: at(-3600), freshIntent: 1 });
    memory.createSent(uid, 1, at(0));
    expect(memory.of(uid)).toEqual({
      processStartedAtMs: at(-3600),
      create: { attempt: 1, sentAtMs: at(0) },
      lastWriteAtMs: at(0),
    });
    memory.createAnswered(uid, 1, { kind: 'unknown', message: 'cut' }, at(30));
    expect(memory.of(uid)).toMatchObject({
      create: { sentAtMs: at(0), result: { kind: 'unknown' } },
      lastWriteAtMs: at(30),
    });
  });

  test('the ends of two pods are kept beside each other', () => {
    const memory = new WriteMemory(0);
    memory.terminateSent(uid, 'a', 1);
    memory.terminateAccepted(uid, 'a', 2);
    memory.terminateSent(uid, 'b', 3);
    expect(memory.of(uid)).toMatchObject({
      terminates: { a: { sentAtMs: 1, acceptedAtMs: 2 }, b: { sentAtMs: 3 } },
      lastWriteAtMs: 3,
    });
    memory.terminateSent(uid, 'a', 4);
    expect(memory.of(uid).terminates?.['a']).toEqual({ sentAtMs: 4 });
  });

  test('what belongs to one job is not another job its own, and can be forgotten', () => {
    const memory = new WriteMemory(7);
    memory.intentWritten(uid, 1);
    expect(memory.of('other')).toEqual({ processStartedAtMs: 7 });
    memory.forget(uid);
    expect(memory.of(uid)).toEqual({ processStartedAtMs: 7 });
  });
});
