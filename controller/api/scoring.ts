import { ownDefaults } from './defaults.ts';
import type { TrainingJobSpec } from './trainingjob.ts';

/**
 * How the evaluations of a job are ranked where nobody says it. Losses of language models have the scale that MultiMetric is made
 * for; of others nobody knows.
 */
export function scoringBehind({ fineTune }: TrainingJobSpec['trainer']): NonNullable<TrainingJobSpec['scoring']> {
  return fineTune ? { strategy: 'MultiMetric' } : ownDefaults.scoring;
}
