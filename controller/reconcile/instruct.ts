import type { ResolvedJob, ResolvedSpec } from '../api/resolve.ts';
import type { Attempt, TrainingJobStatus } from '../api/trainingjob.ts';
import type { Scoring } from '../scoring/best.ts';
import type { Command } from '../telemetry/protocol.ts';
import type { Pulls } from '../telemetry/pull/pulls.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';

/**
 * Tells telemetry what the written status means for the trainer: whose reports count, whose pod is called for them, what it is
 * to do, and when the attempt is over. Level-triggered: the same status again changes nothing, so a process that was restarted
 * catches up by itself.
 */
export async function instruct(
  telemetry: Telemetry,
  pulls: Pick<Pulls, 'begin' | 'end'>,
  job: ResolvedJob,
  status: TrainingJobStatus,
): Promise<void> {
  const { attempt } = status;
  const { uid } = job.metadata;
  if (status.completionTime !== undefined || attempt?.state !== 'Observed') pulls.end(uid);
  if (!attempt) return;
  if (
    status.completionTime !== undefined ||
    attempt.state === 'Gone' ||
    attempt.state === 'Abandoned' ||
    attempt.state === 'Refused'
  ) {
    telemetry.closeAttempt(uid, attempt.number);
    return;
  }
  if (attempt.state !== 'Observed' || attempt.podID === undefined) return;
  // A store that was lost knows nothing of a pod that runs; its trainer must not be left unheard.
  if (!telemetry.attempt(uid, attempt.number)) await openAttempt(telemetry, job, attempt);
  telemetry.pinPod(uid, attempt.number, attempt.podID);
  if (attempt.transport === 'Pull')
    pulls.begin({ uid, attempt: attempt.number, nonce: attempt.nonce, podID: attempt.podID });
  telemetry.setCommands(
    uid,
    attempt.number,
    telemetry.summary(uid)?.finals[attempt.number] ? [] : commandsFor(attempt),
  );
}

/** What the trainer is to do. The agent acts once per id, so a second request for a checkpoint has another. */
function commandsFor({ number, stop, checkpointing }: Attempt): readonly Command[] {
  if (stop) return [{ id: `stop-${number}`, type: 'stop', reason: stop.reason }];
  if (checkpointing)
    return [{ id: `checkpoint-${Date.parse(checkpointing.time)}`, type: 'checkpoint', reason: 'Suspended' }];
  return [];
}

/** Makes the attempt known to the store, with how its evaluations are scored. */
export function openAttempt(
  telemetry: Telemetry,
  job: ResolvedJob,
  attempt: { readonly number: number; readonly nonce: string },
): Promise<{ readonly token: string; readonly keyID: string }> {
  const { uid, namespace, name } = job.metadata;
  return telemetry.openAttempt({
    uid,
    namespace,
    name,
    attempt: attempt.number,
    nonce: attempt.nonce,
    scoring: scoringOf(job.spec.scoring),
  });
}

/** The schema demands `metric` exactly for SingleMetric. */
function scoringOf({ strategy, metric }: ResolvedSpec['scoring']): Scoring {
  return strategy === 'SingleMetric' && metric ? { strategy, metric } : { strategy: 'MultiMetric' };
}
