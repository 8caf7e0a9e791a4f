import { podName, uid12 } from '../../controller/api/identity.ts';
import { resolve } from '../../controller/api/resolve.ts';
import {
  apiVersion,
  finalizer,
  kind,
  type Attempt,
  type ObjectMeta,
  type TrainingJobSpec,
  type TrainingJobStatus,
} from '../../controller/api/trainingjob.ts';
import { backing, type Runtimes } from '../../controller/reconcile/backing.ts';
import type { JobAccount, OwnWrites, Policy, Snapshot } from '../../controller/reconcile/snapshot.ts';
import type { CloudPod } from '../../controller/runpod/cloudpod.ts';
import type { RunpodError } from '../../controller/runpod/errors.ts';
import type { ListRecord } from '../../controller/runpod/inventory.ts';
import { initialScorer } from '../../controller/scoring/best.ts';
import type { FinalSummary, JobTelemetry } from '../../controller/telemetry/jobtelemetry.ts';

/** The instant of every snapshot unless it says otherwise; all others are given in seconds from it. */
export const nowMs = Date.parse('2026-03-01T12:00:00Z');
export const at = (seconds: number): number => nowMs + seconds * 1000;
export const isoAt = (seconds: number): string => new Date(at(seconds)).toISOString().replace('.000Z', 'Z');

export const uid = '0123abcd-4567-4890-abcd-ef0123456789';
export const installation = 'abc123';

export const spec: TrainingJobSpec = {
  suspend: false,
  restartToken: '',
  readyWhen: 'Started',
  accountRef: { name: 'default' },
  trainer: { custom: { command: ['python', 'train.py'] } },
  compute: {
    candidates: [
      { name: 'small', cpu: { flavor: 'cpu3c', vcpus: 4 }, cloud: 'Secure' },
      { name: 'large', gpu: { type: 'NVIDIA H100 80GB HBM3', count: 1 }, cloud: 'Secure', maxPricePerHour: '3.20' },
    ],
    containerDiskGB: 20,
  },
  scoring: { strategy: 'MultiMetric' },
  runPolicy: {
    backoffLimit: 2,
    hostFaultLimit: 5,
    interruptionLimit: 20,
    placementDeadlineSeconds: 14_400,
    startDeadlineSeconds: 1200,
  },
  watchdog: { heartbeatTimeoutSeconds: 300, noProgressTimeoutSeconds: 1800, deadManSeconds: 2700 },
};

export const policy: Policy = {
  goneGapMs: 20_000,
  createGraceMs: 90_000,
  stopGraceMs: 120_000,
  refusalBackoffMs: 15_000,
  refusalBackoffMaxMs: 300_000,
  retryBackoffMs: 10_000,
  retryBackoffMaxMs: 300_000,
  excludeMs: 3_600_000,
  recheckMs: 15_000,
  progressWriteMs: 15_000,
  transport: 'Push',
  canBeCalled: true,
};

export function nameOf(number: number, nonce = 'x9q2'): string {
  return podName({ installation, uid12: uid12(uid), attempt: number, nonce }, 'fit');
}

/** An attempt that was asked for a minute ago and has a pod, unless told otherwise. */
export function attempt(changes: Partial<Attempt> = {}): Attempt {
  const number = changes.number ?? 1;
  const rented = changes.state === undefined || changes.state === 'Observed' || changes.state === 'Gone';
  return {
    number,
    nonce: 'x9q2',
    podName: nameOf(number),
    candidate: 'small',
    account: 'default',
    state: 'Observed',
    intentTime: isoAt(-60),
    transport: 'Push',
    ...(changes.state !== 'Intent' && { createTime: isoAt(-59) }),
    ...(rented && {
      podID: `pod${number}`,
      instance: 'cpu3c 4 vCPU',
      dataCenter: 'EU-RO-1',
      pricePerHour: '0.12',
      billedFrom: isoAt(-58),
    }),
    ...changes,
  };
}

/** The pod of `attempt()`. */
export function pod(changes: Partial<CloudPod> & { readonly attempt?: number } = {}): CloudPod {
  const { attempt: number = 1, ...rest } = changes;
  return {
    id: `pod${number}`,
    name: nameOf(number),
    status: 'RUNNING',
    costUsdPerHour: 0.12,
    dataCenterId: 'EU-RO-1',
    cpuFlavor: 'cpu3c',
    vcpuCount: 4,
    createdAt: at(-58),
    ...rest,
  };
}

