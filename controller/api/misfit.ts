import { resolve, type ResolvedSpec } from './resolve.ts';
import type { TrainingJobSpec } from './trainingjob.ts';
import type { TrainingRuntimeSpec } from './trainingruntime.ts';

type Trainer = TrainingJobSpec['trainer'];

const ofRegression = ['eval/loss', 'eval/rmse', 'eval/mae', 'eval/r2'];
const ofClassification = ['eval/loss', 'eval/accuracy', 'eval/auc'];

/**
 * Why a job cannot be run with a runtime: a sentence, or undefined. Each of the two is valid by itself; the API server cannot
 * look at both at once.
 */
export function misfit(spec: TrainingJobSpec, words: TrainingRuntimeSpec): string | undefined {
  const meant = purposeMisfit(spec.trainer, words.trainer);
  if (meant !== undefined) return meant;
  const both = resolve(spec, words);
  return (
    searchMisfit(both) ??
    savesMisfit(both) ??
    adapterMisfit(both) ??
    distributionMisfit(both) ??
    streamMisfit(both) ??
    answersMisfit(both) ??
    scoringMisfit(both) ??
    predictionsMisfit(both)
  );
}

function purposeMisfit({ fineTune, tabular }: Trainer, words: TrainingRuntimeSpec['trainer'] = {}): string | undefined {
  const meant = (['fineTune', 'tabular', 'custom'] as const).find((kind) => words[kind]);
  const is = fineTune ? 'fineTune' : tabular ? 'tabular' : 'custom';
  if (meant !== undefined && meant !== is)
    return `is for jobs with spec.trainer.${meant}, and this one has spec.trainer.${is}; name a runtime for ${is} jobs in spec.runtimeRef, or leave it out.`;
  const method = words.fineTune?.method;
  if (fineTune && method !== undefined && method !== fineTune.method)
    return `is for jobs with spec.trainer.fineTune.method ${method}, and this one has ${fineTune.method}; name a runtime for ${fineTune.method} jobs in spec.runtimeRef, or leave it out.`;
  return undefined;
}

function searchMisfit({ trainer: { tabular }, checkpoints, scoring }: ResolvedSpec): string | undefined {
  if (!tabular?.search) return undefined;
  const saves = (['everySteps', 'everyMinutes'] as const).find((name) => checkpoints?.[name] !== undefined);
  if (saves !== undefined)
    return `and this job come to checkpoints.${saves} ${checkpoints?.[saves]}, and a search stores a checkpoint after each trial; name another runtime in spec.runtimeRef.`;
  if (scoring.strategy !== 'SingleMetric')
    return `scores by ${scoring.strategy}, which weighs an evaluation against the one before it, and trials of a search are no sequence; set spec.scoring: {strategy: SingleMetric, metric: {name: eval/loss, goal: Minimize}}.`;
  return undefined;
}

function savesMisfit({ checkpoints, evaluation }: ResolvedSpec): string | undefined {
  const saves = checkpoints?.everySteps;
  const evaluates = evaluation?.everySteps;
  if (saves === undefined || (evaluates !== undefined && saves % evaluates === 0)) return undefined;
  const every = evaluates === undefined ? 'no evaluation.everySteps' : `evaluation.everySteps ${evaluates}`;
  return `and this job come to checkpoints.everySteps ${saves} with ${every}, and checkpoints are saved at evaluations; set spec.evaluation.everySteps and spec.checkpoints.everySteps so that the second is a multiple of the first.`;
}

function adapterMisfit({ trainer: { fineTune }, output }: ResolvedSpec): string | undefined {
  if (!fineTune || fineTune.lora || output?.merge === undefined) return undefined;
  return 'and this job have no lora, so there is no adapter to merge; leave spec.output.merge out, or write spec.trainer.fineTune.lora: {}.';
}

