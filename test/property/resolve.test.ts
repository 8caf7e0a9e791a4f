import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { frozen } from '../../controller/api/frozen.ts';
import { misfit } from '../../controller/api/misfit.ts';
import { defaultsFor, resolve } from '../../controller/api/resolve.ts';
import type { TrainingJobSpec } from '../../controller/api/trainingjob.ts';
import type { TrainingRuntimeSpec } from '../../controller/api/trainingruntime.ts';
import { ownDefaults } from '../../controller/api/defaults.ts';
import { fineTuneDefaults } from '../../controller/api/finetunedefaults.ts';
import { scoringBehind } from '../../controller/api/scoring.ts';
import { explore } from './runs.ts';

explore(500);

const count = fc.integer({ min: 0, max: 5000 });
const decimal = fc.constantFrom('0', '0.5', '1');
const some = <T extends object>(parts: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<Partial<T>> =>
  fc.record(parts, { requiredKeys: [] }) as fc.Arbitrary<Partial<T>>;
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined });

const parameters = some({ nEstimators: count, maxDepth: count, learningRate: decimal, gamma: decimal });
const methods = ['SFT', 'CPT', 'DPO', 'ORPO', 'RLHF'] as const;
const hyperparameters = some({
  learningRate: decimal,
  packing: fc.boolean(),
  beta: decimal,
  numTrainEpochs: count,
  maxSteps: count,
  warmupRatio: decimal,
  warmupSteps: count,
});
const lora = some({ r: count, dropout: decimal, targetModules: fc.constantFrom<string[]>(['a'], ['b', 'c']) });
const quantization = fc.constantFrom('NF4' as const, 'Int8' as const);
const fineTunes = some({ method: fc.constantFrom(...methods), parameters: hyperparameters, lora, quantization });
const env = fc.uniqueArray(fc.record({ name: fc.constantFrom('A', 'B', 'C'), value: fc.constantFrom('', '0', 'x') }), {
  selector: ({ name }) => name,
  maxLength: 3,
});
const compute = some({ containerDiskGB: count, minCudaVersion: fc.constantFrom('12.8', '13.0') });
const keep = some({ everySteps: count, keepBest: count, keepLast: count });
const scoring = fc.constantFrom(
  { strategy: 'MultiMetric' as const },
  { strategy: 'SingleMetric' as const, metric: { name: 'eval/auc', goal: 'Maximize' as const } },
);
const runPolicy = some({ backoffLimit: count, startDeadlineSeconds: count, activeDeadlineSeconds: count });
const watchdog = some({ heartbeatTimeoutSeconds: count, deadManSeconds: count });
const evaluation = fc.record({ everySteps: count });
const predictions = some({ enabled: fc.boolean(), sampleCount: count, seed: count });

/** Members that are undefined are not there: a resource comes as JSON. */
const json = <T>(value: T): T => frozen(JSON.parse(JSON.stringify(value)) as T);

const runtimes = fc
  .record({
    image: maybe(fc.constantFrom('acme:1', 'acme:2')),
    trainer: maybe(some({ fineTune: fineTunes, tabular: some({ parameters }), env })),
    compute: maybe(compute),
    evaluation: maybe(evaluation),
    checkpoints: maybe(keep),
    scoring: maybe(scoring),
    predictions: maybe(predictions),
    runPolicy: maybe(runPolicy),
    watchdog: maybe(watchdog),
  })
  .map((value) => json(value) as TrainingRuntimeSpec);

const dataset = { source: 'file:///volume/x.csv', evalSplit: '0.2', seed: 0 };
const trainers = fc.oneof(
  fc.record({
    custom: fc.record({ image: maybe(fc.constant('own:1')), command: fc.constant(['x']) }),
    env: maybe(env),
  }),
  fc.record({
    tabular: fc.record({
      modelType: fc.constant('xgboost_binary_classification' as const),
      dataset: fc.constant(dataset),
      target: fc.constant('y'),
      parameters: maybe(parameters),
    }),
    env: maybe(env),
  }),
  fc.record({
    fineTune: fc.record({
      method: fc.constantFrom(...methods),
      model: fc.constant({ source: 'file:///volume/m' }),
      dataset: fc.constant({ source: 'file:///volume/x.jsonl' }),
      parameters: maybe(hyperparameters),
      lora: maybe(lora),
      quantization: maybe(quantization),
    }),
    env: maybe(env),
  }),
);
const jobs = fc
  .record({
    suspend: fc.constant(false),
    restartToken: fc.constant(''),
    readyWhen: fc.constant('Started' as const),
    trainer: trainers,
    compute: compute.map((rest) => ({ candidates: [], ...rest })),
    evaluation: maybe(evaluation),
    checkpoints: maybe(keep.map((rest) => ({ uri: 'file:///volume/c', ...rest }))),
    scoring: maybe(scoring),
    predictions: maybe(predictions),
    runPolicy: maybe(runPolicy),
    watchdog: maybe(watchdog),
  })
  .map((value) => json(value) as unknown as TrainingJobSpec);