export function list(startedSeconds: number, live: readonly string[] = [], believed = true): ListRecord {
  return { startedAt: at(startedSeconds), completedAt: at(startedSeconds) + 200, believed, live: new Set(live) };
}

/** A trainer of attempt 1 that connected half a minute ago and spoke five seconds ago. */
export function telemetry(changes: Partial<JobTelemetry> = {}): JobTelemetry {
  return {
    uid,
    attempt: 1,
    firstContactAt: at(-30),
    lastReportAt: at(-5),
    metrics: [],
    losses: [],
    nonFiniteCount: 0,
    scorer: initialScorer,
    evaluations: 0,
    evaluated: [],
    checkpoints: [],
    alerts: [],
    logTail: [],
    finals: {},
    lastSequence: 3,
    marks: [],
    ...changes,
  };
}

export function final(changes: Partial<FinalSummary> = {}): FinalSummary {
  return {
    type: 'final',
    outcome: 'Succeeded',
    exitCode: 0,
    reason: 'TrainerSucceeded',
    message: 'Trained 200 steps.',
    receivedAt: at(-1),
    ...changes,
  };
}

export interface SnapshotParts extends Partial<
  Pick<
    Snapshot,
    'nowMs' | 'telemetry' | 'ingestReadyAtMs' | 'nonce' | 'installation' | 'missingSecrets' | 'catalog' | 'ran'
  >
> {
  readonly account?: Partial<JobAccount>;
  readonly metadata?: Partial<ObjectMeta>;
  readonly spec?: Partial<TrainingJobSpec>;
  /** Laid over a status that was taken up two minutes ago; `null` for none at all. */
  readonly status?: TrainingJobStatus | null;
  readonly pods?: readonly CloudPod[];
  /** One list a second ago, with the given pods, when absent. */
  readonly lists?: readonly ListRecord[];
  readonly listError?: RunpodError;
  readonly suspicious?: boolean;
  readonly own?: Partial<OwnWrites>;
  readonly policy?: Partial<Policy>;
  readonly runtimes?: Runtimes;
}

/** A cluster without any runtime. */
export const noRuntimes: Runtimes = { find: () => 'absent', names: () => [] };

/** A complete snapshot: a job that was taken up, whose operator started an hour ago, with nothing rented. */
export function snapshot(parts: SnapshotParts = {}): Snapshot {
  const pods = parts.pods ?? [];
  const lists = parts.lists ?? [
    list(
      -1,
      pods.flatMap((entry) => [entry.id, entry.name]),
    ),
  ];
  const status: TrainingJobStatus =
    parts.status === null
      ? { observedGeneration: -1 }
      : { observedGeneration: 1, startTime: isoAt(-120), ...parts.status };
  const written = {
    apiVersion,
    kind,
    metadata: {
      name: 'fit',
      namespace: 'team',
      uid,
      resourceVersion: '7',
      generation: 1,
      creationTimestamp: isoAt(-121),
      finalizers: [finalizer],
      ...parts.metadata,
    },
    spec: { ...spec, ...parts.spec },
    status,
  };
  const behind = backing(written, parts.runtimes ?? noRuntimes, parts.ran?.own);
  return {
    nowMs: parts.nowMs ?? nowMs,
    job: { ...written, spec: resolve(written.spec, behind.words) },
    written: written.spec,
    backing: behind,
    status,
    account: { name: 'default', keyPlace: "the operator's key file", closed: undefined, ...parts.account },
    inventory: {
      pods,
      listedAtMs: lists.findLast((entry) => entry.believed)?.startedAt,
      view: { pods, lists, error: parts.listError, suspicious: parts.suspicious ?? false },
    },
    telemetry: parts.telemetry,
    ingestReadyAtMs: parts.ingestReadyAtMs ?? at(-3600),
    own: { processStartedAtMs: at(-3600), ...parts.own },
    nonce: parts.nonce ?? 'n0nc',
    installation: parts.installation ?? installation,
    missingSecrets: parts.missingSecrets ?? [],
    catalog: parts.catalog,
    ran: parts.ran,
    policy: { ...policy, ...parts.policy },
  };
}
