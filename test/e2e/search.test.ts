import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TrainingJob } from '../../controller/api/trainingjob.ts';
import { startRig, type DeepPartial, type Rig } from '../rig/rig.ts';
import { trainerImage, trainerImages, writePatients } from '../rig/trainer.ts';

/** A search of the real trainer, through operator and simulator. */

let rig: Rig;
let volume: string;
beforeAll(async () => {
  rig = await startRig({
    images: trainerImages,
    volumes: [{ id: 'vol', name: 'vol', dataCenter: 'EU-RO-1', size: 10 }],
    restartMs: 500,
  });
  volume = rig.simulator.volumeFolder('vol');
  await writePatients(join(volume, 'data'));
  await rig.start({ TRAINER_IMAGE: trainerImage });
});
afterAll(() => rig.stop());

const trials = 6;
const spec: DeepPartial = {
  trainer: {
    tabular: {
      modelType: 'xgboost_binary_classification',
      dataset: { source: 'file:///volume/data/patients.csv' },
      target: 'above_median',
      parameters: { nEstimators: 60, subsample: '0.7' },
      search: { trials, space: [{ name: 'maxDepth', low: 2, high: 5 }] },
    },
  },
  compute: {
    candidates: [{ name: 'cpu', cpu: { flavor: 'cpu3c', vcpus: 2 } }],
    networkVolume: { id: 'vol', mountPath: '/volume' },
  },
  evaluation: { everySteps: 10 },
  checkpoints: { uri: 'file:///volume/checkpoints' },
  output: { uri: 'file:///volume/models' },
};

interface Searched {
  readonly best_trial: number;
  readonly trials: readonly { readonly number: number; readonly seconds: number }[];
}

/** What the output says of its trials, but for how long they took. */
function searched(job: TrainingJob): object {
  const folder = join(volume, new URL(job.status?.output?.uri ?? '').pathname.replace('/volume', ''));
  const found = JSON.parse(readFileSync(join(folder, 'search.json'), 'utf8')) as Searched;
  return { ...found, trials: found.trials.map((trial) => ({ ...trial, seconds: 0 })) };
}

const succeeded = ({ status }: TrainingJob): boolean => status?.phase === 'Succeeded';

test('a pod is lost in the middle of a search: the next goes on with the finished trials, and nobody can tell', async () => {
  const namespace = await rig.namespace();
  await rig.create(namespace, 'lost', spec);
  const middle = await rig.until(namespace, 'lost', ({ status }) => status?.checkpoint?.verified === true, 60_000);
  expect(middle.status?.phase).toBe('Running');
  expect(middle.status?.progress?.totalSteps).toBe(trials);
  rig.simulator.pods.lose(middle.status?.attempt?.podID ?? '', 'vanish');
  const job = await rig.until(namespace, 'lost', succeeded, 90_000);
  const { status } = job;
  expect(status?.attempt?.number).toBe(2);
  expect(status?.attempt?.resumedFromStep).toBeGreaterThanOrEqual(middle.status?.checkpoint?.step ?? 1);
  expect(status?.progress).toMatchObject({ step: trials, percentage: 100 });
  const { search, best } = status ?? {};
  expect((search?.complete ?? 0) + (search?.pruned ?? 0)).toBe(trials);
  expect(search).toMatchObject({ trials, failed: 0, bestTrial: best?.step });
  expect(Object.keys(search?.bestParameters ?? {})).toEqual(
    expect.arrayContaining(['maxDepth', 'learningRate', 'regLambda']),
  );
  expect(search?.bestParameters).not.toHaveProperty('subsample');
  expect(best).toMatchObject({ verified: true });
  // What the job did not say itself, status does.
  const behind = status?.run?.defaults as { trainer: { tabular: { search: { space: { name: string }[] } } } };
  const names = behind.trainer.tabular.search.space.map(({ name }) => name);
  expect(names).toEqual(['learningRate', 'colsampleBytree', 'minChildWeight', 'gamma', 'regAlpha', 'regLambda']);

  await rig.create(namespace, 'whole', spec);
  const whole = await rig.until(namespace, 'whole', succeeded, 90_000);
  expect(searched(job)).toEqual(searched(whole));
  expect(whole.status?.best?.score).toBe(best?.score);
  expect(await (await fetch(rig.metricsUrl)).text()).toContain(
    `trainingjob_search_trials{namespace="${namespace}",name="whole",state="complete"} ${search?.complete}`,
  );
}, 240_000);
