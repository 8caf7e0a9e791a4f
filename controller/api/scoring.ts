import { ownDefaults } from './defaults.ts';
import type { TrainingJobSpec } from './trainingjob.ts';

/**
 * How the evaluations of a job are ranked where nobody says it. Losses of language models have the scale that MultiMetric is made
 * for; of others nobody knows. Where answers are rewarded, the reward counts.
 */
export function scoringBehind({ fineTune }: TrainingJobSpec['trainer']): NonNullable<TrainingJobSpec['scoring']> {
  if (!fineTune) return ownDefaults.scoring;
  return fineTune.method === 'RLHF'
    ? { strategy: 'SingleMetric', metric: { name: 'eval/reward', goal: 'Maximize' } }
    : { strategy: 'MultiMetric' };
}
