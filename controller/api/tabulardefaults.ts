import type { TrainingJobSpec } from './trainingjob.ts';

type Parameters = NonNullable<NonNullable<TrainingJobSpec['trainer']['tabular']>['parameters']>;

/**
 * The parameters of each family of tabular models, with the operator's own defaults; null where the library's own rule stands.
 * The same name has other defaults in other families. The trainer has them, too, for whoever runs it alone; a test compares.
 */
export const tabularDefaults = {
  xgboost: {
    nEstimators: 100,
    maxDepth: 6,
    learningRate: '0.1',
    subsample: '0.8',
    colsampleBytree: '0.8',
    minChildWeight: '1',
    gamma: '0',
    regAlpha: '0',
    regLambda: '1',
    randomState: 42,
  },
  lightgbm: {
    preset: 'Default',
    nEstimators: 100,
    numLeaves: 31,
    maxDepth: null,
    learningRate: '0.1',
    featureFraction: '0.8',
    baggingFraction: '0.8',
    baggingFreq: 1,
    minDataInLeaf: 20,
    minGainToSplit: '0',
    lambdaL1: '0',
    lambdaL2: '0',
    randomState: 42,
  },
  catboost: {
    iterations: 1000,
    depth: 6,
    learningRate: '0.03',
    l2LeafReg: '3',
    bootstrapType: 'MVS',
    subsample: '0.8',
    rsm: '0.8',
    borderCount: 254,
    randomStrength: '1',
    randomState: 42,
  },
  random_forest: {
    nEstimators: 100,
    maxDepth: null,
    minSamplesSplit: 2,
    minSamplesLeaf: 1,
    maxFeatures: 'auto',
    bootstrap: true,
    randomState: 42,
  },
  svm: {
    c: '1',
    kernel: 'rbf',
    gamma: 'scale',
    degree: 3,
    coef0: '0',
    epsilon: '0.1',
    tol: '0.001',
    randomState: 42,
  },
  keras: {
    layers: [
      { type: 'Dense', units: 64, activation: 'relu', kernelInitializer: 'glorot_uniform' },
      { type: 'Dense', units: 32, activation: 'relu', kernelInitializer: 'glorot_uniform' },
    ],
    optimizer: 'adam',
    learningRate: '0.001',
    learningRateSchedule: 'Constant',
    weightDecay: '0.004',
    momentum: '0',
    batchSize: 32,
    epochs: 100,
    randomState: 42,
  },
} as const satisfies Readonly<Record<string, { readonly [Name in keyof Parameters]: Parameters[Name] | null }>>;

/** What the presets of LightGBM put in the place of its defaults. */
export const tabularPresets: Readonly<Record<NonNullable<Parameters['preset']>, Parameters>> = {
  Default: {},
  Large: {
    numLeaves: 63,
    learningRate: '0.05',
    featureFraction: '0.7',
    baggingFraction: '0.7',
    baggingFreq: 5,
    minDataInLeaf: 100,
    minGainToSplit: '0.01',
    lambdaL1: '0.1',
    lambdaL2: '0.1',
  },
  Fast: {
    nEstimators: 50,
    numLeaves: 15,
    featureFraction: '0.7',
    baggingFraction: '0.7',
    baggingFreq: 2,
    minDataInLeaf: 50,
    minGainToSplit: '0.05',
  },
  HighAccuracy: {
    nEstimators: 300,
    numLeaves: 50,
    learningRate: '0.05',
    featureFraction: '0.9',
    baggingFraction: '0.9',
    minDataInLeaf: 10,
    lambdaL1: '0.01',
    lambdaL2: '0.01',
  },
};

/**
 * What stands behind the parameters that a job names itself: those of its family that `words` has, then the preset's, then the
 * operator's own. `own` are the job's, which may name the preset.
 */
export function parametersBehind(modelType: string, own: Parameters = {}, words: Parameters = {}): Parameters {
  const family = Object.entries(tabularDefaults).find(([name]) => modelType.startsWith(`${name}_`));
  const known: Readonly<Record<string, unknown>> = family?.[1] ?? {};
  // A runtime is for jobs of all families, and may name parameters of each.
  const mine = Object.fromEntries(Object.entries(words).filter(([name]) => name in known));
  const preset = 'preset' in known ? tabularPresets[own.preset ?? words.preset ?? 'Default'] : {};
  const defaults = Object.fromEntries(Object.entries(known).filter(([, value]) => value !== null));
  return { ...defaults, ...preset, ...mine };
}
