import * as fc from 'fast-check';
import type { Arbitrary } from 'fast-check';
import {
  abandonPodsAnnotation,
  finalizer,
  type Attempt,
  type ObjectMeta,
  type Refusal,
} from '../../controller/api/trainingjob.ts';
import type { CreateResult, OwnWrites, Snapshot } from '../../controller/reconcile/snapshot.ts';
import type { CloudPod } from '../../controller/runpod/cloudpod.ts';
import { RunpodError } from '../../controller/runpod/errors.ts';
import type { ListRecord } from '../../controller/runpod/inventory.ts';
import { initialScorer, type BestStep } from '../../controller/scoring/best.ts';
import type { CheckpointSummary, FinalSummary, JobTelemetry } from '../../controller/telemetry/jobtelemetry.ts';
import { at, final, isoAt, nameOf, pod, snapshot, spec, telemetry } from '../unit/snapshot.ts';

/** Snapshots of all kinds, also of those that no history leads to: decide must have an answer to each. */

/** Seconds from the snapshot's own instant; mostly near it, where limits are reached. */
const seconds = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: -400, max: 10 }) },
  { weight: 1, arbitrary: fc.integer({ min: -50_000, max: 50_000 }) },
);
const instant = seconds.map(isoAt);
const instantMs = seconds.map(at);
const number = fc.integer({ min: 1, max: 4 });
const nonce = fc.constantFrom('x9q2', 'abcd');
const amount = fc.constantFrom('0.00', '0.12', '3.60', '100.00');

/** An object of which any optional part may be missing. */
function partly<T extends object>(parts: { readonly [K in keyof T]?: Arbitrary<T[K]> }): Arbitrary<Partial<T>> {
  return fc.record(parts as { [K in keyof T]: Arbitrary<T[K]> }, { requiredKeys: [] }) as Arbitrary<Partial<T>>;
}

const noted = fc.record({
  reason: fc.constantFrom('BudgetExceeded', 'WrongPlace'),
  message: fc.string({ maxLength: 20 }),
  time: instant,
});

const attempts: Arbitrary<Attempt> = fc
  .tuple(
    number,
    nonce,
    fc.constantFrom('Intent', 'Unknown', 'Refused', 'Observed', 'Observed', 'Observed', 'Gone', 'Abandoned'),
    partly({
      createTime: instant,
      instance: fc.constantFrom('cpu3c 4 vCPU', '1x NVIDIA H100 80GB HBM3'),
      dataCenter: fc.constantFrom('EU-RO-1', 'US-KS-2'),
      pricePerHour: amount,
      billedFrom: instant,
      billedTo: instant,
      connectedTime: instant,
      stop: noted,
      end: fc.tuple(noted, fc.constantFrom('Suspended', 'Restarted', 'PodLost')).map(([entry, reason]) => ({
        ...entry,
        reason,
        ...(reason === 'PodLost' && { fault: 'Host' as const }),
      })),
      checkpointing: fc.record({ time: instant }),
    }),
    fc.constantFrom('small', 'large', 'removed'),
    instant,
  )
  .map(([value, letters, state, more, candidate, intentTime]) => ({
    number: value,
    nonce: letters,
    podName: nameOf(value, letters),
    candidate,
    account: 'default',
    state,
    intentTime,
    ...(state === 'Observed' || state === 'Gone' ? { podID: `pod${value}` } : {}),
    ...more,
  }));

const pods: Arbitrary<readonly CloudPod[]> = fc.uniqueArray(
  fc
    .tuple(
      number,
      nonce,
      fc.constantFrom('', 'twin'),
      fc.constantFrom<CloudPod['status']>('PROVISIONING', 'RUNNING', 'RUNNING', 'EXITED', 'ERROR'),
      fc.constantFrom(0, 0.12, 5),
      instantMs,
      fc.constantFrom<Partial<CloudPod>>(
        {},
        { gpuType: 'NVIDIA H100 80GB HBM3', gpuCount: 1 },
        { dataCenterId: 'US-KS-2' },
      ),
    )
    .map(([value, letters, twin, status, costUsdPerHour, createdAt, more]) =>
      pod({ id: `pod${value}${twin}`, name: nameOf(value, letters), status, costUsdPerHour, createdAt, ...more }),
    ),
  { maxLength: 3, selector: (entry) => entry.id },
);

const finals: Arbitrary<FinalSummary> = fc
  .tuple(fc.constantFrom<FinalSummary['outcome']>('Succeeded', 'Failed', 'Stopped'), fc.constantFrom(1, 3, 7, 143))
  .map(([outcome, exitCode]) =>
    final({ outcome, exitCode: outcome === 'Succeeded' ? 0 : exitCode, reason: `Trainer${outcome}` }),
  );

