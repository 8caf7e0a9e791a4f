import type { TrainingJob, TrainingJobStatus } from '../api/trainingjob.ts';
import type { JobTelemetry } from '../telemetry/jobtelemetry.ts';

/**
 * The pod whose log is the only one to tell what went wrong: its attempt failed, its agent reported no end, and the pod is about to
 * be ended.
 */
export function silentPod(
  { metadata }: TrainingJob,
  { attempt, outcome, completionTime }: TrainingJobStatus,
  telemetry: JobTelemetry | undefined,
): string | undefined {
  if (attempt?.state !== 'Observed' || attempt.containerLog || completionTime !== undefined) return undefined;
  if (metadata.deletionTimestamp !== undefined || telemetry?.finals[attempt.number]) return undefined;
  const isFailure = outcome?.result === 'Failed' || (!outcome && attempt.end?.fault !== undefined);
  return isFailure ? attempt.podID : undefined;
}
