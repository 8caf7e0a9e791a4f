import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TrainingJob } from '../../controller/api/trainingjob.ts';
import type { TrainingRuntimeSpec } from '../../controller/api/trainingruntime.ts';
import { kubectl } from '../controlplane/crds.ts';
import { condition, startRig, type DeepPartial, type Rig } from '../rig/rig.ts';
import { trainerImage, trainerImages, writePatients } from '../rig/trainer.ts';

let rig: Rig;
let namespace: string;
const volume = { id: 'vol', name: 'vol', dataCenter: 'EU-RO-1', size: 10 };
beforeAll(async () => {
  rig = await startRig({ images: trainerImages, volumes: [volume] });
  // An image that never connects: whatever trains here has its image from a runtime.
  await rig.start({ TRAINER_IMAGE: 'stub:never' });
  namespace = await rig.namespace();
});
const folder = mkdtempSync(join(tmpdir(), 'runtimes-'));
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await rig.stop();
});

type Kind = 'ClusterTrainingRuntime' | 'TrainingRuntime';

async function apply(kind: Kind, name: string, spec: TrainingRuntimeSpec): Promise<void> {
  const place = kind === 'TrainingRuntime' ? { namespace } : {};
  const object = { apiVersion: 'training.finetunelab.ai/v1alpha1', kind, metadata: { name, ...place }, spec };
  const file = join(folder, `${name}.json`);
  writeFileSync(file, JSON.stringify(object));
  await kubectl(rig.plane, ['apply', '-f', file]);
}

const until = (name: string, fits: (job: TrainingJob) => boolean, ms = 40_000): Promise<TrainingJob> =>
  rig.until(namespace, name, fits, ms);
const running =
  (attempt: number) =>
  ({ status }: TrainingJob): boolean =>
    status?.attempt?.number === attempt && status.phase === 'Running';
const asked = (name: string): readonly { image: string; disk: number }[] =>
  rig.simulator.pods.all().flatMap(({ body }) => (body.name.endsWith(`-${name}`) ? [body] : []));

const custom = (runtimeRef: object, more: DeepPartial = {}): DeepPartial => ({
  runtimeRef,
  trainer: { custom: { command: ['stub'] } },
  compute: { candidates: [{ name: 'cpu', cpu: { flavor: 'cpu3c', vcpus: 2 } }] },
  ...more,
});

