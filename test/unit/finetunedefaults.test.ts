import { describe, expect, test } from 'vitest';
import { adapterDefaults, fineTuneBehind, fineTuneDefaults } from '../../controller/api/finetunedefaults.ts';
import { misfit } from '../../controller/api/misfit.ts';
import { ownDefaults } from '../../controller/api/defaults.ts';
import { defaultsFor, resolve } from '../../controller/api/resolve.ts';
import type { TrainingJobSpec } from '../../controller/api/trainingjob.ts';
import type { TrainingRuntimeSpec } from '../../controller/api/trainingruntime.ts';
import { spec } from './snapshot.ts';

type FineTune = NonNullable<TrainingJobSpec['trainer']['fineTune']>;
type Words = NonNullable<NonNullable<TrainingRuntimeSpec['trainer']>['fineTune']>;

const job = (more: Partial<FineTune> = {}): FineTune => ({
  method: 'SFT',
  model: { source: 'file:///volume/model' },
  dataset: { source: 'file:///volume/rows.jsonl' },
  ...more,
});
const candidate = (name: string, count: number) =>
  ({ name, gpu: { type: 'NVIDIA L4', count }, cloud: 'Secure' }) as const;
const { scoring: _scoring, ...unscored } = spec;
const methods = Object.keys(fineTuneDefaults) as FineTune['method'][];

describe('what stands behind a fine-tuning job', () => {
  test.each(methods)('without a runtime: the defaults of %s, and no adapter', (method) => {
    expect(fineTuneBehind(job({ method }))).toEqual({ parameters: fineTuneDefaults[method] });
  });

  test('an adapter that the job asks for has the defaults of one, and the words of the runtime before them', () => {
    expect(fineTuneBehind(job({ lora: { r: 4 } })).lora).toEqual(adapterDefaults);
    expect(fineTuneBehind(job({ lora: {} }), { lora: { r: 64 } }).lora).toEqual({ ...adapterDefaults, r: 64 });
  });

  test('how several processes train is told where there may be several', () => {
    const candidates = [candidate('one', 1), candidate('two', 2)];
    const of = (trainer: TrainingJobSpec['trainer'], compute: TrainingJobSpec['compute']) =>
      defaultsFor({ ...spec, trainer, compute }).trainer?.fineTune?.distribution;
    expect(of({ fineTune: job() }, { candidates })).toEqual({ strategy: 'DDP' });
    expect(of({ fineTune: job() }, { candidates: candidates.slice(0, 1) })).toBeUndefined();
    const fsdp = { fineTune: job({ distribution: { strategy: 'FSDP' } }) } as const;
    expect(resolve({ ...spec, trainer: fsdp }, {}).trainer.fineTune?.distribution).toEqual({ strategy: 'FSDP' });
  });

  test('what a runtime and a job come to, and neither could see alone', () => {
    const compute = { candidates: [candidate('one', 1)] };
    const why = (words: Words, more: Partial<FineTune> = {}) =>
      misfit({ ...spec, compute, trainer: { fineTune: job(more) } }, { trainer: { fineTune: words } });
    expect(why({ distribution: { processes: 2 } })).toContain('candidate one has fewer GPUs');
    expect(why({ lora: {} }, { distribution: { strategy: 'FSDP' } })).toContain('FSDP is for training all weights');
    expect(why({ parameters: { optim: 'adafactor' } }, { distribution: { strategy: 'FSDP' } })).toContain(
      'optim adafactor',
    );
    expect(why({ distribution: { strategy: 'FSDP' } })).toBeUndefined();
    const dataset = { source: 'file:///volume/rows.jsonl', streaming: true };
    expect(why({}, { dataset })).toContain('no maxSteps');
    expect(why({ parameters: { maxSteps: 10 } }, { dataset })).toBeUndefined();
  });

  test("the adapter and the quantisation of a runtime are the job's where it says nothing", () => {
    const words: Words = { lora: { dropout: '0' }, quantization: 'NF4' };
    const { fineTune } = resolve(
      { ...spec, trainer: { fineTune: job({ quantization: 'Int8' }) } },
      { trainer: { fineTune: words } },
    ).trainer;
    expect(fineTune).toMatchObject({ lora: { r: 16, alpha: 32, dropout: '0' }, quantization: 'Int8' });
    const { fineTune: silent } = resolve(
      { ...spec, trainer: { fineTune: job() } },
      { trainer: { fineTune: words } },
    ).trainer;
    expect(silent).toMatchObject({ lora: { r: 16, alpha: 32, dropout: '0' }, quantization: 'NF4' });
  });

  test('of a runtime for all methods each job gets the parameters that its method has', () => {
    const parameters = { learningRate: '1e-3', packing: true, beta: '0', numGenerations: 8 };
    expect(fineTuneBehind(job(), { parameters }).parameters).toEqual({
      ...fineTuneDefaults.SFT,
      learningRate: '1e-3',
      packing: true,
    });
    expect(fineTuneBehind(job({ method: 'DPO' }), { parameters }).parameters).toEqual({
      ...fineTuneDefaults.DPO,
      learningRate: '1e-3',
      beta: '0',
    });
  });

  test('what a schedule of the runtime takes goes with it, and not with another one', () => {
    const parameters = { lrSchedulerType: 'cosine_with_restarts', lrSchedulerKwargs: { numCycles: 3 } } as const;
    expect(fineTuneBehind(job(), { parameters }).parameters).toMatchObject(parameters);
    const linear = fineTuneBehind(job({ parameters: { lrSchedulerType: 'linear' } }), { parameters }).parameters;
    expect(linear).not.toHaveProperty('lrSchedulerKwargs');
  });

  test.each<readonly [string, FineTune['parameters'], Words['parameters'], object, readonly string[]]>([
    [
      'epochs of the job replace steps of the runtime',
      { numTrainEpochs: 2 },
      { maxSteps: 9 },
      { numTrainEpochs: 2 },
      ['maxSteps'],
    ],
    ['steps of the runtime replace epochs of the operator', {}, { maxSteps: 9 }, { maxSteps: 9 }, ['numTrainEpochs']],
    ['steps of the job replace both', { maxSteps: 7 }, { numTrainEpochs: 2 }, { maxSteps: 7 }, ['numTrainEpochs']],
    [
      'no warm-up of the job replaces a share',
      { warmupSteps: 0 },
      { warmupRatio: '0.5' },
      { warmupSteps: 0 },
      ['warmupRatio'],
    ],
    [
      'a share of the job replaces steps',
      { warmupRatio: '0' },
      { warmupSteps: 50 },
      { warmupRatio: '0' },
      ['warmupSteps'],
    ],
  ])('%s', (_, parameters = {}, theirs = {}, said, unsaid) => {
    const words = { trainer: { fineTune: { parameters: theirs } } };
    const resolved = resolve({ ...spec, trainer: { fineTune: job({ parameters }) } }, words).trainer.fineTune
      ?.parameters;
    expect(resolved).toMatchObject(said);
    for (const name of unsaid) expect(resolved).not.toHaveProperty(name);
  });
});

