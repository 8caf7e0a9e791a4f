/** Changes whenever the same evaluation would get another score; it is kept beside every score. */
export const scorerVersion = 1;

export interface Evaluation {
  readonly evalLoss: number | null;
  /** Newest train loss logged at or before the evaluation; null when there was none. */
  readonly trainLoss: number | null;
  /** The eval loss is below that of the evaluation before. */
  readonly improved: boolean;
}

export interface Score {
  /** Lower is better. */
  readonly score: number;
  /** What it is made of, by name; their sum is the score. */
  readonly components: Readonly<Record<string, number>>;
}

const weights = { base: 0.5, gap: 0.3, perplexity: 0.1, bonus: 0.1 };

/**
 * `0.5·E + 0.3·|T−E|/max(E, 0.001) + 0.1·min(exp(E)/20, 1) − 0.1·improved`, or undefined when it cannot be computed from
 * finite numbers. An absent train loss gives no gap term.
 */
export function multiMetricScore({ evalLoss, trainLoss, improved }: Evaluation): Score | undefined {
  if (evalLoss === null || !Number.isFinite(evalLoss)) return undefined;
  if (trainLoss !== null && !Number.isFinite(trainLoss)) return undefined;
  const gap = trainLoss === null ? 0 : Math.abs(trainLoss - evalLoss) / Math.max(evalLoss, 0.001);
  const components = {
    base: weights.base * evalLoss,
    gap: weights.gap * gap,
    // exp() of more than 700 overflows in other languages; the term is capped long before.
    perplexity: weights.perplexity * Math.min(Math.exp(Math.min(evalLoss, 700)) / 20, 1),
    bonus: improved ? -weights.bonus : 0,
  };
  const score = components.base + components.gap + components.perplexity + components.bonus;
  return Number.isFinite(score) ? { score, components } : undefined;
}

export type Goal = 'Minimize' | 'Maximize';

/** One metric as the score; a metric to be maximized counts negated, so that lower is better all the same. */
export function singleMetricScore(name: string, value: number | null | undefined, goal: Goal): Score | undefined {
  if (value === null || value === undefined || !Number.isFinite(value)) return undefined;
  const score = goal === 'Minimize' ? value : -value;
  return { score, components: { [name]: score } };
}