describe('a job and its runtime', () => {
  test('trains with what the runtime says where it says nothing, and with its own words elsewhere', async () => {
    await writePatients(join(rig.simulator.volumeFolder('vol'), 'data'));
    await apply('ClusterTrainingRuntime', 'tabular', {
      image: trainerImage,
      trainer: { tabular: { parameters: { nEstimators: 60, maxDepth: 5 } } },
      evaluation: { everySteps: 20 },
      scoring: { strategy: 'SingleMetric', metric: { name: 'eval/auc', goal: 'Maximize' } },
    });
    await rig.create(namespace, 'both', {
      runtimeRef: { name: 'tabular' },
      trainer: {
        tabular: {
          modelType: 'xgboost_binary_classification',
          dataset: { source: 'file:///volume/data/patients.csv' },
          target: 'above_median',
          parameters: { maxDepth: 1 },
        },
      },
      compute: {
        candidates: [{ name: 'cpu', cpu: { flavor: 'cpu3c', vcpus: 2 }, dataCenters: ['EU-RO-1'] }],
        networkVolume: { id: 'vol' },
      },
      checkpoints: { uri: 'file:///volume/checkpoints' },
      output: { uri: 'file:///volume/models' },
    });
    const { status } = await until('both', (job) => job.status?.completionTime !== undefined, 90_000);
    expect(status).toMatchObject({
      phase: 'Succeeded',
      progress: { totalSteps: 60, evaluationEverySteps: 20 },
      run: {
        runtime: { kind: 'ClusterTrainingRuntime', name: 'tabular', generation: 1 },
        defaults: {
          image: trainerImage,
          trainer: { tabular: { parameters: { nEstimators: 60, maxDepth: 5, learningRate: '0.1' } } },
          checkpoints: { keepBest: 1, keepLast: 2 },
        },
      },
    });
    // The score is that of the metric of the runtime, which is better the more it is.
    expect(status?.best?.components).toHaveProperty('eval/auc');
    const model = JSON.parse(
      readFileSync(
        join(
          rig.simulator.volumeFolder('vol'),
          (status?.output?.uri ?? '').replace('file:///volume/', ''),
          'model.json',
        ),
        'utf8',
      ),
    );
    const trees: { tree_param: { num_nodes: string } }[] = model.learner.gradient_booster.model.trees;
    expect(Math.max(...trees.map(({ tree_param }) => Number(tree_param.num_nodes)))).toBe(3);
  }, 120_000);

  test('stays with it when it is edited, though the operator is killed and another attempt is needed; a new run does not', async () => {
    const before = { image: 'stub:checkpoint', compute: { containerDiskGB: 33 }, runPolicy: { hostFaultLimit: 1 } };
    await apply('TrainingRuntime', 'own', before);
    await rig.create(namespace, 'pinned', custom({ kind: 'TrainingRuntime', name: 'own' }));
    const first = await until('pinned', running(1));
    await apply('TrainingRuntime', 'own', { image: 'stub:succeed', compute: { containerDiskGB: 44 } });
    await rig.kill();
    await rig.start({ TRAINER_IMAGE: 'stub:never' });
    rig.simulator.pods.lose(first.status?.attempt?.podID ?? '', 'vanish');
    const second = await until('pinned', running(2));
    expect(asked('pinned')).toMatchObject([
      { image: 'stub:checkpoint', disk: 33 },
      { image: 'stub:checkpoint', disk: 33 },
    ]);
    expect(second.status?.run).toMatchObject({ defaults: before, runtime: { generation: 1 } });
    expect(second.status?.run?.specHash).toBe(first.status?.run?.specHash);
    // Gone altogether: the run has all that it needs.
    await kubectl(rig.plane, ['delete', 'trainingruntime', 'own', '-n', namespace]);
    rig.simulator.pods.lose(second.status?.attempt?.podID ?? '', 'vanish');
    const failed = await until('pinned', ({ status }) => status?.completionTime !== undefined);
    expect(failed.status?.failure?.message).toContain('hostFaultLimit allows, 1, are used up');
    await apply('TrainingRuntime', 'own', { image: 'stub:succeed', compute: { containerDiskGB: 55 } });
    await rig.patch(namespace, 'pinned', { spec: { restartToken: '2' } });
    const again = await until('pinned', ({ status }) => status?.phase === 'Succeeded');
    expect(asked('pinned').at(-1)).toMatchObject({ image: 'stub:succeed', disk: 55 });
    expect(again.status?.run).toMatchObject({ number: 2, defaults: { runPolicy: { hostFaultLimit: 5 } } });
  }, 120_000);

  test('waits for one that is not there, rents nothing, and goes on by itself when it appears', async () => {
    await rig.create(namespace, 'early', custom({ name: 'late' }));
    const waits = await until('early', (job) => condition(job, 'Stalled')?.status === 'True');
    expect(condition(waits, 'Ready')).toMatchObject({
      status: 'False',
      reason: 'RuntimeMissing',
      message:
        'spec.runtimeRef: there is no ClusterTrainingRuntime late; create it, or name one that is there. The job goes on by itself then.',
    });
    expect(waits.status?.startTime).toBeUndefined();
    const described = await kubectl(rig.plane, ['describe', 'tj', 'early', '-n', namespace]);
    expect(described).toContain('there is no ClusterTrainingRuntime late');
    expect(asked('early')).toEqual([]);
    await apply('ClusterTrainingRuntime', 'late', { image: 'stub:succeed' });
    await until('early', ({ status }) => status?.phase === 'Succeeded');
    expect(asked('early')).toMatchObject([{ image: 'stub:succeed', disk: 20 }]);
  }, 60_000);

  test('waits for a Secret that the runtime names, and follows an edit of it as long as it has asked for no pod', async () => {
    const env = [{ name: 'HF_TOKEN', valueFrom: { secretKeyRef: { name: 'hf', key: 'token' } } }];
    await apply('ClusterTrainingRuntime', 'edited', { image: 'stub:never', trainer: { env } });
    await rig.create(namespace, 'follows', custom({ name: 'edited' }));
    const waits = await until('follows', (job) => condition(job, 'Ready')?.reason === 'SecretMissing');
    expect(condition(waits, 'Ready')?.message).toContain(`env HF_TOKEN: Secret hf is not in namespace ${namespace};`);
    expect(waits.status?.run?.defaults).toMatchObject({ image: 'stub:never', trainer: { env } });
    await apply('ClusterTrainingRuntime', 'edited', { image: 'stub:succeed' });
    const { status } = await until('follows', (job) => job.status?.phase === 'Succeeded');
    expect(status?.run).toMatchObject({ runtime: { generation: 2 }, defaults: { image: 'stub:succeed' } });
    expect(status?.run?.defaults).not.toHaveProperty('trainer');
    expect(asked('follows')).toMatchObject([{ image: 'stub:succeed' }]);
  }, 60_000);

  test('tells that a runtime is for another kind of trainer, and goes on when the job names another', async () => {
    await apply('ClusterTrainingRuntime', 'tables-only', { trainer: { tabular: {} } });
    await apply('ClusterTrainingRuntime', 'any', { image: 'stub:succeed' });
    await rig.create(namespace, 'unfit', custom({ name: 'tables-only' }));
    const told = await until('unfit', (job) => condition(job, 'Stalled')?.status === 'True');
    expect(condition(told, 'Ready')).toMatchObject({ reason: 'RuntimeUnfit' });
    expect(condition(told, 'Ready')?.message).toContain('is for jobs with spec.trainer.tabular');
    await rig.patch(namespace, 'unfit', { spec: { runtimeRef: { name: 'any' } } });
    await until('unfit', ({ status }) => status?.phase === 'Succeeded');
    await expect(rig.patch(namespace, 'unfit', { spec: { runtimeRef: { name: 'x' } } })).resolves.toBeUndefined();
  }, 60_000);

  test('the name of its runtime is frozen while it runs', async () => {
    await apply('ClusterTrainingRuntime', 'lasting', { image: 'stub:heartbeat' });
    await rig.create(namespace, 'frozen', custom({ name: 'lasting' }));
    await until('frozen', running(1));
    for (const runtimeRef of [{ name: 'any' }, null])
      await expect(rig.patch(namespace, 'frozen', { spec: { runtimeRef } })).rejects.toThrow(
        'spec.runtimeRef: is frozen once a pod has been asked for',
      );
  }, 60_000);
});
