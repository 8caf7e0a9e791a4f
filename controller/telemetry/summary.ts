import { bestStepOf, initialScorer, scoreEvaluation, type EvaluationReport, type Scoring } from '../scoring/best.ts';
import { lossTrend, pushLoss } from '../scoring/window.ts';
import { afterCheckpoint, resumed, withBest } from './checkpoints.ts';
import { eta, pushMark } from './eta.ts';
import type { JobTelemetry } from './jobtelemetry.ts';
import { mergedMetrics } from './metricsummary.ts';
import type { AgentEvent, FinalEvent, Metrics } from './protocol.ts';

const keptLogLines = 50;
const keptAlerts = 10;
const keptEvaluated = 16;

/**
 * The summary at an attempt's first contact. It begins anew: what it goes on from it says by `resumed`. What was stored, and
 * how earlier attempts ended, stays.
 */
export function contact(
  before: JobTelemetry | undefined,
  uid: string,
  attempt: number,
  podID: string,
  atMs: number,
): JobTelemetry {
  if (before && before.attempt === attempt) return { ...before, lastReportAt: atMs };
  if (before && before.attempt > attempt) return before;
  return {
    uid,
    attempt,
    podID,
    firstContactAt: atMs,
    lastReportAt: atMs,
    metrics: [],
    losses: [],
    nonFiniteCount: before?.nonFiniteCount ?? 0,
    scorer: initialScorer,
    evaluations: 0,
    evaluated: [],
    checkpoints: before?.checkpoints ?? [],
    ...(before?.latestCheckpoint && { latestCheckpoint: before.latestCheckpoint }),
    alerts: before?.alerts ?? [],
    logTail: [],
    finals: before?.finals ?? {},
    lastSequence: before?.lastSequence ?? 0,
    marks: [],
  };
}

/** The summary after one event: pure, so that a replay of the store gives what was live (I7). */
export function reduce(job: JobTelemetry, event: AgentEvent, scoring: Scoring, atMs: number): JobTelemetry {
  const next = reduced(job, event, scoring, atMs);
  return isProgress(job, event) ? { ...next, progressAt: atMs } : next;
}

/** Whether the trainer got further than it was known to be; a step that is told twice, or a word, is no progress. */
function isProgress(job: JobTelemetry, event: AgentEvent): boolean {
  switch (event.type) {
    case 'point':
    case 'evaluation':
      return job.step === undefined || event.step > job.step;
    case 'stage':
      return event.stage !== job.stage || event.detail !== job.stageDetail;
    case 'totals':
    case 'dataset':
    case 'checkpoint':
    case 'resumed':
    case 'search':
      return true;
    case 'started':
    case 'prediction':
    case 'alert':
    case 'log':
    case 'final':
      return false;
  }
}

function reduced(job: JobTelemetry, event: AgentEvent, scoring: Scoring, atMs: number): JobTelemetry {
  switch (event.type) {
    case 'started':
      return {
        ...job,
        trainerVersion: event.trainerVersion,
        ...(event.deadMan !== undefined && { deadMan: event.deadMan }),
      };
    case 'resumed':
      return withNextEvaluation(resumed(job, event));
    case 'stage': {
      const { stageDetail: _former, ...rest } = job;
      return { ...rest, stage: event.stage, ...(event.detail !== undefined && { stageDetail: event.detail }) };
    }
    case 'totals':
      return withNextEvaluation(withTotals(job, event));
    case 'dataset': {
      const { type: _type, time: _time, ...dataset } = event;
      return { ...job, dataset };
    }
    case 'point':
      return afterPoint(job, event, atMs);
    case 'evaluation':
      return afterEvaluation(job, event, scoring, atMs);
    case 'prediction':
      // Read from the store alone; what they come to, the evaluation of their step says.
      return job;
    case 'checkpoint':
      return afterCheckpoint(job, event, atMs);
    case 'alert': {
      const { name, severity, message } = event;
      const alert = { attempt: job.attempt, name, severity, message, time: atMs };
      return { ...job, alerts: [...job.alerts, alert].slice(-keptAlerts) };
    }
    case 'search': {
      const { type: _type, time: _time, ...search } = event;
      return { ...job, search };
    }
    case 'log':
      return { ...job, logTail: [...job.logTail, ...event.lines].slice(-keptLogLines) };
    case 'final':
      return withFinal(job, job.attempt, event, atMs);
  }
}

