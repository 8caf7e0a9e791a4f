import { expect, test } from 'vitest';
import { adapterDefaults, fineTuneDefaults } from '../../controller/api/finetunedefaults.ts';
import { misfit } from '../../controller/api/misfit.ts';
import { resolve } from '../../controller/api/resolve.ts';
import type { TrainingJobSpec } from '../../controller/api/trainingjob.ts';
import { readJobSecrets } from '../../controller/reconcile/jobsecrets.ts';
import { trainerConfig } from '../../controller/reconcile/trainerconfig.ts';
import { snapshot, spec } from './snapshot.ts';

const model = { source: 'file:///volume/model' };
const dataset = { source: 'file:///volume/rows.jsonl' };
const loss = { strategy: 'SingleMetric', metric: { name: 'eval/loss', goal: 'Minimize' } } as const;
const accuracy = { strategy: 'SingleMetric', metric: { name: 'eval/accuracy', goal: 'Maximize' } } as const;
const fineTune = (method: 'SFT' | 'RLHF'): TrainingJobSpec['trainer'] => ({ fineTune: { method, model, dataset } });
const reward = { strategy: 'SingleMetric', metric: { name: 'eval/reward', goal: 'Maximize' } };

test.each<readonly [string, Pick<TrainingJobSpec, 'trainer' | 'scoring'>, unknown]>([
  ['of a command', { trainer: spec.trainer }, loss],
  ['of a language model', { trainer: fineTune('SFT') }, { strategy: 'MultiMetric' }],
  ['of rewards', { trainer: fineTune('RLHF') }, reward],
  ['that was chosen', { trainer: fineTune('SFT'), scoring: accuracy }, accuracy],
  [
    'that was chosen for a command',
    { trainer: spec.trainer, scoring: { strategy: 'MultiMetric' } },
    { strategy: 'MultiMetric' },
  ],
])('scoring %s', (_, given, wanted) => {
  const { scoring: _none, ...rest } = spec;
  expect(resolve({ ...rest, ...given }).scoring).toEqual(wanted);
});

const durations = { heartbeatSeconds: 10, holdSeconds: 120, stopGraceSeconds: 60 };
const fromBucket: TrainingJobSpec = {
  ...spec,
  trainer: {
    fineTune: {
      method: 'SFT',
      model,
      dataset: { source: 's3://bucket/rows.jsonl', secretRef: { name: 'data' } },
      parameters: { weightDecay: '0', packing: false },
      lora: {},
    },
  },
};

test('the trainer gets every word of fineTune and what stands behind it, but not the name of the Secret', () => {
  const { job } = snapshot({ spec: fromBucket });
  expect(trainerConfig(job, { env: {}, secretEnv: [], keys: {} }, durations, null).trainer).toEqual({
    fineTune: {
      method: 'SFT',
      model,
      dataset: { source: 's3://bucket/rows.jsonl' },
      parameters: { ...fineTuneDefaults.SFT, weightDecay: '0', packing: false },
      lora: adapterDefaults,
    },
  });
});

test('what jobs of one volume need alike lies on the volume, and in the pod where there is none', () => {
  const placeOf = (compute: TrainingJobSpec['compute']) => {
    const { job } = snapshot({ spec: { ...fromBucket, compute } });
    return trainerConfig(job, { env: {}, secretEnv: [], keys: {} }, durations, null).storage.cache;
  };
  const { networkVolume: _none, ...compute } = spec.compute;
  expect(placeOf({ ...compute, networkVolume: { id: 'nv', mountPath: '/data' } })).toBe(
    'file:///data/.trainingjob/cache',
  );
  expect(placeOf(compute)).toBe('file:///tmp/trainingjob-cache');
});

test('a Secret of the data that is missing is named with its field', async () => {
  const { job } = snapshot({ spec: fromBucket });
  const secrets = {
    readSecretKey: () => Promise.resolve({ kind: 'missing' as const, message: 'there is no Secret.' }),
  };
  expect(JSON.stringify(await readJobSecrets(secrets, job))).toContain(
    'spec.trainer.fineTune.dataset.secretRef: there is no Secret.',
  );
});

const published: TrainingJobSpec = {
  ...spec,
  trainer: fineTune('SFT'),
  output: {
    uri: 'file:///volume/models/talk',
    huggingFace: { repo: 'acme/talk', private: true, secretRef: { name: 'hub' } },
  },
};

test('the token of the Hub is read from its Secret, and goes to the trainer by the address that it opens', async () => {
  const { job } = snapshot({ spec: published });
  const asked: string[] = [];
  const secrets = {
    readSecretKey: (_namespace: string, name: string, key: string) => {
      asked.push(`${name}/${key}`);
      return Promise.resolve({ kind: 'value' as const, value: 'hf_token' });
    },
  };
  const found = await readJobSecrets(secrets, job);
  if (found.kind === 'missing') throw new Error(found.sentences.join());
  const { output, storage, env } = trainerConfig(job, found.values, durations, null);
  expect(asked).toEqual(['hub/HF_TOKEN']);
  expect(output).toEqual({ uri: 'file:///volume/models/talk', huggingFace: { repo: 'acme/talk', private: true } });
  expect(storage).toMatchObject({ keys: { 'hf://acme/talk': { HF_TOKEN: 'hf_token' } } });
  expect(env).toEqual({});
});

test('a Secret without a token is told with what it must hold', async () => {
  const { job } = snapshot({ spec: published });
  const secrets = {
    readSecretKey: () => Promise.resolve({ kind: 'missing' as const, message: 'Secret hub has no key HF_TOKEN.' }),
  };
  const found = await readJobSecrets(secrets, job);
  expect(found).toEqual({
    kind: 'missing',
    sentences: [
      'spec.output.huggingFace.secretRef: Secret hub has no key HF_TOKEN. A token of the Hugging Face Hub that may write to the repository is HF_TOKEN.',
    ],
  });
});

test.each([
  ['for tables', { trainer: { tabular: {} } }, fineTune('SFT'), 'this one has spec.trainer.fineTune'],
  ['of losses', { scoring: { strategy: 'MultiMetric' } }, fineTune('RLHF'), 'RLHF has no eval loss'],
] as const)('a runtime %s does not fit', (_, words, trainer, sentence) => {
  expect(misfit({ ...spec, trainer }, words)).toContain(sentence);
  expect(misfit({ ...spec, trainer: fineTune('SFT') }, {})).toBeUndefined();
});
