import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TrainingJob } from '../../controller/api/trainingjob.ts';

interface Metrics {
  readonly bestStep: number;
  readonly heldOut: { readonly rows: number; readonly accuracy: number };
  readonly lowestEvalLoss: { readonly step: number; readonly loss: number; readonly accuracy: number };
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
  const { bestStep, heldOut, lowestEvalLoss } = JSON.parse(
    readFileSync(join(folder, 'metrics.json'), 'utf8'),
  ) as Metrics;
  const mine = heldOut.accuracy.toFixed(4);
  if (bestStep === lowestEvalLoss.step)
    return [`Step ${bestStep} is best by score and by eval loss; its held-out accuracy is ${mine}.`];
  return [
    `Best by score is step ${bestStep}: held-out accuracy ${mine} on ${heldOut.rows} rows.`,
    `The lowest eval loss is at step ${lowestEvalLoss.step}: held-out accuracy ${lowestEvalLoss.accuracy.toFixed(4)}. The score weighs the gap to the train loss, too.`,
  ];
}
