/** What a job of `make methods` came to, as the read API tells it, and what of it is not as it must be. */

export interface Evaluation {
  readonly attempt: number;
  readonly step: number;
  readonly evalLoss: number | null;
  readonly metrics: Readonly<Record<string, number | null>>;
  readonly best: boolean;
}

export interface Prediction {
  readonly attempt: number;
  readonly step: number;
  readonly sample: number;
  readonly generated: string;
}

export interface Told {
  readonly evaluations: readonly Evaluation[];
  readonly predictions: readonly Prediction[];
  /** Steps of points. */
  readonly points: readonly number[];
}

/** What the manifest asked for. */
export interface Asked {
  readonly rewarded: boolean;
  readonly steps: number;
  readonly evaluatedEvery: number;
  readonly predictionsEach: number;
}

export interface MethodResult {
  /** Eval loss, or the mean reward of held-out prompts. */
  readonly first: number;
  readonly last: number;
  readonly best: number;
  readonly bestStep: number;
  readonly evaluations: number;
  readonly problems: readonly string[];
}

export function methodResult({ evaluations, predictions, points }: Told, asked: Asked): MethodResult {
  const measured = ({ evalLoss, metrics }: Evaluation): number =>
    (asked.rewarded ? metrics['eval/reward'] : evalLoss) ?? Number.NaN;
  const what = asked.rewarded ? 'held-out reward' : 'eval loss';
  const values = evaluations.map(measured);
  const [first = Number.NaN, last = Number.NaN] = [values[0], values.at(-1)];
  const chosen = evaluations.findLast(({ best }) => best);
  const due: number[] = [];
  for (let step = asked.evaluatedEvery; step <= asked.steps; step += asked.evaluatedEvery) due.push(step);
  const problems: string[] = [];
  if (evaluations.map(({ step }) => step).join() !== due.join())
    problems.push(
      `evaluations are of the steps ${evaluations.map(({ step }) => step).join(', ')}, not ${due.join(', ')}`,
    );
  if (!(asked.rewarded ? last > first : last < first))
    problems.push(`the ${what} is ${last} at the end, no better than ${first} at the first evaluation`);
  if (!chosen) problems.push('no step is best');
  for (const { attempt, step } of evaluations) {
    const samples = predictions.filter((each) => each.attempt === attempt && each.step === step);
    if (samples.length !== asked.predictionsEach)
      problems.push(`step ${step} has ${samples.length} predictions, not ${asked.predictionsEach}`);
    else if (new Set(samples.map(({ sample }) => sample)).size < samples.length)
      problems.push(`step ${step} has ${samples.length} predictions, not ${samples.length} different ones`);
  }
  if (points.length < 2 || points.at(-1) !== asked.steps)
    problems.push(`points end at step ${points.at(-1) ?? 'none'}, not ${asked.steps}`);
  return {
    first,
    last,
    best: chosen ? measured(chosen) : Number.NaN,
    bestStep: chosen?.step ?? 0,
    evaluations: evaluations.length,
    problems,
  };
}