const checkpoints: Arbitrary<readonly CheckpointSummary[]> = fc.array(
  fc
    .tuple(number, fc.nat(500), instantMs, fc.boolean(), fc.boolean())
    .map(([attempt, step, time, verified, scored]) => ({
      attempt,
      step,
      time,
      verified,
      uri: `file:///v/${attempt}/${step}`,
      manifestSHA256: 'c'.repeat(64),
      scorer: initialScorer,
      ...(scored && { scored: bestStep(step) }),
    })),
  { maxLength: 4 },
);

function bestStep(step: number): BestStep {
  return {
    step,
    evalLoss: 1,
    trainLoss: null,
    trainLossStep: null,
    score: step / 100,
    components: {},
    scorerVersion: 1,
  };
}

const reported: Arbitrary<JobTelemetry> = fc
  .tuple(
    number,
    instantMs,
    instantMs,
    fc.option(finals, { nil: undefined }),
    number,
    partly<JobTelemetry>({
      step: fc.nat(500),
      totalSteps: fc.nat(500),
      epoch: fc.double({ noNaN: true }),
      nextEvaluationStep: fc.nat(500),
      evaluations: fc.nat(3),
      evalsSinceBest: fc.nat(3),
      trainerVersion: fc.constant('0.1.0'),
      logTail: fc.array(fc.string({ maxLength: 700 }), { maxLength: 30 }),
      metrics: fc.constant([{ name: 'eval/loss', value: 0, step: 0, best: 0, bestStep: 0 }]),
      progressAt: instantMs,
      firstStep: fc.nat(500),
      resumedFromStep: fc.nat(500),
      checkpoints,
      best: fc.nat(500).map((step) => ({ ...bestStep(step), verified: false })),
      deadMan: fc.constantFrom('Armed' as const, 'Unarmed' as const),
      eta: fc.record({ remainingSeconds: fc.double({ min: 0, noNaN: true }), confidence: fc.constant('Low' as const) }),
    }),
  )
  .map(([attempt, firstContactAt, lastReportAt, last, of, more]) =>
    telemetry({ attempt, firstContactAt, lastReportAt, finals: last ? { [of]: last } : {}, ...more }),
  );

const results: Arbitrary<CreateResult> = fc.oneof(
  fc.constant<CreateResult>({ kind: 'unknown', message: 'cut' }),
  pods.map((found): CreateResult =>
    found[0] ? { kind: 'created', pod: found[0] } : { kind: 'unknown', message: 'cut' },
  ),
  fc
    .record({
      class: fc.constantFrom('NoCapacity' as const, 'Balance' as const),
      retryAfterMs: fc.double({ min: 0, noNaN: true }),
    })
    .map((refused): CreateResult => ({ kind: 'refused', message: 'no', ...refused })),
);

const own: Arbitrary<Partial<OwnWrites>> = partly<OwnWrites>({
  processStartedAtMs: instantMs,
  freshIntent: number,
  create: fc
    .tuple(number, instantMs, fc.option(results, { nil: undefined }))
    .map(([attempt, sentAtMs, result]) => ({ attempt, sentAtMs, ...(result && { result }) })),
  terminates: fc.dictionary(
    fc.constantFrom('pod1', 'pod2', 'pod3', 'pod4', 'pod1twin'),
    fc
      .tuple(instantMs, fc.option(instantMs, { nil: undefined }))
      .map(([sentAtMs, acceptedAtMs]) => ({ sentAtMs, ...(acceptedAtMs !== undefined && { acceptedAtMs }) })),
  ),
  lastWriteAtMs: instantMs,
});

const refusals: Arbitrary<Refusal[]> = fc.uniqueArray(
  fc.record({
    candidate: fc.constantFrom('small', 'large', 'removed'),
    class: fc.constantFrom<Refusal['class']>(
      'NoCapacity',
      'Invalid',
      'Balance',
      'WrongPlace',
      'Unauthorized',
      'PriceAboveCap',
    ),
    message: fc.string({ maxLength: 20 }),
    count: fc.integer({ min: 1, max: 2000 }),
    generation: fc.integer({ min: 1, max: 2 }),
    lastTime: instant,
    retryTime: instant,
  }),
  { maxLength: 3, selector: (entry) => entry.candidate },
);

const errors = fc
  .constantFrom('unauthorized' as const, 'forbidden' as const, 'transient' as const)
  .map((kind) => new RunpodError(kind, 'said no'));