describe('predictions', () => {
  const of = (predictions: TrainingJobSpec['predictions'], words: TrainingRuntimeSpec = {}) =>
    resolve({ ...unscored, trainer: { fineTune: job() }, ...(predictions && { predictions }) }, words).predictions;

  test('are asked for by a job or its runtime, with what neither says, and visible before the run', () => {
    expect(of(undefined)).toBeUndefined();
    expect(of({})).toEqual(ownDefaults.predictions);
    expect(of(undefined, { predictions: { sampleCount: 8 } })).toEqual({ ...ownDefaults.predictions, sampleCount: 8 });
    expect(of({ seed: 0 }, { predictions: { sampleCount: 8, seed: 7 } })).toMatchObject({ sampleCount: 8, seed: 0 });
    expect(of({ enabled: false }, { predictions: {} })).toMatchObject({ enabled: false });
    const { predictions } = defaultsFor({ ...unscored, trainer: { fineTune: job() }, predictions: { seed: 0 } });
    expect(predictions).toEqual(ownDefaults.predictions);
  });

  test('of another trainer there are none, whatever its runtime says', () => {
    expect(resolve(spec, { predictions: {} })).not.toHaveProperty('predictions');
  });
});

describe('a runtime and a fine-tuning job that do not fit', () => {
  const told = (fineTune: Partial<FineTune>, words: Words, more: Partial<TrainingJobSpec> = {}): string | undefined =>
    misfit({ ...unscored, trainer: { fineTune: job(fineTune) }, ...more }, { trainer: { fineTune: words } });

  test('of another method', () => {
    expect(told({}, { method: 'DPO' })).toBe(
      'is for jobs with spec.trainer.fineTune.method DPO, and this one has SFT; name a runtime for SFT jobs in spec.runtimeRef, or leave it out.',
    );
    expect(told({ method: 'DPO' }, { method: 'DPO' })).toBeUndefined();
    expect(misfit(spec, { trainer: { fineTune: { method: 'SFT' } } })).toContain(
      'is for jobs with spec.trainer.fineTune',
    );
  });

  test('answers that do not fit into a step', () => {
    const reward = { functions: [{ name: 'JSON' as const }] };
    const words: Words = { method: 'RLHF', parameters: { gradientAccumulationSteps: 3 } };
    expect(told({ method: 'RLHF', reward, parameters: { numGenerations: 8 } }, words)).toContain('a multiple of');
    expect(told({ method: 'RLHF', reward, parameters: { numGenerations: 6 } }, words)).toBeUndefined();
  });

  test('a rank by predictions that neither asks for', () => {
    const metric = { name: 'predict/exact_match', goal: 'Maximize' } as const;
    const scoring = { strategy: 'SingleMetric', metric } as const;
    const earlyStopping = { patience: 2, minDelta: '0', metric };
    const by = (more: Partial<TrainingJobSpec>, words: TrainingRuntimeSpec = {}) =>
      misfit({ ...unscored, trainer: { fineTune: job() }, ...more }, words);
    expect(by({ scoring })).toContain('spec.scoring.metric.name is predict/exact_match');
    expect(by({ earlyStopping })).toContain('spec.earlyStopping.metric.name is predict/exact_match');
    expect(by({ scoring, predictions: {} }, { predictions: { enabled: false } })).toContain('set spec.predictions');
    expect(by({ scoring, earlyStopping }, { predictions: {} })).toBeUndefined();
    expect(by({ scoring, predictions: {} })).toBeUndefined();
  });

  test('an adapter that neither has cannot be merged', () => {
    const output = { uri: 'file:///volume/models', merge: false };
    expect(told({}, {}, { output })).toContain('there is no adapter to merge');
    expect(told({}, { lora: {} }, { output })).toBeUndefined();
    expect(told({ lora: {} }, {}, { output })).toBeUndefined();
  });
});
