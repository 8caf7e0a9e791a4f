import type { TrainingJob } from '../api/trainingjob.ts';

/** USD per hour that a pod still costs which is to be ended; 0 for every other job. In a burst of ends the dearest goes first. */
export function endingRateUsdPerHour(job: TrainingJob | undefined): number {
  const { attempt, outcome } = job?.status ?? {};
  if (attempt?.state !== 'Observed' || attempt.billedTo !== undefined) return 0;
  const ending = job?.metadata.deletionTimestamp !== undefined || outcome !== undefined || attempt.end !== undefined;
  return ending ? Number(attempt.pricePerHour ?? 0) : 0;
}
