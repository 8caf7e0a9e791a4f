/**
 * `make types`: every tabular type through operator and simulator to Succeeded, on scikit-learn's bundled data; prints its main
 * metric beside that of its library alone with the same parameters and split, seconds, and cost. Ends with 1 when a job fails,
 * a metric is further than 0.02 from the library's, or `trainingjob predict` predicts otherwise than the run did.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startRig } from '../rig/rig.ts';
import { python, runPython, trainerImage, trainerImages } from '../rig/trainer.ts';

import { modelTypes } from './modeltypes.ts';
import { mainMetric, modelFolder, readMetrics } from './result.ts';
import { dataOf, splitType } from './table.ts';

const root = new URL('../../', import.meta.url).pathname;
const inTests = (args: readonly string[]): Promise<string> =>
  promisify(execFile)(python, args, { cwd: join(root, 'trainer') }).then(({ stdout }) => stdout);
const parameters = JSON.parse(
  await inTests(['-c', 'import json; from tests.direct import PARAMETERS; print(json.dumps(PARAMETERS))']),
) as Record<string, object>;

const rig = await startRig({
  images: trainerImages,
  volumes: [{ id: 'vol', name: 'vol', dataCenter: 'EU-RO-1', size: 10 }],
});
let failed = 0;
try {
  await rig.start({ TRAINER_IMAGE: trainerImage });
  const volume = rig.simulator.volumeFolder('vol');
  mkdirSync(join(volume, 'data'), { recursive: true });
  for (const [data] of Object.values(dataOf).flat())
    await runPython(['-m', 'trainingjob.tabular.demo', '--data', data, '--out', join(volume, 'data', `${data}.csv`)]);
  print('type', 'data', 'metric', 'library alone', 'predict', 'training s', 'USD');
  for (const modelType of modelTypes(root))
    for (const [data, target] of dataOf[splitType(modelType).task] ?? []) await one(modelType, data, target, volume);
} finally {
  await rig.stop();
}
process.stdout.write(failed === 0 ? 'all as good as their libraries\n' : `${failed} failed\n`);
process.exit(failed === 0 ? 0 : 1);

async function one(modelType: string, data: string, target: string, volume: string): Promise<void> {
  const namespace = await rig.namespace();
  const name = `${modelType}-${data}`.replaceAll('_', '-');
  await rig.create(namespace, name, {
    trainer: {
      tabular: {
        modelType,
        dataset: { source: `file:///volume/data/${data}.csv` },
        target,
        parameters: parameters[splitType(modelType).family],
      },
    },
    compute: {
      candidates: [{ name: 'cpu', cpu: { flavor: 'cpu3c', vcpus: 4 } }],
      networkVolume: { id: 'vol', mountPath: '/volume' },
    },
    // One evaluation, after the last step: the library alone stops there, too.
    evaluation: { everySteps: 1000 },
    checkpoints: { uri: 'file:///volume/checkpoints' },
    output: { uri: 'file:///volume/models' },
  });
  const job = await rig.until(namespace, name, ({ status }) => status?.completionTime !== undefined, 300_000);
  if (job.status?.phase !== 'Succeeded') {
    failed += 1;
    print(modelType, data, job.status?.phase ?? '', job.status?.failure?.message ?? '', '', '', '');
    return;
  }
  const folder = modelFolder(job, volume, '/volume');
  const metrics = readMetrics(folder);
  const alone = Number(await inTests(['-m', 'tests.direct', modelType, join(volume, 'data', `${data}.csv`), target]));
  const again = join(volume, 'again.csv');
  const asked = ['--model', folder, '--data', join(folder, 'heldout.csv'), '--output', again];
  await runPython(['-m', 'trainingjob', 'predict', ...asked]);
  const same = readFileSync(again).equals(readFileSync(join(folder, 'predictions.csv')));
  const value = metrics.accuracy ?? metrics.r2 ?? Number.NaN;
  const near = Math.abs(value - alone) <= 0.02;
  if (!near || !same) failed += 1;
  print(
    modelType,
    data,
    mainMetric(metrics),
    `${alone.toFixed(4)}${near ? '' : ' !'}`,
    same ? 'same' : 'other',
    metrics.training_seconds.toFixed(2),
    job.status.cost?.accrued ?? '',
  );
}

function print(...cells: readonly string[]): void {
  const widths = [40, 14, 16, 14, 8, 10, 8];
  process.stdout.write(
    `${cells
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join(' ')
      .trimEnd()}\n`,
  );
}
