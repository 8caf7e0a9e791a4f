import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import type { TrainingJobStatus } from '../../controller/api/trainingjob.ts';
import type { ActResult } from '../../controller/reconcile/act.ts';
import { afterAct } from '../../controller/reconcile/afteract.ts';
import { decide } from '../../controller/reconcile/decide.ts';
import { jobEvents } from '../../controller/reconcile/jobevents.ts';
import type { CreateResult } from '../../controller/reconcile/snapshot.ts';
import { nextStatus } from '../../controller/reconcile/status.ts';
import { scoreEvaluation, initialScorer } from '../../controller/scoring/best.ts';
import type { JobTelemetry } from '../../controller/telemetry/jobtelemetry.ts';
import { contact } from '../../controller/telemetry/summary.ts';
import {
  at,
  final,
  isoAt,
  list,
  nameOf,
  pod,
  snapshot,
  spec,
  telemetry,
  type SnapshotParts,
} from '../unit/snapshot.ts';

/** One pass: what the world is like then, and what the plan's action brings. */
interface Pass {
  readonly name: string;
  readonly world: SnapshotParts;
  readonly answer?: CreateResult;
  /** Billing ends when an accepted terminate ends, at the instant of the pass. */
  readonly terminated?: true;
}

/** Each pass starts from the status that the one before wrote, as the API server gives it back. */
function played(
  passes: readonly Pass[],
  first: TrainingJobStatus | null = null,
): readonly (readonly [string, string])[] {
  let status = first;
  return passes.map(({ name, world, answer, terminated }, index) => {
    const before = snapshot({ ...world, status });
    const planned = decide(before);
    const { action } = planned;
    let result: ActResult = { kind: 'none' };
    if (action.kind === 'createPod' && answer) result = { kind: 'create', attempt: action.attempt, result: answer };
    if (action.kind === 'terminatePod' && terminated)
      result = { kind: 'terminated', podID: action.podID, atMs: before.nowMs };
    const plan = afterAct(before, planned, result);
    const next = nextStatus(before, plan);
    // A change of the resource itself ends the pass; its status is written by the next.
    const resource = action.kind === 'addFinalizer' || action.kind === 'removeFinalizer';
    if (!resource) status = JSON.parse(JSON.stringify(next)) as TrainingJobStatus;
    const told = {
      at: new Date(before.nowMs).toISOString(),
      stage: plan.stage,
      action:
        action.kind === 'createPod'
          ? { kind: action.kind, podName: action.attempt.podName, candidate: action.candidate.name }
          : action,
      ...(plan.requeueAfterMs !== undefined && { requeueAfterMs: plan.requeueAfterMs }),
      wantsList: plan.wantsList ?? false,
      ...(resource
        ? { say: plan.say }
        : { events: jobEvents(before.status, next), changes: changes(before.status, next) }),
    };
    return [
      `${String(index + 1).padStart(2, '0')}-${name}`,
      stringify(told, { lineWidth: 0, aliasDuplicateObjects: false, singleQuote: true }),
    ];
  });
}

/** The members of status that this pass changed; each condition as one line. */
function changes(before: TrainingJobStatus, next: TrainingJobStatus): Readonly<Record<string, unknown>> {
  const changed = (old: object, now: object): Readonly<Record<string, unknown>> => {
    const was = new Map<string, unknown>(Object.entries(old));
    return Object.fromEntries(Object.entries(now).filter(([key, value]) => !isDeepStrictEqual(was.get(key), value)));
  };
  const conditions = changed(lines(before), lines(next));
  return {
    ...changed({ ...before, conditions: [] }, { ...next, conditions: [] }),
    ...(Object.keys(conditions).length > 0 && { conditions }),
  };
}

function lines({ conditions = [] }: TrainingJobStatus): Readonly<Record<string, string>> {
  return Object.fromEntries(
    conditions.map(({ type, status, reason, message, lastTransitionTime }) => [
      type,
      `${status} since ${lastTransitionTime.slice(11, 19)}, ${reason}${message === '' ? '' : `: ${message}`}`,
    ]),
  );
}

