import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TrainingJob } from '../../controller/api/trainingjob.ts';

/** What the demo reads of metrics.json. A regression has no accuracy, a classification no R². */
export interface Metrics {
  readonly model_type: string;
  readonly best_step: number;
  readonly rows: { readonly evaluation: number };
  readonly accuracy?: number;
  readonly r2?: number;
  readonly lowest_eval_loss: { readonly step: number; readonly accuracy?: number; readonly r2?: number };
  readonly training_seconds: number;
}

export function readMetrics(folder: string): Metrics {
  return JSON.parse(readFileSync(join(folder, 'metrics.json'), 'utf8')) as Metrics;
}

/** The one figure that says most: accuracy of a classification, R² of a regression. */
export function mainMetric({ accuracy, r2 }: Pick<Metrics, 'accuracy' | 'r2'>): string {
  if (accuracy !== undefined) return `accuracy ${accuracy.toFixed(4)}`;
  return r2 === undefined ? 'no metric' : `R² ${r2.toFixed(4)}`;
}

/** Folder on this machine of what the job stored on its network volume. */
export function modelFolder(job: TrainingJob, volumeFolder: string, mountPath: string): string {
  const uri = job.status?.output?.uri ?? '';
  const path = decodeURIComponent(new URL(uri).pathname);
  if (!path.startsWith(`${mountPath}/`)) throw new Error(`${uri} does not lie on the network volume`);
  return join(volumeFolder, path.slice(mountPath.length));
}

/** The chosen step beside the one that the lowest eval loss would have chosen. */
export function comparison(folder: string): readonly string[] {
  const metrics = readMetrics(folder);
  const { best_step: bestStep, lowest_eval_loss: lowest, rows } = metrics;
  if (bestStep === lowest.step)
    return [`Step ${bestStep} is best by score and by eval loss; on held-out rows it has ${mainMetric(metrics)}.`];
  return [
    `Best by score is step ${bestStep}: ${mainMetric(metrics)} on ${rows.evaluation} held-out rows.`,
    `The lowest eval loss is at step ${lowest.step}: ${mainMetric(lowest)}. The score weighs the gap to the train loss, too.`,
  ];
}
