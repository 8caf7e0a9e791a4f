import { resolve } from './resolve.ts';
import type { TrainingJobSpec } from './trainingjob.ts';
import type { TrainingRuntimeSpec } from './trainingruntime.ts';

const ofRegression = ['eval/loss', 'eval/rmse', 'eval/mae', 'eval/r2'];
const ofClassification = ['eval/loss', 'eval/accuracy', 'eval/auc'];

/**
 * Why a job cannot be run with a runtime: a sentence, or undefined. Each of the two is valid by itself; the API server cannot
 * look at both at once.
 */
export function misfit(spec: TrainingJobSpec, words: TrainingRuntimeSpec): string | undefined {
  const { tabular, custom } = words.trainer ?? {};
  const meant = tabular ? 'tabular' : custom ? 'custom' : undefined;
  const is = spec.trainer.fineTune ? 'fineTune' : spec.trainer.tabular ? 'tabular' : 'custom';
  if (meant !== undefined && meant !== is)
    return `is for jobs with spec.trainer.${meant}, and this one has spec.trainer.${is}; name a runtime for ${is} jobs in spec.runtimeRef, or leave it out.`;
  const { checkpoints, evaluation, scoring } = resolve(spec, words);
  const saves = checkpoints?.everySteps;
  const evaluates = evaluation?.everySteps;
  if (saves !== undefined && (evaluates === undefined || saves % evaluates !== 0)) {
    const every = evaluates === undefined ? 'no evaluation.everySteps' : `evaluation.everySteps ${evaluates}`;
    return `and this job come to checkpoints.everySteps ${saves} with ${every}, and checkpoints are saved at evaluations; set spec.evaluation.everySteps and spec.checkpoints.everySteps so that the second is a multiple of the first.`;
  }
  return scoringMisfit(spec.trainer, scoring);
}

/** Which evaluations a kind of trainer has, the API server sees in a job alone. */
function scoringMisfit(
  { tabular, fineTune }: TrainingJobSpec['trainer'],
  { strategy, metric }: NonNullable<TrainingJobSpec['scoring']>,
): string | undefined {
  const reported = tabular?.modelType.endsWith('_regression') === true ? ofRegression : ofClassification;
  if (tabular && metric && !reported.includes(metric.name))
    return `scores by ${metric.name}, which ${tabular.modelType} does not report; set spec.scoring.metric.name to one of ${reported.join(', ')}.`;
  if (fineTune?.method === 'RLHF' && strategy === 'MultiMetric')
    return 'scores by MultiMetric, and RLHF has no eval loss that it could weigh; set spec.scoring: {strategy: SingleMetric, metric: {name: eval/reward, goal: Maximize}}.';
  return undefined;
}
