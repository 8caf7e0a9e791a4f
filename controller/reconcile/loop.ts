import type { Logger } from 'pino';
import type { TrainingJob, TrainingJobStatus } from '../api/trainingjob.ts';
import { KubeError } from '../kube/errors.ts';
import { act, type ActContext, type ActResult } from './act.ts';
import { afterAct } from './afteract.ts';
import { decide } from './decide.ts';
import { jobEvents, type JobEvent } from './jobevents.ts';
import type { Plan } from './plan.ts';
import type { Snapshot } from './snapshot.ts';
import { nextStatus } from './status.ts';
import { statusChange } from './statuschange.ts';

/** What becomes of a key after its pass; turned into a requeue in one place, `work`. */
export type PassResult =
  | { readonly kind: 'done' }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'retry'; readonly why: string };

export interface LoopContext extends ActContext {
  /** The cached job, or undefined when it is gone. */
  job(key: string): TrainingJob | undefined;
  observe(job: TrainingJob): Promise<Snapshot>;
  /** Writes the whole status with the job's resourceVersion as precondition. Gives the job as it is then. */
  writeStatus(job: TrainingJob, status: TrainingJobStatus): Promise<TrainingJob>;
  /** Takes a job that we wrote into the cache, so that the next pass cannot see an older one. */
  remember(job: TrainingJob): void;
  /** Reads a job anew whose cached version turned out to be old. */
  refresh(job: TrainingJob): Promise<void>;
  emit(job: TrainingJob, event: JobEvent): void;
  /** Everything that follows a pass besides status: commands to the trainer, need for lists. Level-triggered. */
  passed(snapshot: Snapshot, plan: Plan, status: TrainingJobStatus): Promise<void>;
  readonly log: Logger;
}

/** One pass over one job. */
export async function reconcile(context: LoopContext, key: string): Promise<PassResult> {
  const job = context.job(key);
  if (!job) return { kind: 'done' };
  try {
    return await pass(context, key, job);
  } catch (error) {
    // There is a newer version. A watch that lost its event would leave us with the old one, and a pod billing, for minutes.
    if (error instanceof KubeError && error.kind === 'conflict') await context.refresh(job);
    throw error;
  }
}

async function pass(context: LoopContext, key: string, job: TrainingJob): Promise<PassResult> {
  const snapshot = await context.observe(job);
  const planned = decide(snapshot);
  const log = context.log.child({ job: key, uid: job.metadata.uid, stage: planned.stage });
  if (planned.action.kind !== 'none') log.info({ action: planned.action.kind, reason: planned.say.reason }, 'acting');

  const result = await act(context, snapshot.job, planned);
  const plan = afterAct(snapshot, planned, result);
  if (result.kind === 'resourceChanged') {
    context.remember(result.job);
    if (plan.action.kind === 'removeFinalizer' && plan.action.abandoned.length > 0) {
      context.emit(job, { type: 'Warning', reason: plan.say.reason, message: plan.say.message });
      log.warn({ pods: plan.action.abandoned }, 'pods released without proof of their end');
    }
    return { kind: 'wait', ms: 0 };
  }

  // The watch tells of the end that has begun.
  if (result.kind === 'resourceDeleted') return { kind: 'done' };

  const status = nextStatus(withOwn(snapshot, context), plan);
  const written = await write(context, snapshot, plan, status);
  await context.passed(snapshot, plan, status);
  if (result.kind === 'terminateFailed') return { kind: 'retry', why: result.error.message };
  return requeue(plan, result, written);
}

/** The pass's own act belongs to what its status is computed from. */
function withOwn(snapshot: Snapshot, context: LoopContext): Snapshot {
  return { ...snapshot, own: context.memory.of(snapshot.job.metadata.uid) };
}

type Written = { readonly kind: 'nothing' | 'written' } | { readonly kind: 'putOff'; readonly ms: number };

/** Writes the status if it is due; a write that only reports progress may be put off. */
async function write(
  context: LoopContext,
  snapshot: Snapshot,
  plan: Plan,
  status: TrainingJobStatus,
): Promise<Written> {
  const { job, nowMs, policy } = snapshot;
  // A job whose finalizer is off may be gone the next moment; nobody reads its status any more.
  if (job.metadata.deletionTimestamp !== undefined && (job.metadata.finalizers ?? []).length === 0)
    return { kind: 'nothing' };
  const change = statusChange(snapshot.status, status);
  if (change === 'none') return { kind: 'nothing' };
  const dueMs = (snapshot.own.statusWrittenAtMs ?? 0) + policy.progressWriteMs;
  if (change === 'progress' && nowMs < dueMs) return { kind: 'putOff', ms: dueMs - nowMs };
  const written = await context.writeStatus(job, status);
  context.remember(written);
  context.memory.statusWritten(job.metadata.uid, nowMs);
  // Only now is the intent confirmed by the API server; a create before this would be a pod without a record (I3).
  if (plan.record.attempt?.state === 'Intent')
    context.memory.intentWritten(job.metadata.uid, plan.record.attempt.number);
  for (const event of jobEvents(snapshot.status, status)) context.emit(job, event);
  return { kind: 'written' };
}

/** Least wait after a pass that changed nothing: whatever a stage asks for, the same facts must not be turned over in a spin. */
const idleMs = 200;

function requeue(plan: Plan, result: ActResult, written: Written): PassResult {
  const waits = [plan.requeueAfterMs, written.kind === 'putOff' ? written.ms : undefined].filter(
    (ms) => ms !== undefined,
  );
  if (waits.length === 0) return { kind: 'done' };
  const changed = result.kind !== 'none' || written.kind === 'written';
  return { kind: 'wait', ms: Math.max(changed ? 0 : idleMs, Math.min(...waits)) };
}

export type { ActResult };
