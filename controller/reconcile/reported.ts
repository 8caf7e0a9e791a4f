import type { TrainingJobStatus } from '../api/trainingjob.ts';
import { settledBest } from '../telemetry/checkpoints.ts';
import type { JobTelemetry } from '../telemetry/jobtelemetry.ts';
import { firstAttempt } from './attempts.ts';
import { iso } from './plan.ts';
import type { Snapshot } from './snapshot.ts';

/** Of an alert, so that status stays small; the whole is in the store. */
const mostMessage = 512;

type Reported = Pick<
  TrainingJobStatus,
  'dataset' | 'progress' | 'metrics' | 'best' | 'evalsSinceBest' | 'search' | 'checkpoint' | 'alerts' | 'output'
>;

/**
 * The part of status that repeats what the trainer reported. Numbers become decimal strings; what is not known is absent,
 * never 0. Without telemetry (a store that was lost) what status already says stays.
 */
export function reportedStatus(snapshot: Snapshot, stored: TrainingJobStatus): Reported {
  const { telemetry } = snapshot;
  const first = firstAttempt(stored);
  // What an earlier run reported says nothing of this one.
  if (!telemetry || telemetry.attempt < first) return {};
  const { dataset, latestCheckpoint, search } = telemetry;
  const reported = goesOn(stored, telemetry) ? telemetry.best : settledBest(telemetry);
  const best = reported && !isForgotten(stored.best, telemetry, reported.score) ? reported : undefined;
  const final = stored.attempt && telemetry.finals[stored.attempt.number];
  return {
    ...(dataset && { dataset: { ...dataset } }),
    ...progress(telemetry),
    ...(telemetry.metrics.length > 0 && {
      metrics: telemetry.metrics.map(({ name, value, step, best: bestValue, bestStep }) => ({
        name,
        value: decimal(value),
        step,
        ...(bestValue !== undefined && { best: decimal(bestValue) }),
        ...(bestStep !== undefined && { bestStep }),
      })),
    }),
    ...(best && { best: bestOf(best) }),
    ...(telemetry.evalsSinceBest !== undefined && { evalsSinceBest: telemetry.evalsSinceBest }),
    ...(search && { search: { ...search } }),
    ...(latestCheckpoint &&
      latestCheckpoint.attempt >= first && {
        checkpoint: {
          step: latestCheckpoint.step,
          uri: latestCheckpoint.uri,
          manifestSHA256: latestCheckpoint.manifestSHA256,
          verified: latestCheckpoint.verified,
          time: iso(latestCheckpoint.time),
        },
      }),
    ...alerts(telemetry, first),
    ...(final?.output && { output: { ...final.output } }),
  };
}

/**
 * Status names weights that were verified, and telemetry knows nothing of them: its store was lost. A later step that is no better must
 * not take their place (promise 3).
 */
function isForgotten(best: TrainingJobStatus['best'], { scorer, checkpoints }: JobTelemetry, score: number): boolean {
  if (!best?.verified || Number(best.score) >= Number(decimal(score)) || scorer.best?.step === best.step) return false;
  return !checkpoints.some(({ uri }) => uri === best.uri);
}

/** The attempt that telemetry tells of may still store what it has. */
function goesOn({ attempt, outcome }: TrainingJobStatus, telemetry: JobTelemetry): boolean {
  return (
    !outcome &&
    attempt?.state === 'Observed' &&
    !attempt.end &&
    attempt.number === telemetry.attempt &&
    !telemetry.finals[attempt.number]
  );
}

function bestOf(best: NonNullable<JobTelemetry['best']>): NonNullable<TrainingJobStatus['best']> {
  return {
    step: best.step,
    // A trainer may report null where it has none.
    ...(typeof best.epoch === 'number' && { epoch: decimal(best.epoch) }),
    score: decimal(best.score),
    ...(best.evalLoss !== null && { evalLoss: decimal(best.evalLoss) }),
    ...(best.trainLoss !== null && { trainLoss: decimal(best.trainLoss) }),
    ...(best.trainLossStep !== null && { trainLossStep: best.trainLossStep }),
    scorerVersion: best.scorerVersion,
    components: Object.fromEntries(Object.entries(best.components).map(([name, value]) => [name, decimal(value)])),
    // The address is named only when the weights there were read back and compared (promise 3).
    ...(best.verified && best.uri !== undefined && { uri: best.uri }),
    ...(best.verified && best.manifestSHA256 !== undefined && { manifestSHA256: best.manifestSHA256 }),
    verified: best.verified,
  };
}

/** What the trainers of this run said beside their numbers. */
function alerts(telemetry: JobTelemetry, first: number): Pick<TrainingJobStatus, 'alerts'> {
  const told = telemetry.alerts.filter(({ attempt }) => attempt >= first);
  if (told.length === 0) return {};
  return {
    alerts: told.map(({ attempt, name, severity, message, time }) => ({
      attempt,
      name,
      severity,
      message: message.slice(0, mostMessage),
      time: iso(time),
    })),
  };
}

function progress(telemetry: JobTelemetry): Pick<TrainingJobStatus, 'progress'> {
  const { step, totalSteps, epoch, stage, eta } = telemetry;
  return {
    progress: {
      ...(step !== undefined && { step }),
      ...(totalSteps !== undefined && { totalSteps }),
      ...(step !== undefined &&
        totalSteps !== undefined &&
        totalSteps > 0 && {
          percentage: Math.min(100, Math.floor((step / totalSteps) * 100)),
        }),
      ...(typeof epoch === 'number' && { epoch: decimal(epoch) }),
      ...(stage !== undefined && { stage }),
      ...(telemetry.evaluationEverySteps !== undefined && { evaluationEverySteps: telemetry.evaluationEverySteps }),
      ...(telemetry.nextEvaluationStep !== undefined && { nextEvaluationStep: telemetry.nextEvaluationStep }),
      // The API server refuses a status with an integer that it cannot hold; such a guess says nothing anyway.
      ...(eta &&
        Number.isSafeInteger(Math.round(eta.remainingSeconds)) && {
          estimatedRemainingSeconds: Math.round(eta.remainingSeconds),
          confidence: eta.confidence,
        }),
      ...(telemetry.processes !== undefined && { processes: telemetry.processes }),
      ...(telemetry.samplesPerStep !== undefined && { samplesPerStep: telemetry.samplesPerStep }),
      ...(telemetry.lossTrend !== undefined && { lossTrend: telemetry.lossTrend }),
      ...(telemetry.lastReportAt !== undefined && { lastReportTime: iso(telemetry.lastReportAt) }),
      sequence: telemetry.lastSequence,
    },
  };
}

/** Six significant digits, without an exponent where people expect none. */
export function decimal(value: number): string {
  if (value === 0) return '0';
  const size = Math.abs(value);
  return size >= 1e-4 && size < 1e9 ? String(Number(value.toPrecision(6))) : value.toPrecision(6);
}
