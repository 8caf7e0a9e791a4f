import type { TrainingJob } from '../api/trainingjob.ts';
import type { JobTelemetry } from '../telemetry/jobtelemetry.ts';
import type { JobSeries } from './jobs.ts';

/** The live values of one job; `costUsd` is worked out by the caller, who knows the time. */
export function jobSeries(job: TrainingJob, telemetry: JobTelemetry | undefined, costUsd: number): JobSeries {
  const { attempt, phase, run, retries } = job.status ?? {};
  const value = (name: string): number | undefined => telemetry?.metrics.find((metric) => metric.name === name)?.value;
  const rented = attempt?.state === 'Observed' && attempt.billedTo === undefined;
  return {
    namespace: job.metadata.namespace,
    name: job.metadata.name,
    phase: phase ?? 'Pending',
    step: telemetry?.step,
    totalSteps: telemetry?.totalSteps,
    trainLoss: value('train/loss'),
    evalLoss: value('eval/loss'),
    score: telemetry?.lastScore,
    bestScore: telemetry?.best?.score,
    bestStep: telemetry?.best?.step,
    pricePerHourUsd: rented ? Number(attempt.pricePerHour ?? 0) : 0,
    costUsd: run === undefined ? undefined : costUsd,
    lastReportSeconds: telemetry && telemetry.lastReportAt / 1000,
    attempt: attempt?.number,
    trials: trialsOf(telemetry?.search),
    retries,
  };
}

function trialsOf(search: JobTelemetry['search']): JobSeries['trials'] {
  return search && { complete: search.complete, pruned: search.pruned, failed: search.failed };
}
