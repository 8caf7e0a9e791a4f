import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { TrainingJobSpec } from '../../controller/api/trainingjob.ts';
import { kubectl } from '../controlplane/crds.ts';
import { startHub, type Hub } from '../rig/hub.ts';
import { makeReader } from '../rig/reader.ts';
import { condition, startRig, type DeepPartial, type Rig } from '../rig/rig.ts';
import { runPython, trainerImage, trainerImages, writeLanguage } from '../rig/trainer.ts';

let rig: Rig;
let hub: Hub;
let volume: string;
let namespace: string;
beforeAll(async () => {
  hub = await startHub(1);
  rig = await startRig({
    // So that the Hub is given up at once.
    images: { [trainerImage]: ['env', 'TRAININGJOB_HUB_PATIENCE_SECONDS=0.5', ...trainerImages[trainerImage]] },
    volumes: [{ id: 'demovolume', name: 'demovolume', dataCenter: 'EU-RO-1', size: 10 }],
  });
  volume = rig.simulator.volumeFolder('demovolume');
  await writeLanguage(volume, 'SFT');
  await rig.start({ TRAINER_IMAGE: trainerImage });
  namespace = await rig.namespace();
  await kubectl(rig.plane, ['create', 'secret', 'generic', 'hub', '-n', namespace, '--from-literal=HF_TOKEN=good']);
});
afterAll(async () => {
  await rig.stop();
  await hub.stop();
});

const onDisk = (uri: string | undefined): string => join(volume, new URL(uri ?? '').pathname.replace('/volume', ''));

/** The job of the demonstration, with other parameters. */
function sft(parameters: object): DeepPartial {
  const file = new URL('../../crds/examples/valid/sft.yaml', import.meta.url);
  const { spec } = parse(readFileSync(file, 'utf8')) as { spec: TrainingJobSpec };
  const fineTune = { ...spec.trainer.fineTune, parameters: { ...spec.trainer.fineTune?.parameters, ...parameters } };
  return { ...spec, trainer: { ...spec.trainer, fineTune } };
}

/** Where the Hub is; parts of it that it has not are not asked for. */
const hubEnv = (): readonly { name: string; value: string }[] => [
  { name: 'HF_ENDPOINT', value: hub.url },
  { name: 'HF_HUB_DISABLE_XET', value: '1' },
];

const plainTransformers = `
import os, sys
os.environ.update(item.split("=", 1) for item in sys.argv[3:])
from transformers import AutoModelForCausalLM, AutoTokenizer
where = {"pretrained_model_name_or_path": sys.argv[1], "revision": sys.argv[2]}
model, tokenizer = AutoModelForCausalLM.from_pretrained(**where), AutoTokenizer.from_pretrained(**where)
asked = tokenizer.apply_chat_template([{"role": "user", "content": "Hello"}], add_generation_prompt=True, return_tensors="pt", return_dict=True)
print(model.generate(**asked, max_new_tokens=4, do_sample=False).shape[1] - asked["input_ids"].shape[1])
`;

const greedy = `
import json, sys
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = AutoModelForCausalLM.from_pretrained(sys.argv[1]), AutoTokenizer.from_pretrained(sys.argv[1])
answers = []
for prompt in sys.argv[2:]:
    asked = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
    ids = model.generate(**asked, max_new_tokens=24, do_sample=False)[0, asked["input_ids"].shape[1]:]
    answers.append(tokenizer.decode(ids, skip_special_tokens=True))
print(json.dumps(answers))
`;

interface Evaluation {
  readonly attempt: number;
  readonly step: number;
  readonly metrics: Readonly<Record<string, number>>;
}

interface Prediction {
  readonly attempt: number;
  readonly step: number;
  readonly sample: number;
  readonly prompt: string;
  readonly generated: string;
  readonly scores: Readonly<Record<string, number>>;
}

/** The eval loss as its definition says it: the mean over held-out texts of the mean over their tokens. */
const evalLoss = `
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from trainingjob.finetune.split import split_rows
model, tokenizer = AutoModelForCausalLM.from_pretrained(sys.argv[1]).eval(), AutoTokenizer.from_pretrained(sys.argv[1])
rows = [json.loads(line) for line in open(sys.argv[2])]
losses = []
for index in split_rows(rows, float(sys.argv[3]), 42, "").held_out:
    ids = torch.tensor([tokenizer(rows[index]["text"])["input_ids"] + [tokenizer.eos_token_id]])
    with torch.no_grad():
        losses.append(torch.nn.functional.cross_entropy(model(ids).logits[0, :-1], ids[0, 1:]).item())
print(sum(losses) / len(losses))
`;

