import type { ResolvedJob } from '../api/resolve.ts';
import type { Attempt, TrainingJob } from '../api/trainingjob.ts';
import { finalizer } from '../api/trainingjob.ts';
import type { Clock } from '../clock.ts';
import type { CloudPod, CreateCloudPodBody } from '../runpod/cloudpod.ts';
import { RunpodError } from '../runpod/errors.ts';
import { createBody } from '../runpod/request.ts';
import { accountOf } from './attempts.ts';
import type { WriteMemory } from './memory.ts';
import type { Action, Plan } from './plan.ts';
import type { CreateResult, RefusalClass } from './snapshot.ts';

/** The outside as the loop writes to it. */
export interface Effects {
  /** Replaces the finalizers; fails when the resource is not the version that was read. Gives the job as it is then. */
  setFinalizers(job: ResolvedJob, finalizers: readonly string[]): Promise<TrainingJob>;
  createCloudPod(account: string, body: CreateCloudPodBody): Promise<CloudPod>;
  deleteCloudPod(account: string, podID: string): Promise<void>;
  /** Deletes the object if it is still the version that was read. */
  deleteResource(job: ResolvedJob): Promise<void>;
  /** Makes the attempt known to the telemetry store, durably, before its pod can exist. */
  openAttempt(job: ResolvedJob, attempt: Attempt): Promise<{ readonly token: string; readonly keyID: string }>;
}

export interface ActContext {
  readonly effects: Effects;
  readonly memory: WriteMemory;
  readonly clock: Clock;
  readonly installation: string;
  readonly telemetryUrl: string;
  readonly trainerImage: string;
}

export type ActResult =
  | { readonly kind: 'none' }
  | { readonly kind: 'resourceChanged'; readonly job: TrainingJob }
  | { readonly kind: 'resourceDeleted' }
  | { readonly kind: 'create'; readonly attempt: Attempt; readonly result: CreateResult }
  | { readonly kind: 'terminated'; readonly podID: string; readonly atMs: number }
  | { readonly kind: 'terminateFailed'; readonly podID: string; readonly error: RunpodError };

/** At most one external write. After it the pass ends; the next one starts from fresh facts (I11). */
export async function act(context: ActContext, job: ResolvedJob, plan: Plan): Promise<ActResult> {
  const { action } = plan;
  const finalizers = job.metadata.finalizers ?? [];
  switch (action.kind) {
    case 'none':
      return { kind: 'none' };
    case 'addFinalizer':
      return { kind: 'resourceChanged', job: await context.effects.setFinalizers(job, [...finalizers, finalizer]) };
    case 'removeFinalizer': {
      const rest = finalizers.filter((entry) => entry !== finalizer);
      return { kind: 'resourceChanged', job: await context.effects.setFinalizers(job, rest) };
    }
    case 'createPod':
      return { kind: 'create', ...(await createPod(context, job, action)) };
    case 'terminatePod':
      return terminatePod(context, job, action.podID);
    case 'deleteResource':
      await context.effects.deleteResource(job);
      return { kind: 'resourceDeleted' };
  }
}

async function createPod(
  context: ActContext,
  job: ResolvedJob,
  { attempt, candidate, hardEndSeconds }: Extract<Action, { kind: 'createPod' }>,
): Promise<{ attempt: Attempt; result: CreateResult }> {
  const { uid, namespace, name } = job.metadata;
  const opened = await context.effects.openAttempt(job, attempt);
  const body = createBody({
    job: { uid, namespace, name },
    spec: job.spec,
    candidate,
    podName: attempt.podName,
    attempt: attempt.number,
    nonce: attempt.nonce,
    installation: context.installation,
    token: opened.token,
    transport: attempt.transport ?? 'Push',
    telemetryUrl: context.telemetryUrl,
    trainerImage: context.trainerImage,
    ...(hardEndSeconds !== undefined && { hardEndSeconds }),
  });
  context.memory.createSent(uid, attempt.number, context.clock.now());
  const result = await createResult(context.effects, attempt.account, body);
  context.memory.createAnswered(uid, attempt.number, result, context.clock.now());
  return { attempt: { ...attempt, tokenKeyID: opened.keyID }, result };
}

async function createResult(effects: Effects, account: string, body: CreateCloudPodBody): Promise<CreateResult> {
  try {
    return { kind: 'created', pod: await effects.createCloudPod(account, body) };
  } catch (error) {
    const refusal = error instanceof RunpodError ? refusalClass(error) : undefined;
    const message = error instanceof Error ? error.message : String(error);
    // Whatever is not a definite refusal may have made a pod.
    if (!refusal) return { kind: 'unknown', message };
    const retryAfterMs = error instanceof RunpodError ? error.retryAfterMs : undefined;
    return { kind: 'refused', class: refusal, message, ...(retryAfterMs !== undefined && { retryAfterMs }) };
  }
}

function refusalClass(error: RunpodError): RefusalClass | undefined {
  switch (error.kind) {
    case 'capacity':
      return 'NoCapacity';
    case 'invalid':
    case 'notFound':
    case 'conflict':
      return 'Invalid';
    case 'balance':
      return 'Balance';
    case 'forbidden':
      return 'Forbidden';
    case 'unauthorized':
      return 'Unauthorized';
    case 'rateLimited':
      return 'RateLimited';
    case 'unclassified':
      return 'Unclassified';
    case 'transient':
    case 'unknownOutcome':
    case 'malformed':
      return undefined;
  }
}

async function terminatePod(context: ActContext, job: ResolvedJob, podID: string): Promise<ActResult> {
  const { uid } = job.metadata;
  context.memory.terminateSent(uid, podID, context.clock.now());
  try {
    await context.effects.deleteCloudPod(accountOf(job), podID);
  } catch (error) {
    if (!(error instanceof RunpodError)) throw error;
    // "No such pod" is an answer to the request, not a proof; the lists decide.
    if (error.kind !== 'notFound') return { kind: 'terminateFailed', podID, error };
  }
  const atMs = context.clock.now();
  context.memory.terminateAccepted(uid, podID, atMs);
  return { kind: 'terminated', podID, atMs };
}
