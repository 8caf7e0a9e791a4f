import type { TrainingJobSpec } from './trainingjob.ts';
import type { TrainingRuntimeSpec } from './trainingruntime.ts';

type FineTune = NonNullable<TrainingJobSpec['trainer']['fineTune']>;
type Parameters = NonNullable<FineTune['parameters']>;
type Words = NonNullable<NonNullable<TrainingRuntimeSpec['trainer']>['fineTune']>;

const common = {
  numTrainEpochs: 3,
  perDeviceTrainBatchSize: 4,
  perDeviceEvalBatchSize: 4,
  gradientAccumulationSteps: 1,
  lrSchedulerType: 'cosine',
  warmupRatio: '0.03',
  weightDecay: '0.01',
  maxGradNorm: '1',
  optim: 'adamw_torch',
  loggingSteps: 10,
  gradientCheckpointing: false,
  seed: 42,
  reportTo: ['tensorboard'],
} satisfies Parameters;

/**
 * The parameters of each method with the operator's own defaults; one that is not there, the method does not have. The trainer
 * has them, too, for whoever runs it alone; a test compares.
 */
export const fineTuneDefaults: Readonly<Record<FineTune['method'], Parameters>> = {
  SFT: { ...common, learningRate: '5e-5', maxLength: 2048, packing: false, assistantOnlyLoss: true },
  CPT: { ...common, learningRate: '2e-5', maxLength: 4096, packing: true, numTrainEpochs: 1 },
  DPO: { ...common, learningRate: '5e-6', maxLength: 512, beta: '0.1', maxGradNorm: '0.3' },
  RLHF: {
    ...common,
    learningRate: '1e-5',
    maxLength: 512,
    gradientAccumulationSteps: 4,
    numGenerations: 4,
    maxCompletionLength: 256,
    temperature: '1',
    beta: '0.05',
  },
  ORPO: { ...common, learningRate: '8e-6', maxLength: 1024, beta: '0.1' },
};

/** Of an adapter, where there is one. */
export const adapterDefaults = { r: 16, alpha: 32, dropout: '0.1' } as const;

/** Of several processes. How many there are, the pod says: one for each of its GPUs. */
const distributionDefaults = { strategy: 'DDP' } as const;

/** Two ways to say one thing: who says either has said both, or one speaker's word would be taken for the other's. */
const alternatives = [
  ['maxSteps', 'numTrainEpochs'],
  ['warmupSteps', 'warmupRatio'],
] as const satisfies readonly (readonly (keyof Parameters)[])[];

/**
 * What stands behind the words of a fine-tuning job: those of a runtime that its method has, then the operator's. A runtime's
 * adapter is the job's as well: its other words are meant for it. `several`: it may get a pod with several GPUs.
 */
export function fineTuneBehind(
  { method, parameters = {}, lora, distribution }: FineTune,
  words: Words = {},
  several = false,
): Words {
  const known = fineTuneDefaults[method];
  const names = [...Object.keys(known), ...alternatives.flat(), 'lrSchedulerKwargs'];
  // A runtime may be for jobs of all methods, and name parameters of each.
  const theirs: Parameters = Object.fromEntries(
    Object.entries(words.parameters ?? {}).filter(([name]) => names.includes(name)),
  );
  const adapter = lora ?? words.lora;
  return {
    parameters: under({ ...under(known, theirs), ...theirs }, parameters),
    ...(adapter && { lora: { ...adapterDefaults, ...words.lora } }),
    ...(words.quantization && { quantization: words.quantization }),
    ...((several || distribution || words.distribution) && {
      distribution: { ...distributionDefaults, ...words.distribution },
    }),
  };
}

/** What of the lower words the upper ones leave in force. */
function under(lower: Parameters, upper: Parameters): Parameters {
  const replaced: string[] = alternatives.filter((names) => names.some((name) => name in upper)).flat();
  // What a schedule takes goes with it.
  if ('lrSchedulerType' in upper) replaced.push('lrSchedulerKwargs');
  return Object.fromEntries(Object.entries(lower).filter(([name]) => !replaced.includes(name)));
}

/** A fine-tuning job with what stands behind it. */
export function withBehind(fineTune: FineTune, behind: Words = {}): FineTune {
  const { lora, quantization, distribution } = { ...behind, ...fineTune };
  return {
    ...fineTune,
    parameters: { ...behind.parameters, ...fineTune.parameters },
    ...(lora && { lora: { ...behind.lora, ...fineTune.lora } }),
    ...(quantization && { quantization }),
    ...(distribution && { distribution: { ...behind.distribution, ...fineTune.distribution } }),
  };
}
