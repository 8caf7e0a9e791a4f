import { multiMetricScore, scorerVersion, singleMetricScore, type Goal, type Score } from './score.ts';

export type Scoring =
  | { readonly strategy: 'MultiMetric' }
  | { readonly strategy: 'SingleMetric'; readonly metric: { readonly name: string; readonly goal: Goal } };

/** Losses are null where the trainer had none, or none that is finite. */
export interface EvaluationReport {
  readonly step: number;
  readonly epoch?: number;
  readonly evalLoss: number | null;
  readonly trainLoss: number | null;
  readonly trainLossStep: number | null;
  readonly metrics: Readonly<Record<string, number | null>>;
}

export interface BestStep extends Score {
  readonly step: number;
  readonly epoch?: number;
  readonly evalLoss: number | null;
  readonly trainLoss: number | null;
  readonly trainLossStep: number | null;
  readonly scorerVersion: number;
}

export interface ScorerState {
  /** Eval loss of the evaluation before, for "improved". */
  readonly previousEvalLoss: number | null;
  readonly best: BestStep | undefined;
  readonly evaluations: number;
  readonly unscorable: number;
  /** Evaluations since the best one. */
  readonly sinceBest: number;
}

export interface Scored {
  readonly state: ScorerState;
  /** Undefined for an evaluation that cannot be scored: it is shown and counted, and changes nothing else. */
  readonly score: Score | undefined;
  readonly improved: boolean;
  readonly isBest: boolean;
}

export const initialScorer: ScorerState = {
  previousEvalLoss: null,
  best: undefined,
  evaluations: 0,
  unscorable: 0,
  sinceBest: 0,
};

/**
 * Scores one evaluation. "Improved" is decided before scoring; the first scorable evaluation counts as improved. The
 * incumbent keeps the score that it earned, and only a strictly lower one replaces it.
 */
export function scoreEvaluation(state: ScorerState, report: EvaluationReport, scoring: Scoring): Scored {
  const { evalLoss, trainLoss } = report;
  const improved = state.previousEvalLoss === null || (evalLoss !== null && evalLoss < state.previousEvalLoss);
  const score =
    scoring.strategy === 'MultiMetric'
      ? multiMetricScore({ evalLoss, trainLoss, improved })
      : singleMetricScore(scoring.metric.name, metricOf(report, scoring.metric.name), scoring.metric.goal);
  const counted = { ...state, evaluations: state.evaluations + 1 };
  if (!score)
    return {
      state: { ...counted, unscorable: state.unscorable + 1 },
      score: undefined,
      improved: false,
      isBest: false,
    };

  const isBest = state.best === undefined || score.score < state.best.score;
  const best = isBest ? bestStepOf(report, score) : state.best;
  return {
    state: {
      ...counted,
      best,
      previousEvalLoss: evalLoss ?? state.previousEvalLoss,
      sinceBest: isBest ? 0 : state.sinceBest + 1,
    },
    score,
    improved,
    isBest,
  };
}

/** The evaluation as it stands in status once it is the best. */
export function bestStepOf(report: EvaluationReport, score: Score): BestStep {
  const { evalLoss, trainLoss, trainLossStep, step, epoch } = report;
  return {
    step,
    ...(typeof epoch === 'number' && { epoch }),
    evalLoss,
    trainLoss,
    trainLossStep,
    ...score,
    scorerVersion,
  };
}

function metricOf(report: EvaluationReport, name: string): number | null | undefined {
  return name === 'eval/loss' ? report.evalLoss : report.metrics[name];
}
