/**
 * `make methods`: every method of fine-tuning as `make demo JOB=...` runs it, through operator and simulator to a model at a stand-in of
 * the Hugging Face Hub, which plain transformers load; reads points, evaluations and predictions back over the API and prints a table.
 * Ends with 1 when a job fails, is no better at its end than at its first evaluation, or anything of it is missing.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import type { TrainingJob } from '../../controller/api/trainingjob.ts';
import { kubectl } from '../controlplane/crds.ts';
import { startHub } from '../rig/hub.ts';
import { makeReader } from '../rig/reader.ts';
import { startRig } from '../rig/rig.ts';
import { trainerImage, trainerImages } from '../rig/trainer.ts';
import { languageJob } from './language.ts';
import { methodResult, type Evaluation, type Prediction } from './methodresult.ts';
import { modelFolder } from './result.ts';

const root = new URL('../../', import.meta.url).pathname;
const methods = ['sft', 'dpo', 'rlhf', 'orpo', 'cpt'];
const limitMs = 900_000;

const state = mkdtempSync(join(tmpdir(), 'trainingjob-methods-'));
const hub = await startHub();
const rig = await startRig({
  images: trainerImages,
  volumes: [{ id: 'demovolume', name: 'demovolume', dataCenter: 'EU-RO-1', size: 10 }],
});
const problems: string[] = [];
try {
  await rig.start({ TRAINER_IMAGE: trainerImage });
  const read = await makeReader(rig);
  print(
    'method',
    'measure',
    'first',
    'last',
    'best',
    'at step',
    'evaluations',
    'predictions',
    'points',
    'seconds',
    'USD',
  );
  for (const method of methods)
    await one(method, read).catch((error: unknown) => {
      problems.push(`${method}: ${error instanceof Error ? error.message : String(error)}`);
    });
} finally {
  await rig.stop();
  await hub.stop();
  rmSync(state, { recursive: true, force: true });
}
process.stdout.write(
  problems.length === 0 ? 'all better at their end, loaded and read back\n' : `${problems.join('\n')}\n`,
);
process.exit(problems.length === 0 ? 0 : 1);

async function one(method: string, read: Awaited<ReturnType<typeof makeReader>>): Promise<void> {
  const { prepare, publishing, result } = languageJob(root, method);
  const volume = rig.simulator.volumeFolder('demovolume');
  await prepare(volume);
  const namespace = await rig.namespace();
  await kubectl(rig.plane, ['create', 'secret', 'generic', 'hub', '-n', namespace, '--from-literal=HF_TOKEN=good']);
  const manifest = publishing?.(hub) as TrainingJob;
  const file = join(state, `${method}.yaml`);
  writeFileSync(file, stringify(manifest));
  const began = performance.now();
  await kubectl(rig.plane, ['apply', '-n', namespace, '-f', file]);
  const job = await rig.until(namespace, method, ({ status }) => status?.completionTime !== undefined, limitMs);
  const seconds = (performance.now() - began) / 1000;
  const { status, metadata } = job;
  if (status?.phase !== 'Succeeded') throw new Error(`${status?.phase}: ${status?.failure?.message}`);
  // Throws where plain transformers do not load it from the Hub.
  await result(modelFolder(job, volume, '/volume'), hub);
  const of = `/v1/jobs/${metadata.uid}`;
  const [evaluations, predictions, points] = await Promise.all([
    read<Evaluation>(`${of}/evaluations`),
    read<Prediction>(`${of}/predictions?limit=1000`),
    read<{ readonly step: number }>(`${of}/points`),
  ]);
  const { trainer, evaluation } = manifest.spec;
  const each = manifest.spec.predictions?.sampleCount ?? 0;
  const found = methodResult(
    { evaluations: evaluations.items, predictions: predictions.items, points: points.items.map(({ step }) => step) },
    {
      rewarded: trainer.fineTune?.method === 'RLHF',
      steps: trainer.fineTune?.parameters?.maxSteps ?? 0,
      evaluatedEvery: evaluation?.everySteps ?? 0,
      predictionsEach: each,
    },
  );
  problems.push(...found.problems.map((problem) => `${method}: ${problem}`));
  if (found.bestStep !== status.best?.step)
    problems.push(`${method}: status names step ${status.best?.step} best, and the API step ${found.bestStep}`);
  print(
    method,
    trainer.fineTune?.method === 'RLHF' ? 'reward' : 'eval loss',
    ...[found.first, found.last, found.best].map((value) => value.toFixed(4)),
    String(found.bestStep),
    String(found.evaluations),
    `${predictions.items.length / found.evaluations} each`,
    String(points.items.length),
    seconds.toFixed(1),
    status.cost?.accrued ?? '',
  );
}

function print(...cells: readonly string[]): void {
  const widths = [7, 10, 9, 9, 9, 8, 12, 12, 7, 8, 8];
  process.stdout.write(
    `${cells
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join(' ')
      .trimEnd()}\n`,
  );
}
