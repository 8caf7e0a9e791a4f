import {
  initialScorer,
  scoreEvaluation,
  type BestStep,
  type EvaluationReport,
  type ScorerState,
  type Scoring,
} from '../scoring/best.ts';
import { lossTrend, pushLoss, type LossTrend, type LossWindow } from '../scoring/window.ts';
import { eta, pushMark, type Eta, type PaceMark } from './eta.ts';
import type { AgentEvent, FinalEvent, Metrics, Stage } from './protocol.ts';

export interface MetricSummary {
  readonly name: string;
  readonly value: number;
  readonly step: number;
  /** Lowest value of a loss, highest of any other metric. */
  readonly best: number;
  readonly bestStep: number;
}

export interface CheckpointSummary {
  readonly step: number;
  readonly uri: string;
  readonly manifestSHA256: string;
  readonly verified: boolean;
  /** Epoch milliseconds of its report. */
  readonly time: number;
}

export interface BestSummary extends BestStep {
  readonly verified: boolean;
  readonly uri?: string;
  readonly manifestSHA256?: string;
}

export interface FinalSummary extends FinalEvent {
  readonly receivedAt: number;
}

/** All that is kept in memory of what a job's trainers reported. Instants are epoch milliseconds of our own clock. */
export interface JobTelemetry {
  readonly uid: string;
  /** The newest attempt that reported. */
  readonly attempt: number;
  readonly firstContactAt: number;
  readonly lastReportAt: number;
  readonly podID?: string;
  readonly trainerVersion?: string;
  readonly stage?: Stage;
  readonly step?: number;
  readonly epoch?: number;
  readonly totalSteps?: number;
  readonly evaluationEverySteps?: number;
  readonly nextEvaluationStep?: number;
  readonly dataset?: {
    readonly samples: number;
    readonly trainSamples: number;
    readonly evalSamples: number;
    readonly sha256: string;
  };
  readonly metrics: readonly MetricSummary[];
  readonly losses: LossWindow;
  readonly lossTrend?: LossTrend;
  readonly nonFiniteCount: number;
  readonly scorer: ScorerState;
  readonly best?: BestSummary;
  readonly evaluations: number;
  readonly evalsSinceBest?: number;
  readonly lastScore?: number;
  readonly checkpoints: readonly CheckpointSummary[];
  readonly latestCheckpoint?: CheckpointSummary;
  readonly alerts: readonly { readonly name: string; readonly severity: string; readonly message: string }[];
  readonly logTail: readonly string[];
  readonly finals: Readonly<Record<number, FinalSummary>>;
  /** Batches taken, over all attempts. */
  readonly lastSequence: number;
  readonly marks: readonly PaceMark[];
  readonly eta?: Eta;
}

/** As many as status has room for. */
const keptMetrics = 32;
/** What /metrics shows of every job; many other names must not crowd these out. */
const shownMetrics: ReadonlySet<string> = new Set(['train/loss', 'eval/loss']);
const keptLogLines = 50;
const keptAlerts = 10;
const keptCheckpoints = 64;

/** The summary at an attempt's first contact; what earlier attempts reached stays. */
export function contact(
  before: JobTelemetry | undefined,
  uid: string,
  attempt: number,
  podID: string,
  atMs: number,
): JobTelemetry {
  if (before && before.attempt === attempt) return { ...before, lastReportAt: atMs };
  if (before && before.attempt > attempt) return before;
  const base: JobTelemetry = before ?? {
    uid,
    attempt,
    firstContactAt: atMs,
    lastReportAt: atMs,
    metrics: [],
    losses: [],
    nonFiniteCount: 0,
    scorer: initialScorer,
    evaluations: 0,
    checkpoints: [],
    alerts: [],
    logTail: [],
    finals: {},
    lastSequence: 0,
    marks: [],
  };
  // What the former trainer did at its end says nothing of this one.
  const { stage: _stage, eta: _eta, ...lasting } = base;
  return { ...lasting, attempt, podID, firstContactAt: atMs, lastReportAt: atMs, marks: [], logTail: [] };
}

