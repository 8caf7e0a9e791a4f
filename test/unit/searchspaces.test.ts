import { describe, expect, test } from 'vitest';
import { misfit } from '../../controller/api/misfit.ts';
import { defaultsFor, resolve } from '../../controller/api/resolve.ts';
import { searchSpaces, spaceBehind } from '../../controller/api/searchspaces.ts';
import type { TrainingJobSpec } from '../../controller/api/trainingjob.ts';

type Tabular = NonNullable<TrainingJobSpec['trainer']['tabular']>;

const searching = (tabular: Partial<Tabular>, search: Partial<NonNullable<Tabular['search']>> = {}): TrainingJobSpec =>
  ({
    trainer: {
      tabular: {
        modelType: 'xgboost_regression',
        target: 'y',
        dataset: { source: 'file:///volume/d.csv', evalSplit: '0.2', testSplit: '0', seed: 42 },
        ...tabular,
        search: { sampler: 'TPE', trials: 20, pruner: 'Auto', seed: 42, ...search },
      },
    },
    compute: { candidates: [] },
  }) as unknown as TrainingJobSpec;
const resolved = (spec: TrainingJobSpec, ...words: Parameters<typeof resolve>[1][]): Tabular =>
  resolve(spec, ...words).trainer.tabular as Tabular;

describe('where a search looks', () => {
  test.each(Object.keys(searchSpaces))('in the ranges of %s, and nothing searched has a value of its own', (family) => {
    const { search, parameters = {} } = resolved(
      searching({ modelType: `${family}_regression` as Tabular['modelType'] }),
    );
    const names = (search?.space ?? []).map(({ name }) => name);
    expect(names).toEqual((searchSpaces[family] ?? []).map(({ name }) => name));
    expect(Object.keys(parameters).filter((name) => names.includes(name as (typeof names)[number]))).toEqual([]);
    expect(parameters).toHaveProperty('randomState');
  });

  test('what a job says itself goes before, and what it fixes is not searched', () => {
    const space = [{ name: 'maxDepth' as const, choices: [2, 4], log: false }];
    const spec = searching({ parameters: { learningRate: '0.2' } }, { space });
    const { search, parameters } = resolved(spec);
    expect(search?.space?.filter(({ name }) => name === 'maxDepth')).toEqual(space);
    expect(search?.space?.map(({ name }) => name)).not.toContain('learningRate');
    expect(parameters).toMatchObject({ learningRate: '0.2', nEstimators: 100 });
  });

  test("a runtime's word for a parameter does not fix it", () => {
    const words = { trainer: { tabular: { parameters: { learningRate: '0.2', nEstimators: 7 } } } };
    const { search, parameters } = resolved(searching({}), words);
    expect(search?.space?.map(({ name }) => name)).toContain('learningRate');
    expect(parameters).toMatchObject({ nEstimators: 7 });
    expect(parameters).not.toHaveProperty('learningRate');
  });

  test('of a grid nowhere but where the job says', () => {
    const space = [{ name: 'maxDepth' as const, choices: [2, 4], log: false }];
    expect(resolved(searching({}, { sampler: 'Grid', space })).search?.space).toEqual(space);
  });

  test.each([
    ['catboost_regression', { bootstrapType: 'No' }, 'subsample'],
    ['lightgbm_regression', { baggingFreq: 0 }, 'baggingFraction'],
    ['svm_regression', { kernel: 'linear' }, 'gamma'],
    ['svm_binary_classification', {}, 'epsilon'],
  ] as const)('of %s with %o not for %s, which has no effect', (modelType, parameters, name) => {
    const space = resolved(searching({ modelType, parameters })).search?.space ?? [];
    expect(space.map((entry) => entry.name)).not.toContain(name);
    expect(space.length).toBeGreaterThan(0);
  });

  test('a job without a search has none, whatever its run was pinned to', () => {
    const plain = { ...searching({}) };
    const { search: _search, ...tabular } = plain.trainer.tabular as Tabular;
    expect(spaceBehind(tabular as Tabular, {})).toEqual([]);
    expect(resolved({ ...plain, trainer: { tabular } })).not.toHaveProperty('search');
  });

  test('what a run is pinned to gives the same again', () => {
    const spec = searching({}, { space: [{ name: 'gamma', low: '0', high: '1', log: false }] });
    const kept = defaultsFor(spec);
    expect(defaultsFor(spec, kept)).toEqual(kept);
    expect(resolved(spec, kept)).toEqual(resolved(spec));
  });
});

test.each([
  ['scores by MultiMetric', { scoring: { strategy: 'MultiMetric' } }],
  ['to checkpoints.everyMinutes 5, and a search stores a checkpoint', { checkpoints: { everyMinutes: 5 } }],
  ['a search stores a checkpoint after each trial', { evaluation: { everySteps: 5 }, checkpoints: { everySteps: 5 } }],
] as const)('a runtime that %s does not fit a search', (sentence, words) => {
  const checkpoints = { uri: 'file:///volume/c' };
  expect(misfit({ ...searching({}), checkpoints }, words)).toContain(sentence);
  expect(misfit({ ...searching({}), checkpoints }, {})).toBeUndefined();
});