describe('fine-tuning in a pod', () => {
  test('a pod is lost in the middle, and the Hub at the end: the next goes on, the last only publishes', async () => {
    const spec = sft({ maxSteps: 200 }) as unknown as TrainingJobSpec;
    const huggingFace = { repo: 'acme/talk', secretRef: { name: 'hub' } };
    await rig.create(namespace, 'talk', {
      ...spec,
      trainer: { ...spec.trainer, env: [...(spec.trainer.env ?? []), ...hubEnv()] },
      output: { ...spec.output, huggingFace },
    });
    const first = await rig.until(namespace, 'talk', ({ status }) => status?.checkpoint?.verified === true, 120_000);
    expect(first.status?.dataset).toMatchObject({ samples: 400, trainSamples: 360, evalSamples: 40 });
    rig.simulator.pods.lose(first.status?.attempt?.podID ?? '', 'vanish');
    const job = await rig.until(namespace, 'talk', ({ status }) => status?.completionTime !== undefined, 240_000);
    expect(job.status?.phase).toBe('Succeeded');
    expect(job.spec.output?.huggingFace).toEqual({ ...huggingFace, private: true });
    expect(job.status?.attempts).toMatchObject([
      { reason: 'PodLost' },
      { reason: 'ArtifactsFailed', exitCode: 6, lastStep: 200 },
      { reason: 'TrainerSucceeded' },
    ]);
    expect(job.status?.attempts?.[1]?.message).toContain(
      'spec.output.huggingFace: acme/talk cannot be written, as the Hub does not answer: 500',
    );
    const { attempt, best, dataset, output, progress } = job.status ?? {};
    expect(attempt?.resumedFromStep).toBe(200);
    expect(first.status?.checkpoint?.step).toBeLessThan(200);
    expect(progress).toMatchObject({ step: 200, totalSteps: 200, percentage: 100 });
    expect(dataset?.trainedTokens).toBeGreaterThan(0);
    expect(dataset?.tokens).toBeGreaterThan(dataset?.trainedTokens ?? Infinity);
    // Nothing is said of scoring, so it is that of language models.
    expect(Object.keys(best?.components ?? {}).toSorted()).toEqual(['base', 'bonus', 'gap', 'perplexity']);
    expect(best?.verified).toBe(true);
    const metrics = JSON.parse(readFileSync(join(onDisk(output?.uri), 'metrics.json'), 'utf8')) as {
      bestStep: number;
      evaluations: Record<string, { score: number }>;
    };
    expect(metrics.bestStep).toBe(best?.step);
    expect(metrics.evaluations[String(best?.step)]?.score).toBeCloseTo(Number(best?.score), 6);
    // The last attempt trained nothing; the predictions of the others are there, each batch once.
    const read = await makeReader(rig);
    const { items: evaluations } = await read<Evaluation>(`/v1/jobs/${job.metadata.uid}/evaluations`);
    const { items: predictions } = await read<Prediction>(`/v1/jobs/${job.metadata.uid}/predictions`);
    expect(evaluations.map(({ step }) => step)).toEqual(expect.arrayContaining([20, 100, 200]));
    const told = predictions.map(({ attempt: number, step, sample }) => `${number}/${step}/${sample}`);
    expect(new Set(told).size).toBe(told.length);
    for (const { attempt: number, step, metrics: means } of evaluations) {
      const { items } = await read<Prediction>(
        `/v1/jobs/${job.metadata.uid}/predictions?attempt=${number}&step=${step}`,
      );
      expect(items).toHaveLength(3);
      const rates = items.map(({ scores }) => scores['char_error_rate'] ?? Number.NaN);
      expect(rates.reduce((sum, rate) => sum + rate) / 3).toBeCloseTo(means['predict/char_error_rate'] ?? -1, 9);
    }
    expect(job.status?.metrics?.map(({ name }) => name)).toContain('predict/exact_match');
    // What was asked at the best step, plain transformers answer alike.
    const asked = predictions.filter(({ step }) => step === best?.step).slice(-3);
    const answers = await runPython(['-c', greedy, onDisk(output?.uri), ...asked.map(({ prompt }) => prompt)]);
    expect(JSON.parse(answers)).toEqual(asked.map(({ generated }) => generated));
    const revision = output?.huggingFaceRevision ?? '';
    expect(output).toMatchObject({ huggingFaceURL: `${hub.url}/acme/talk` });
    expect(await kubectl(rig.plane, ['describe', 'tj', 'talk', '-n', namespace])).toContain(revision);
    const home = `HF_HOME=${mkdtempSync(join(volume, 'home-'))}`;
    const where = [...hubEnv().map(({ name, value }) => `${name}=${value}`), 'HF_TOKEN=good', home];
    expect(Number(await runPython(['-c', plainTransformers, 'acme/talk', revision, ...where]))).toBeGreaterThan(0);
  }, 420_000);

  test('few rows, learnt by heart: best is an earlier step, and its stored weights give the eval loss of the status', async () => {
    await writeLanguage(volume, 'CPT', 16);
    const spec = sft({ maxSteps: 40, learningRate: '2e-2', maxLength: 512, perDeviceEvalBatchSize: 1 });
    const trainer = spec.trainer as TrainingJobSpec['trainer'];
    const fineTune = {
      ...trainer.fineTune,
      model: { source: 'file:///volume/cpt/model' },
      dataset: { source: 'file:///volume/cpt/cpt.jsonl', evalSplit: '0.25', seed: 42 },
    };
    await rig.create(namespace, 'by-heart', {
      ...spec,
      trainer: { ...trainer, fineTune },
      evaluation: { everySteps: 5 },
    });
    const job = await rig.until(namespace, 'by-heart', ({ status }) => status?.completionTime !== undefined, 180_000);
    expect(job.status?.phase).toBe('Succeeded');
    const { best, metrics, output } = job.status ?? {};
    const last = metrics?.find(({ name }) => name === 'eval/loss');
    expect(last?.step).toBe(40);
    expect(best?.step).toBeLessThan(40);
    expect(Number(best?.evalLoss)).toBeLessThan(Number(last?.value) - 0.1);
    expect(best?.verified).toBe(true);
    const measured = await runPython(['-c', evalLoss, onDisk(output?.uri), join(volume, 'cpt/cpt.jsonl'), '0.25']);
    expect(Math.abs(Number(measured) - Number(best?.evalLoss))).toBeLessThan(1e-3);
  }, 240_000);

  test('what the runtime of its method says, it trains with; a runtime of another method is told before anything is rented', async () => {
    await kubectl(rig.plane, ['apply', '-f', new URL('../../crds/runtimes/', import.meta.url).pathname]);
    const { trainer, output, ...rest } = sft({}) as unknown as TrainingJobSpec;
    const { lora: _lora, parameters: _parameters, ...fineTune } = trainer.fineTune ?? {};
    // Its own words: the rows are short, and the adapter is stored by itself.
    const parameters = { maxSteps: 1, maxLength: 256, perDeviceTrainBatchSize: 1, perDeviceEvalBatchSize: 8 };
    const job = { ...rest, evaluation: { everySteps: 1 }, output: { ...output, merge: false } };
    const named = (method: string): DeepPartial => ({
      ...job,
      runtimeRef: { name: `${method}-standard` },
      trainer: { ...trainer, fineTune: { ...fineTune, parameters } },
    });
    await rig.create(namespace, 'unfit', named('dpo'));
    const told = await rig.until(namespace, 'unfit', ({ status }) => status?.conditions?.[0] !== undefined);
    expect(condition(told, 'Ready')).toMatchObject({ reason: 'RuntimeUnfit' });
    expect(condition(told, 'Ready')?.message).toContain('is for jobs with spec.trainer.fineTune.method DPO');
    expect(told.status?.attempt).toBeUndefined();
    await rig.create(namespace, 'standard', named('sft'));
    const { status } = await rig.until(
      namespace,
      'standard',
      (found) => found.status?.completionTime !== undefined,
      120_000,
    );
    expect(status).toMatchObject({
      phase: 'Succeeded',
      progress: { totalSteps: 1 },
      run: {
        runtime: { name: 'sft-standard' },
        defaults: {
          predictions: { enabled: true, sampleCount: 5, maxNewTokens: 256, temperature: '0', seed: 42 },
          trainer: {
            fineTune: {
              parameters: { learningRate: '2e-4', gradientAccumulationSteps: 8, packing: true, weightDecay: '0.01' },
              lora: { r: 16, alpha: 32, dropout: '0.1' },
              quantization: 'NF4',
            },
          },
        },
      },
    });
    const stored = (file: string): string => readFileSync(join(onDisk(status?.output?.uri), file), 'utf8');
    expect(JSON.parse(stored('adapter_config.json'))).toMatchObject({ r: 16, lora_alpha: 32, lora_dropout: 0.1 });
    const card = stored('README.md');
    expect(card).toContain('| Quantization while training | NF4 |');
    const trained = JSON.parse(/^\| Parameters \| `(.*)` \|$/m.exec(card)?.[1] ?? '{}') as object;
    expect(trained).toMatchObject({
      learning_rate: 2e-4,
      gradient_accumulation_steps: 8,
      packing: true,
      max_length: 256,
      per_device_eval_batch_size: 8,
      weight_decay: 0.01,
    });
  }, 180_000);

  test('data of another method are refused with what was expected', async () => {
    const spec = sft({});
    const trainer = spec.trainer as TrainingJobSpec['trainer'];
    const fineTune = { ...trainer.fineTune, method: 'DPO' };
    await rig.create(namespace, 'wrong', { ...spec, trainer: { ...trainer, fineTune } });
    const job = await rig.until(namespace, 'wrong', ({ status }) => status?.completionTime !== undefined, 120_000);
    expect(job.status?.failure).toMatchObject({ reason: 'DataInvalid', exitCode: 3 });
    expect(job.status?.failure?.message).toContain('spec.trainer.fineTune.dataset.source: file:///volume/');
    expect(job.status?.failure?.message).toContain('row 1 has the members messages, which DPO cannot train on');
  }, 180_000);
});
