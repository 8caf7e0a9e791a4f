import { expect, test } from 'vitest';
import { resolve } from '../../controller/api/resolve.ts';
import type { TrainingJobSpec } from '../../controller/api/trainingjob.ts';
import { spec } from './snapshot.ts';

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