/** The first final report of an attempt stands; the agent may send it again. */
export function withFinal(job: JobTelemetry, attempt: number, event: FinalEvent, atMs: number): JobTelemetry {
  if (job.finals[attempt]) return job;
  const { logTail } = event;
  const kept = { ...event, ...(logTail && { logTail: logTail.slice(-keptLogLines) }), receivedAt: atMs };
  return { ...job, finals: { ...job.finals, [attempt]: kept } };
}

type EvaluationEvent = Extract<AgentEvent, { type: 'evaluation' }>;

/** What is scored of an evaluation. */
export function reportOf(event: EvaluationEvent): EvaluationReport {
  const { step, evalLoss, trainLoss, trainLossStep, metrics, epoch } = event;
  return { step, evalLoss, trainLoss, trainLossStep, metrics, ...(typeof epoch === 'number' && { epoch }) };
}

function afterEvaluation(job: JobTelemetry, event: EvaluationEvent, scoring: Scoring, atMs: number): JobTelemetry {
  const { step, evalLoss, metrics, epoch } = event;
  const report = reportOf(event);
  const { state, score } = scoreEvaluation(job.scorer, report, scoring);
  const values: Metrics = { ...metrics, ...(evalLoss !== null && { 'eval/loss': evalLoss }) };
  const scored = score && bestStepOf(report, score);
  return withNextEvaluation(
    withBest({
      ...atStep(job, step, epoch, atMs),
      evaluated: [...job.evaluated, { step, scorer: state, ...(scored && { scored }) }].slice(-keptEvaluated),
      ...(scored && {
        // A checkpoint may come before the evaluation of its step.
        checkpoints: job.checkpoints.map((entry) =>
          entry.step === step && entry.attempt === job.attempt ? { ...entry, scored } : entry,
        ),
      }),
      metrics: mergedMetrics(job.metrics, values, step),
      nonFiniteCount: job.nonFiniteCount + (event.nonFinite?.length ?? 0),
      scorer: state,
      evaluations: state.evaluations,
      evalsSinceBest: state.sinceBest,
      ...(score && { lastScore: score.score }),
    }),
  );
}

function afterPoint(job: JobTelemetry, event: Extract<AgentEvent, { type: 'point' }>, atMs: number): JobTelemetry {
  const losses = pushLoss(job.losses, event.metrics['train/loss'] ?? null);
  return withNextEvaluation({
    ...atStep(job, event.step, event.epoch, atMs),
    metrics: mergedMetrics(job.metrics, event.metrics, event.step),
    losses,
    lossTrend: lossTrend(losses),
    nonFiniteCount: job.nonFiniteCount + (event.nonFinite?.length ?? 0),
  });
}

function atStep(job: JobTelemetry, step: number, epoch: number | null | undefined, atMs: number): JobTelemetry {
  const marks = pushMark(job.marks, { step, atMs });
  const remaining = eta(marks, step, job.totalSteps);
  const { eta: _former, ...rest } = job;
  return {
    ...rest,
    step,
    firstStep: job.firstStep ?? step,
    marks,
    ...(typeof epoch === 'number' && { epoch }),
    ...(remaining && { eta: remaining }),
  };
}

function withTotals(job: JobTelemetry, event: Extract<AgentEvent, { type: 'totals' }>): JobTelemetry {
  const { totalSteps, evaluationEverySteps, processes, samplesPerStep } = event;
  return {
    ...job,
    totalSteps,
    ...(evaluationEverySteps !== undefined && { evaluationEverySteps }),
    ...(processes !== undefined && { processes }),
    ...(samplesPerStep !== undefined && { samplesPerStep }),
  };
}

function withNextEvaluation(job: JobTelemetry): JobTelemetry {
  const { evaluationEverySteps: every, totalSteps } = job;
  if (every === undefined || every === 0) return job;
  const next = (Math.floor((job.step ?? 0) / every) + 1) * every;
  return { ...job, nextEvaluationStep: totalSteps === undefined ? next : Math.min(next, totalSteps) };
}