/** Everything that is said in `part`, but for lists, is what `whole` says there. */
function says(whole: unknown, part: unknown): boolean {
  if (Array.isArray(part) || typeof part !== 'object' || part === null)
    return JSON.stringify(whole) === JSON.stringify(part);
  return Object.entries(part).every(([name, inner]) => says((whole as Record<string, unknown>)?.[name], inner));
}

describe('what a job comes to', () => {
  test("its own words always win, and its environment's", () =>
    fc.assert(
      fc.property(jobs, fc.option(runtimes, { nil: undefined }), (job, words) => {
        const { trainer, ...rest } = job;
        const { env: own = [], ...kinds } = trainer;
        const result = resolve(job, words);
        expect(says(result, rest)).toBe(true);
        expect(says(result.trainer, kinds)).toBe(true);
        for (const entry of own) expect(result.trainer.env).toContainEqual(entry);
        expect(new Set(result.trainer.env?.map(({ name }) => name)).size).toBe(result.trainer.env?.length ?? 0);
        if (trainer.custom?.image !== undefined) expect(result.image).toBe(trainer.custom.image);
      }),
    ));

  test("where it says nothing its runtime's words stand, and where neither does the operator's", () =>
    fc.assert(
      fc.property(jobs, runtimes, (job, words) => {
        const result = resolve(job, words);
        for (const part of ['runPolicy', 'watchdog', 'compute'] as const) {
          for (const name of Object.keys({ ...words[part], ...ownDefaults[part] })) {
            const [own, behind, last] = [job, words, ownDefaults].map(
              (source) => (source[part] as Record<string, unknown> | undefined)?.[name],
            );
            expect((result[part] as Record<string, unknown>)[name]).toEqual(own ?? behind ?? last);
          }
        }
        expect(result.scoring).toEqual(job.scoring ?? words.scoring ?? scoringBehind(job.trainer));
        expect(result.evaluation).toEqual(job.evaluation ?? words.evaluation);
        if (job.trainer.tabular) {
          const own = job.trainer.tabular.parameters?.nEstimators;
          const behind = words.trainer?.tabular?.parameters?.nEstimators;
          expect(result.trainer.tabular?.parameters.nEstimators).toBe(own ?? behind ?? 100);
        }
        const { fineTune } = job.trainer;
        if (fineTune) {
          const theirs = words.trainer?.fineTune;
          expect(result.trainer.fineTune?.quantization).toBe(fineTune.quantization ?? theirs?.quantization);
          expect(result.trainer.fineTune?.lora !== undefined).toBe((fineTune.lora ?? theirs?.lora) !== undefined);
          expect(result.trainer.fineTune?.parameters?.learningRate).toBe(
            fineTune.parameters?.learningRate ??
              theirs?.parameters?.learningRate ??
              fineTuneDefaults[fineTune.method].learningRate,
          );
          const asked = job.predictions ?? words.predictions;
          expect(result.predictions).toEqual(
            asked && { ...ownDefaults.predictions, ...words.predictions, ...job.predictions },
          );
        }
        expect(result.checkpoints === undefined).toBe(job.checkpoints === undefined);
      }),
    ));

  test('is the same from the runtime, from the defaults that a status keeps of it, and from itself', () =>
    fc.assert(
      fc.property(jobs, runtimes, (job, words) => {
        const once = resolve(job, words);
        const kept = json(defaultsFor(job, words));
        expect(json(resolve(job, kept))).toEqual(json(once));
        expect(json(resolve(once as TrainingJobSpec, words))).toEqual(json(once));
        expect(json(defaultsFor(job, kept))).toEqual(kept);
      }),
    ));

  test('is whole, and whether it fits is always answered', () =>
    fc.assert(
      fc.property(jobs, runtimes, (job, words) => {
        const { runPolicy: policy, watchdog: dog, compute: hardware, scoring: scored } = resolve(job, words);
        for (const value of [
          ...Object.values(policy),
          ...Object.values(dog),
          hardware.containerDiskGB,
          scored.strategy,
        ])
          expect(value).toBeDefined();
        expect(['string', 'undefined']).toContain(typeof misfit(job, words));
      }),
    ));
});