/** The summary after one event: pure, so that a replay of the store gives what was live (I7). */
export function reduce(job: JobTelemetry, event: AgentEvent, scoring: Scoring, atMs: number): JobTelemetry {
  switch (event.type) {
    case 'started':
      return { ...job, trainerVersion: event.trainerVersion };
    case 'stage':
      return { ...job, stage: event.stage };
    case 'totals':
      return withNextEvaluation({
        ...job,
        totalSteps: event.totalSteps,
        ...(event.evaluationEverySteps !== undefined && { evaluationEverySteps: event.evaluationEverySteps }),
      });
    case 'dataset': {
      const { samples, trainSamples, evalSamples, sha256 } = event;
      return { ...job, dataset: { samples, trainSamples, evalSamples, sha256 } };
    }
    case 'point':
      return afterPoint(job, event, atMs);
    case 'evaluation':
      return afterEvaluation(job, event, scoring, atMs);
    case 'checkpoint':
      return afterCheckpoint(job, event, atMs);
    case 'alert':
      return {
        ...job,
        alerts: [...job.alerts, { name: event.name, severity: event.severity, message: event.message }].slice(
          -keptAlerts,
        ),
      };
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
  const { state, score } = scoreEvaluation(job.scorer, reportOf(event), scoring);
  const values: Metrics = { ...metrics, ...(evalLoss !== null && { 'eval/loss': evalLoss }) };
  return withNextEvaluation(
    withBest({
      ...atStep(job, step, epoch, atMs),
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

function afterCheckpoint(
  job: JobTelemetry,
  event: Extract<AgentEvent, { type: 'checkpoint' }>,
  atMs: number,
): JobTelemetry {
  const { step, uri, manifestSHA256, verified } = event;
  const others = job.checkpoints.filter((entry) => entry.uri !== uri);
  if (event.removed) {
    const latest = others.at(-1);
    const { latestCheckpoint: _removed, ...rest } = job;
    return withBest({ ...rest, checkpoints: others, ...(latest && { latestCheckpoint: latest }) });
  }
  const entry: CheckpointSummary = { step, uri, manifestSHA256, verified, time: atMs };
  return withBest({ ...job, checkpoints: keptOf([...others, entry], job.scorer.best?.step), latestCheckpoint: entry });
}

/** The newest of them, and always the best step's: the list of a trainer that removes none must not lose it. */
function keptOf(checkpoints: readonly CheckpointSummary[], bestStep: number | undefined): readonly CheckpointSummary[] {
  if (checkpoints.length <= keptCheckpoints) return checkpoints;
  const surplus = checkpoints.findIndex((entry) => entry.step !== bestStep);
  return checkpoints.toSpliced(surplus, 1);
}

/** The best step with the address of its weights, as far as a verified checkpoint of that step is known (promise 3). */
function withBest(job: JobTelemetry): JobTelemetry {
  const { best } = job.scorer;
  if (!best) return job;
  const stored = job.checkpoints.find((entry) => entry.step === best.step && entry.verified);
  return {
    ...job,
    best: {
      ...best,
      verified: stored !== undefined,
      ...(stored && { uri: stored.uri, manifestSHA256: stored.manifestSHA256 }),
    },
  };
}

function atStep(job: JobTelemetry, step: number, epoch: number | null | undefined, atMs: number): JobTelemetry {
  const marks = pushMark(job.marks, { step, atMs });
  const remaining = eta(marks, step, job.totalSteps);
  const { eta: _former, ...rest } = job;
  return {
    ...rest,
    step,
    marks,
    ...(typeof epoch === 'number' && { epoch }),
    ...(remaining && { eta: remaining }),
  };
}

function withNextEvaluation(job: JobTelemetry): JobTelemetry {
  const { evaluationEverySteps: every, totalSteps } = job;
  if (every === undefined || every === 0) return job;
  const next = (Math.floor((job.step ?? 0) / every) + 1) * every;
  return { ...job, nextEvaluationStep: totalSteps === undefined ? next : Math.min(next, totalSteps) };
}

function mergedMetrics(before: readonly MetricSummary[], values: Metrics, step: number): readonly MetricSummary[] {
  const byName = new Map(before.map((metric) => [metric.name, metric]));
  for (const [name, value] of Object.entries(values)) {
    if (value === null) continue;
    const old = byName.get(name);
    if (!old && !shownMetrics.has(name) && others(byName) >= keptMetrics - shownMetrics.size) continue;
    const better = !old || (lowerIsBetter(name) ? value < old.best : value > old.best);
    byName.set(name, { name, value, step, best: better ? value : old.best, bestStep: better ? step : old.bestStep });
  }
  return [...byName.values()];
}

function others(byName: ReadonlyMap<string, MetricSummary>): number {
  let shown = 0;
  for (const name of shownMetrics) if (byName.has(name)) shown += 1;
  return byName.size - shown;
}

function lowerIsBetter(name: string): boolean {
  return /loss|error|perplexity|rmse|mae|mse/i.test(name);
}
