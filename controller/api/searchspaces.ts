import type { TrainingJobSpec } from './trainingjob.ts';

type Tabular = NonNullable<TrainingJobSpec['trainer']['tabular']>;
type Parameters = NonNullable<Tabular['parameters']>;
type Space = NonNullable<NonNullable<Tabular['search']>['space']>;
type Dimension = Space[number];

const range = (name: Dimension['name'], low: number | string, high: number | string, log = false): Dimension => ({
  name,
  low,
  high,
  log,
});

/**
 * Where the parameters of each family are looked for when a job does not say it. The trainer has them, too, for whoever runs it
 * alone; a test compares.
 */
export const searchSpaces: Readonly<Record<string, Space>> = {
  xgboost: [
    range('maxDepth', 3, 10),
    range('learningRate', '0.01', '0.3', true),
    range('subsample', '0.5', '1'),
    range('colsampleBytree', '0.5', '1'),
    range('minChildWeight', '0.5', '20', true),
    range('gamma', '0', '5'),
    range('regAlpha', '0.0001', '10', true),
    range('regLambda', '0.01', '100', true),
  ],
  lightgbm: [
    range('numLeaves', 7, 255, true),
    range('learningRate', '0.01', '0.3', true),
    range('featureFraction', '0.4', '1'),
    range('baggingFraction', '0.4', '1'),
    range('minDataInLeaf', 5, 100, true),
    range('lambdaL1', '0.0001', '10', true),
    range('lambdaL2', '0.0001', '10', true),
  ],
  catboost: [
    range('depth', 4, 10),
    range('learningRate', '0.01', '0.3', true),
    range('l2LeafReg', '1', '30', true),
    range('subsample', '0.5', '1'),
    range('rsm', '0.5', '1'),
    range('randomStrength', '0.01', '10', true),
  ],
  random_forest: [
    range('maxDepth', 3, 30),
    range('minSamplesSplit', 2, 20),
    range('minSamplesLeaf', 1, 10),
    range('maxFeatures', '0.1', '1'),
  ],
  svm: [range('c', '0.01', '1000', true), range('gamma', '0.0001', '10', true), range('epsilon', '0.001', '1', true)],
  keras: [
    range('learningRate', '0.0001', '0.01', true),
    { name: 'learningRateSchedule', choices: ['Constant', 'CosineDecay'], log: false },
    range('batchSize', 16, 256, true),
  ],
};

/**
 * What stands behind the space that a job names itself: the family's own ranges of parameters that neither `space` nor the job's
 * `parameters` name, and that have an effect beside `fixed`, which are all parameters that it comes to. A grid has what is named.
 */
export function spaceBehind({ modelType, parameters = {}, search }: Tabular, fixed: Parameters): Space {
  if (!search || search.sampler === 'Grid') return [];
  const family = Object.entries(searchSpaces).find(([name]) => modelType.startsWith(`${name}_`));
  const named = new Set<string>([...(search.space ?? []).map(({ name }) => name), ...Object.keys(parameters)]);
  return (family?.[1] ?? []).filter(
    ({ name }) => !named.has(name) && hasEffect(name, modelType, fixed, search.space ?? []),
  );
}

/** As the trainer judges it. One that is searched itself has an effect where any of its values gives one. */
function hasEffect(name: string, modelType: string, fixed: Parameters, own: Space): boolean {
  const possible = (other: keyof Parameters): readonly unknown[] => {
    const searched = own.find((dimension) => dimension.name === other);
    return searched ? (searched.choices ?? [searched.low, searched.high]) : [fixed[other]];
  };
  const of = (family: string): boolean => modelType.startsWith(`${family}_`);
  if (of('catboost') && name === 'subsample')
    return possible('bootstrapType').some((type) => type === 'MVS' || type === 'Bernoulli');
  if (of('lightgbm') && name === 'baggingFraction') return possible('baggingFreq').some((freq) => freq !== 0);
  if (of('svm') && name === 'gamma') return possible('kernel').some((kernel) => kernel !== 'linear');
  return name !== 'epsilon' || modelType === 'svm_regression';
}
