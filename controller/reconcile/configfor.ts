import { resolved } from '../api/resolve.ts';
import type { TrainingJob, TrainingJobStatus } from '../api/trainingjob.ts';
import type { ConfigAnswer } from '../telemetry/dependencies.ts';
import { offeredCheckpoints, resumable } from '../telemetry/checkpoints.ts';
import type { JobTelemetry } from '../telemetry/jobtelemetry.ts';
import type { Resume } from '../telemetry/protocol.ts';
import { firstAttempt } from './attempts.ts';
import { readJobSecrets, type Secrets } from './jobsecrets.ts';
import { trainerConfig, type AgentDurations } from './trainerconfig.ts';

/**
 * What the agent of an attempt gets when it asks for its configuration. Secret values leave the cluster only here, and only
 * for the attempt whose pod is the one in status.
 */
export async function configFor(
  job: TrainingJob | undefined,
  attempt: number,
  secrets: Secrets,
  durations: AgentDurations,
  telemetry: JobTelemetry | undefined,
): Promise<ConfigAnswer> {
  // Whoever asks is known to telemetry, which forgets a job only when it is surely gone: it is our list that is not up to date.
  if (!job) return { status: 'wait', reason: "the job is not in the operator's list" };
  const current = job.status?.attempt;
  if (job.metadata.deletionTimestamp !== undefined || job.status?.completionTime !== undefined)
    return { status: 'superseded' };
  if (!current || current.number < attempt) return { status: 'wait', reason: 'this attempt is not recorded yet' };
  if (current.number > attempt) return { status: 'superseded' };
  if (current.state === 'Intent' || current.state === 'Unknown')
    return { status: 'wait', reason: 'the pod is not recorded yet' };
  // A pod that is to be ended, perhaps for being where it must not be, gets no Secret any more.
  if (current.state !== 'Observed' || current.end || job.status?.outcome) return { status: 'superseded' };
  // A recorded pod belongs to an attempt, so the run is pinned: the status tells all that stands behind the job.
  const whole = resolved(job);
  const found = await readJobSecrets(secrets, whole);
  if (found.kind === 'missing') return { status: 'wait', reason: found.sentences.join(' ') };
  const resume = withStatus(resumable(telemetry, firstAttempt(job.status ?? {})), job.status, telemetry);
  return { status: 'ok', config: trainerConfig(whole, found.values, durations, resume) };
}

/**
 * Behind what telemetry offers, what status names and telemetry knows nothing of: where its store was lost, the run still goes on from
 * its last checkpoint.
 */
function withStatus(
  resume: Resume | null,
  { checkpoint, best }: TrainingJobStatus = {},
  telemetry: JobTelemetry | undefined,
): Resume | null {
  const known = new Set((telemetry?.checkpoints ?? []).map(({ uri }) => uri));
  const offered = [...(resume?.checkpoints ?? [])];
  for (const entry of [checkpoint, best]) {
    if (!entry?.verified || entry.uri === undefined || entry.manifestSHA256 === undefined) continue;
    const { uri, step, manifestSHA256 } = entry;
    if (!known.has(uri)) offered.push({ uri, step, manifestSHA256 });
    known.add(uri);
  }
  return offered.length > 0 ? { checkpoints: offered.slice(0, offeredCheckpoints) } : null;
}