const job: SnapshotParts = {
  nonce: 'x9q2',
  spec: {
    budget: { maxTotal: '1.00' },
    checkpoints: { uri: 'file:///volume/checkpoints/fit', keepBest: 1, keepLast: 1 },
    output: { uri: 'file:///volume/models/fit' },
  },
};
const mine = pod({ createdAt: at(2), status: 'PROVISIONING' });
const runs = pod({ createdAt: at(2) });
const with1 = { pods: [runs], lists: [list(15, ['pod1', nameOf(1)])] };
const heard = telemetry({
  firstContactAt: at(20),
  lastReportAt: at(21),
  trainerVersion: '0.1.0',
  stage: 'Training',
  totalSteps: 200,
  evaluationEverySteps: 20,
  nextEvaluationStep: 20,
  dataset: { samples: 442, trainSamples: 353, evalSamples: 89, sha256: 'd'.repeat(64) },
});
const going = {
  ...heard,
  step: 10,
  firstStep: 10,
  lastReportAt: at(30),
  lastSequence: 4,
  metrics: [{ name: 'train/loss', value: 0.651, step: 10, best: 0.651, bestStep: 10 }],
};
const evaluation = { step: 20, epoch: 0.1, evalLoss: 0.64, trainLoss: 0.632, trainLossStep: 20, metrics: {} };
const scored = scoreEvaluation(initialScorer, evaluation, { strategy: 'MultiMetric' });
const checkpoint = {
  step: 20,
  uri: 'file:///volume/checkpoints/fit/20',
  manifestSHA256: 'c'.repeat(64),
  verified: true,
  time: at(41),
  attempt: 1,
  scorer: scored.state,
  scored: scored.state.best!,
};
const evaluated = {
  ...going,
  step: 20,
  lastReportAt: at(41),
  lastSequence: 6,
  evaluations: 1,
  nextEvaluationStep: 40,
  scorer: scored.state,
  best: { ...scored.state.best!, verified: true, uri: checkpoint.uri, manifestSHA256: checkpoint.manifestSHA256 },
  evalsSinceBest: 0,
  checkpoints: [checkpoint],
  latestCheckpoint: checkpoint,
};
const reported = {
  ...evaluated,
  step: 200,
  lastReportAt: at(90),
  lastSequence: 30,
  finals: {
    1: final({
      message: 'Trained 200 rounds; the best is step 20.',
      output: { uri: 'file:///volume/models/fit/1', manifestSHA256: 'e'.repeat(64) },
      logTail: ['saved model.json'],
      receivedAt: at(90),
    }),
  },
};
const accepted = { terminates: { pod1: { sentAtMs: at(91), acceptedAtMs: at(91) } }, lastWriteAtMs: at(91) };

/** An evaluation more, whose step leads and whose weights never come. */
const second = scoreEvaluation(
  scored.state,
  { ...evaluation, step: 40, evalLoss: 0.5, trainLoss: 0.5 },
  { strategy: 'MultiMetric' },
);
const leading: JobTelemetry = {
  ...evaluated,
  step: 40,
  evaluations: 2,
  scorer: second.state,
  best: { ...second.state.best!, verified: false },
};
const kept: JobTelemetry = { ...evaluated, lastReportAt: at(44), checkpoints: [{ ...checkpoint, time: at(44) }] };
const pausing: SnapshotParts = { ...job, spec: { ...job.spec, suspend: true } };
const anew: SnapshotParts = { ...job, spec: { ...job.spec, restartToken: '2' } };

const capped: SnapshotParts = {
  ...job,
  spec: {
    ...job.spec,
    compute: {
      ...spec.compute,
      candidates: [{ ...spec.compute.candidates[0]!, maxPricePerHour: '0.10' }, spec.compute.candidates[1]!],
    },
  },
};
const poor: SnapshotParts = { ...job, ...with1, spec: { ...job.spec, budget: { maxTotal: '0.0060' } } };
const rented: TrainingJobStatus = {
  startTime: isoAt(0),
  attempt: {
    number: 1,
    nonce: 'x9q2',
    podName: nameOf(1),
    candidate: 'small',
    account: 'default',
    state: 'Observed',
    intentTime: isoAt(0),
    createTime: isoAt(1),
    podID: 'pod1',
    instance: 'cpu3c 4 vCPU',
    dataCenter: 'EU-RO-1',
    pricePerHour: '0.12',
    billedFrom: isoAt(2),
    connectedTime: isoAt(20),
    trainerVersion: '0.1.0',
  },
};