function streamMisfit({ trainer: { fineTune } }: ResolvedSpec): string | undefined {
  if (fineTune?.dataset.streaming !== true || fineTune.parameters?.maxSteps !== undefined) return undefined;
  return 'and this job have no maxSteps, and how many rows spec.trainer.fineTune.dataset.streaming comes to is not known before they are read; set spec.trainer.fineTune.parameters.maxSteps.';
}

function distributionMisfit({ trainer: { fineTune }, compute, predictions }: ResolvedSpec): string | undefined {
  const processes = fineTune?.distribution?.processes ?? 1;
  const small = compute.candidates.find(({ gpu }) => gpu && (gpu.count ?? 1) < processes);
  if (small)
    return `has distribution.processes ${processes}, and candidate ${small.name} has fewer GPUs; raise its gpu.count, or write spec.trainer.fineTune.distribution: {processes: ${small.gpu?.count ?? 1}}.`;
  if (fineTune?.distribution?.strategy !== 'FSDP') return undefined;
  if (fineTune.lora)
    return 'has lora, so that this job trains an adapter, and spec.trainer.fineTune.distribution.strategy FSDP is for training all weights; write DDP, or name a runtime without lora.';
  if (predictions?.enabled === true)
    return 'has predictions, which are made by whole models, and spec.trainer.fineTune.distribution.strategy FSDP has none; set spec.predictions: {enabled: false}.';
  const optim = fineTune.parameters?.optim ?? 'adamw_torch';
  if (optim.startsWith('adamw_torch')) return undefined;
  return `has optim ${optim}, whose state spec.trainer.fineTune.distribution.strategy FSDP cannot share out; write optim: adamw_torch in spec.trainer.fineTune.parameters.`;
}

/** The trainer refuses it, too, but in a pod that is paid for. */
function answersMisfit({ trainer }: ResolvedSpec): string | undefined {
  const { perDeviceTrainBatchSize, gradientAccumulationSteps, numGenerations } = trainer.fineTune?.parameters ?? {};
  if (numGenerations === undefined) return undefined;
  const rows = (perDeviceTrainBatchSize ?? 1) * (gradientAccumulationSteps ?? 1);
  if (rows % numGenerations === 0) return undefined;
  return `and this job come to numGenerations ${numGenerations} with ${rows} rows to a step, which are perDeviceTrainBatchSize times gradientAccumulationSteps, and the answers to each prompt must fit into a step without a rest; set them in spec.trainer.fineTune.parameters so that the rows are a multiple of numGenerations.`;
}

/** Which evaluations a kind of trainer has, the API server sees in a job alone. */
function scoringMisfit({
  trainer: { tabular, fineTune },
  scoring: { strategy, metric },
}: ResolvedSpec): string | undefined {
  const reported = tabular?.modelType.endsWith('_regression') === true ? ofRegression : ofClassification;
  if (tabular && metric && !reported.includes(metric.name))
    return `scores by ${metric.name}, which ${tabular.modelType} does not report; set spec.scoring.metric.name to one of ${reported.join(', ')}.`;
  if (fineTune?.method === 'RLHF' && strategy === 'MultiMetric')
    return 'scores by MultiMetric, and RLHF has no eval loss that it could weigh; set spec.scoring: {strategy: SingleMetric, metric: {name: eval/reward, goal: Maximize}}.';
  return undefined;
}

/** The API server lets pass what a runtime may make good. */
function predictionsMisfit({ trainer, scoring, earlyStopping, predictions }: ResolvedSpec): string | undefined {
  if (!trainer.fineTune || predictions?.enabled === true) return undefined;
  const needing = [
    ['scoring', scoring.metric?.name],
    ['earlyStopping', earlyStopping?.metric?.name],
  ].find(([, name]) => name?.startsWith('predict/'));
  return (
    needing &&
    `and this job have no predictions, and spec.${needing[0]}.metric.name is ${needing[1]}, which is one of theirs; set spec.predictions: {enabled: true}.`
  );
}