const worlds = fc.record({
  attempt: fc.option(attempts, { nil: undefined, freq: 5 }),
  status: partly({
    startTime: instant,
    completionTime: instant,
    suspendTime: instant,
    resumeTime: instant,
    retryTime: instant,
    retries: fc.record({ user: fc.nat(3), host: fc.nat(6), interruption: fc.nat(21) }),
    run: fc.record({
      number: fc.integer({ min: 1, max: 3 }),
      specHash: fc.constant('a'.repeat(64)),
      restartToken: fc.constantFrom('', '', '', 'other'),
      firstAttempt: number,
      activeSeconds: fc.nat(100),
    }),
    outcome: fc.record({
      result: fc.constantFrom('Succeeded' as const, 'Failed' as const),
      reason: fc.constant('Decided'),
      message: fc.string({ maxLength: 20 }),
      time: instant,
    }),
    placement: refusals.map((entries) => ({ refusals: entries })),
    attempts: fc.array(
      fc.record({
        number,
        podName: fc.constant(nameOf(9)),
        candidate: fc.constant('small'),
        reason: fc.constant('X'),
        cost: amount,
        endTime: instant,
        startTime: instant,
      }),
      { maxLength: 20 },
    ),
  }),
  suspend: fc.constantFrom(false, false, true),
  ttlSecondsAfterFinished: fc.option(fc.constantFrom(0, 100, 31_536_000), { nil: undefined, freq: 2 }),
  noProgressTimeoutSeconds: fc.constantFrom(60, 1800),
  /** Outcomes and ends of jobs are less common than jobs that go on. */
  ended: fc.constantFrom(false, false, true),
  deleted: fc.constantFrom(false, false, true),
  finalized: fc.constantFrom(true, true, true, false),
  abandoned: fc.option(fc.constantFrom('pod1', 'pod2', nameOf(1), 'pod1,pod2', ''), { nil: undefined, freq: 2 }),
  generation: fc.integer({ min: 1, max: 2 }),
  pods,
  lists: fc
    .array(fc.tuple(seconds, fc.boolean(), fc.subarray(['pod1', 'pod2', nameOf(1), nameOf(2)])), { maxLength: 4 })
    .map((entries) =>
      entries
        .toSorted((a, b) => a[0] - b[0])
        .map(([start, doubted, live]): ListRecord => ({
          startedAt: at(start),
          completedAt: at(start) + 100,
          believed: !(doubted && live.length === 0),
          live: new Set(live),
        })),
    ),
  telemetry: fc.option(reported, { nil: undefined, freq: 2 }),
  own,
  fresh: fc.boolean(),
  ingestReadyAtMs: instantMs,
  error: fc.option(errors, { nil: undefined, freq: 2 }),
  suspicious: fc.constantFrom(false, false, false, true),
  missingSecrets: fc.constantFrom<readonly string[]>([], [], [], ['env A: no Secret.']),
  budget: fc.option(fc.record({ maxTotal: amount }), { nil: undefined }),
  activeDeadlineSeconds: fc.option(fc.constantFrom(1, 60, 100_000), { nil: undefined }),
  placementDeadlineSeconds: fc.constantFrom(60, 100_000),
  catalog: fc.constantFrom(
    undefined,
    undefined,
    { gpus: new Map(), cpus: new Map([['cpu3c', 0.03]]) },
    { gpus: new Map([['NVIDIA H100 80GB HBM3', { secure: 9, community: 0 }]]), cpus: new Map<string, number>() },
  ),
  stopGraceMs: fc.constantFrom(0, 120_000),
});

export const snapshots: Arbitrary<Snapshot> = worlds.map((world) => {
  const { outcome, completionTime, ...rest } = world.status;
  const metadata: Partial<ObjectMeta> = {
    generation: world.generation,
    finalizers: world.finalized ? [finalizer, 'other/one'] : [],
    ...(world.deleted && { deletionTimestamp: isoAt(-3) }),
    ...(world.abandoned !== undefined && { annotations: { [abandonPodsAnnotation]: world.abandoned } }),
  };
  return snapshot({
    metadata,
    status: {
      ...rest,
      ...(world.attempt && { attempt: world.attempt }),
      ...(world.ended && outcome && { outcome }),
      ...(world.ended && outcome && completionTime !== undefined && { completionTime }),
    },
    spec: {
      suspend: world.suspend,
      watchdog: { ...spec.watchdog, noProgressTimeoutSeconds: world.noProgressTimeoutSeconds },
      ...(world.budget && { budget: world.budget }),
      runPolicy: {
        ...spec.runPolicy,
        placementDeadlineSeconds: world.placementDeadlineSeconds,
        ...(world.ttlSecondsAfterFinished !== undefined && { ttlSecondsAfterFinished: world.ttlSecondsAfterFinished }),
        ...(world.activeDeadlineSeconds !== undefined && { activeDeadlineSeconds: world.activeDeadlineSeconds }),
      },
    },
    pods: world.pods,
    // The newest believed list is the one that shows the pods.
    lists: world.lists.map((entry, index) =>
      index === world.lists.length - 1 && entry.believed
        ? { ...entry, live: new Set(world.pods.flatMap((found) => [found.id, found.name])) }
        : entry,
    ),
    own: { ...world.own, ...(world.fresh && world.attempt && { freshIntent: world.attempt.number }) },
    ingestReadyAtMs: world.ingestReadyAtMs,
    suspicious: world.suspicious,
    missingSecrets: world.missingSecrets,
    policy: { stopGraceMs: world.stopGraceMs },
    ...(world.telemetry && { telemetry: world.telemetry }),
    ...(world.error && { listError: world.error }),
    ...(world.catalog && { catalog: world.catalog }),
  });
});