const stories: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  success: played([
    { name: 'new', world: { ...job, metadata: { finalizers: [] } } },
    { name: 'accepted', world: job },
    { name: 'intent', world: job },
    {
      name: 'created',
      world: { ...job, nowMs: at(1), own: { freshIntent: 1 } },
      answer: { kind: 'created', pod: mine },
    },
    { name: 'provisioning', world: { ...job, ...with1, nowMs: at(16), pods: [mine] } },
    { name: 'connected', world: { ...job, ...with1, nowMs: at(21), telemetry: heard } },
    { name: 'progress', world: { ...job, ...with1, nowMs: at(31), telemetry: going } },
    { name: 'best', world: { ...job, ...with1, nowMs: at(41), telemetry: evaluated } },
    { name: 'final', world: { ...job, ...with1, nowMs: at(90), telemetry: reported } },
    { name: 'terminating', world: { ...job, ...with1, nowMs: at(91), telemetry: reported }, terminated: true },
    {
      name: 'waiting-for-proof',
      world: { ...job, nowMs: at(101), telemetry: reported, lists: [list(100)], own: accepted },
    },
    {
      name: 'succeeded',
      world: { ...job, nowMs: at(121), telemetry: reported, lists: [list(100), list(120)], own: accepted },
    },
    { name: 'rests', world: { ...job, nowMs: at(5000), telemetry: reported, lists: [list(4990)] } },
    {
      name: 'deleted',
      world: { ...job, nowMs: at(6000), metadata: { deletionTimestamp: isoAt(5999) }, lists: [list(5990)] },
    },
  ]),
  refused: played(
    [
      { name: 'intent', world: job },
      {
        name: 'no-capacity',
        world: { ...job, nowMs: at(1), own: { freshIntent: 1 } },
        answer: { kind: 'refused', class: 'NoCapacity', message: 'There are no longer any instances available' },
      },
      { name: 'next-candidate', world: { ...job, nowMs: at(2) } },
      {
        name: 'no-balance',
        world: { ...job, nowMs: at(3), own: { freshIntent: 2 } },
        answer: { kind: 'refused', class: 'Balance', message: 'Your balance is too low' },
      },
      { name: 'waiting', world: { ...job, nowMs: at(4) } },
      { name: 'asked-again', world: { ...job, nowMs: at(16) } },
    ],
    { startTime: isoAt(0) },
  ),
  'unknown-outcome': played(
    [
      { name: 'intent', world: job },
      {
        name: 'answer-lost',
        world: { ...job, nowMs: at(1), own: { freshIntent: 1 } },
        answer: { kind: 'unknown', message: 'no answer in 30 s' },
      },
      {
        name: 'looking',
        world: { ...job, nowMs: at(40), lists: [list(35)], own: { create: { attempt: 1, sentAtMs: at(1) } } },
      },
      { name: 'adopted', world: { ...job, ...with1, nowMs: at(50) } },
    ],
    { startTime: isoAt(0) },
  ),
  'never-appeared': played(
    [
      { name: 'intent', world: job },
      { name: 'restarted', world: { ...job, nowMs: at(10), own: { processStartedAtMs: at(5) } } },
      { name: 'given-up', world: { ...job, nowMs: at(96), lists: [list(95)], own: { processStartedAtMs: at(5) } } },
      {
        name: 'asked-again',
        world: { ...job, nowMs: at(97), lists: [list(95)], own: { processStartedAtMs: at(5) }, nonce: 'k3w8' },
      },
    ],
    { startTime: isoAt(0) },
  ),
  budget: played(
    [
      { name: 'runs', world: { ...poor, nowMs: at(41), telemetry: evaluated } },
      { name: 'asked-to-stop', world: { ...poor, nowMs: at(180), telemetry: { ...evaluated, lastReportAt: at(179) } } },
      {
        name: 'stopped',
        world: {
          ...poor,
          nowMs: at(185),
          telemetry: {
            ...evaluated,
            lastReportAt: at(184),
            finals: {
              1: final({
                outcome: 'Stopped',
                exitCode: 130,
                reason: 'StoppedOnRequest',
                message: 'Stopped at step 20.',
              }),
            },
          },
        },
      },
    ],
    rented,
  ),
  'price-above-cap': played(
    [
      { name: 'intent', world: capped },
      {
        name: 'charged-more',
        world: { ...capped, nowMs: at(3), own: { freshIntent: 1 } },
        answer: { kind: 'created', pod: mine },
      },
      { name: 'ending', world: { ...capped, ...with1, nowMs: at(16) }, terminated: true },
      {
        name: 'gone',
        world: { ...capped, nowMs: at(41), lists: [list(17), list(40)], own: { lastWriteAtMs: at(16) } },
      },
      { name: 'next-candidate', world: { ...capped, nowMs: at(42), lists: [list(17), list(40)] } },
    ],
    { startTime: isoAt(0) },
  ),
  'deleted-while-running': played(
    [
      { name: 'runs', world: { ...job, ...with1, nowMs: at(41), telemetry: evaluated } },
      {
        name: 'deleted',
        world: { ...job, ...with1, nowMs: at(42), telemetry: evaluated, metadata: { deletionTimestamp: isoAt(42) } },
        terminated: true,
      },
      {
        name: 'waiting-for-proof',
        world: {
          ...job,
          nowMs: at(60),
          lists: [list(50)],
          telemetry: evaluated,
          metadata: { deletionTimestamp: isoAt(42) },
          own: { lastWriteAtMs: at(42) },
        },
      },
      {
        name: 'released',
        world: {
          ...job,
          nowMs: at(71),
          lists: [list(50), list(70)],
          telemetry: evaluated,
          metadata: { deletionTimestamp: isoAt(42) },
          own: { lastWriteAtMs: at(42) },
        },
      },
    ],
    rented,
  ),
  'host-lost': played(
    [
      { name: 'best-without-weights', world: { ...job, ...with1, nowMs: at(41), telemetry: leading } },
      { name: 'lost', world: { ...job, nowMs: at(81), telemetry: leading, lists: [list(55), list(80)] } },
      { name: 'closed', world: { ...job, nowMs: at(81), telemetry: leading, lists: [list(55), list(80)] } },
      { name: 'recovering', world: { ...job, nowMs: at(82), telemetry: leading, lists: [list(80)] } },
      { name: 'next-attempt', world: { ...job, nowMs: at(91), telemetry: leading, lists: [list(80)] } },
      {
        name: 'created',
        world: { ...job, nowMs: at(92), telemetry: leading, own: { freshIntent: 2 } },
        answer: { kind: 'created', pod: pod({ attempt: 2, createdAt: at(92) }) },
      },
      {
        name: 'resumed',
        world: {
          ...job,
          nowMs: at(101),
          pods: [pod({ attempt: 2, createdAt: at(92) })],
          telemetry: contact(leading, leading.uid, 2, 'pod2', at(100)),
        },
      },
    ],
    rented,
  ),
  'out-of-retries': played(
    [
      {
        name: 'failed',
        world: {
          ...job,
          ...with1,
          nowMs: at(41),
          spec: { ...job.spec, runPolicy: { ...spec.runPolicy, backoffLimit: 0 } },
          telemetry: {
            ...evaluated,
            finals: { 1: final({ outcome: 'Failed', exitCode: 4, reason: 'OutOfMemory', message: 'No memory.' }) },
          },
        },
      },
    ],
    rented,
  ),
  suspended: played(
    [
      { name: 'asked', world: { ...pausing, ...with1, nowMs: at(42), telemetry: evaluated } },
      { name: 'checkpointing', world: { ...pausing, ...with1, nowMs: at(43), telemetry: evaluated } },
      { name: 'stored', world: { ...pausing, ...with1, nowMs: at(45), telemetry: kept } },
      { name: 'terminating', world: { ...pausing, ...with1, nowMs: at(46), telemetry: kept }, terminated: true },
      { name: 'closed', world: { ...pausing, nowMs: at(81), telemetry: kept, lists: [list(55), list(80)] } },
      { name: 'suspended', world: { ...pausing, nowMs: at(82), telemetry: kept } },
      { name: 'rests', world: { ...pausing, nowMs: at(90_000), telemetry: kept } },
      { name: 'resumed', world: { ...job, nowMs: at(90_001), telemetry: kept } },
      { name: 'next-attempt', world: { ...job, nowMs: at(90_002), telemetry: kept } },
    ],
    rented,
  ),
  restarted: played(
    [
      { name: 'runs', world: { ...job, ...with1, nowMs: at(41), telemetry: evaluated } },
      { name: 'token-changed', world: { ...anew, ...with1, nowMs: at(42), telemetry: evaluated } },
      { name: 'ending', world: { ...anew, ...with1, nowMs: at(43), telemetry: evaluated }, terminated: true },
      { name: 'closed', world: { ...anew, nowMs: at(81), telemetry: evaluated, lists: [list(55), list(80)] } },
      { name: 'new-run', world: { ...anew, nowMs: at(82), telemetry: evaluated } },
      { name: 'taken-up', world: { ...anew, nowMs: at(83), telemetry: evaluated } },
      { name: 'next-attempt', world: { ...anew, nowMs: at(84), telemetry: evaluated } },
    ],
    { ...rented, run: { number: 1, specHash: 'a'.repeat(64), restartToken: '', firstAttempt: 1 } },
  ),
  stalled: played([
    { name: 'accepted', world: job },
    {
      name: 'secret-missing',
      world: {
        ...job,
        missingSecrets: ['env HF_TOKEN: Secret hub is not in namespace team; create it with the key token.'],
      },
    },
    { name: 'wiped-status-and-a-pod', world: { ...job, ...with1, nowMs: at(41), telemetry: evaluated } },
  ]),
};

describe.each(Object.entries(stories))('%s', (story, passes) => {
  test.each(passes)('%s', async (name, text) => {
    await expect(text).toMatchFileSnapshot(`./${story}/${name}.yaml`);
  });
});
