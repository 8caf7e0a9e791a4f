import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TrainingJob } from '../../controller/api/trainingjob.ts';
import { kubectl } from '../controlplane/crds.ts';
import { condition, startRig, stubSpec, type Rig } from '../rig/rig.ts';
import { trainerImage, trainerImages, writePatients } from '../rig/trainer.ts';

let rig: Rig;
let namespace: string;
beforeAll(async () => {
  rig = await startRig({
    images: trainerImages,
    volumes: [{ id: 'vol', name: 'vol', dataCenter: 'EU-RO-1', size: 10 }],
  });
  await rig.start({ TRAINER_IMAGE: trainerImage });
  namespace = await rig.namespace();
});
afterAll(() => rig.stop());

const until = (name: string, fits: (job: TrainingJob) => boolean): Promise<TrainingJob> =>
  rig.until(namespace, name, fits, 40_000);
const phase =
  (wanted: string) =>
  ({ status }: TrainingJob): boolean =>
    status?.phase === wanted;
const bill = (name: string): ReturnType<Rig['simulator']['bill']> =>
  rig.simulator.bill().filter((line) => line.name.endsWith(`-${name}`));
const billed = (name: string): number => bill(name).reduce((sum, line) => sum + line.totalUsd, 0);
const podOf = (job: TrainingJob): string => job.status?.attempt?.podID ?? '';

describe('a fault is tried again, each kind as often as it may', () => {
  test('a host that is lost: a second pod goes on, and the ledger has both', async () => {
    await rig.create(namespace, 'lost', stubSpec('checkpoint'));
    const first = await until('lost', ({ status }) => status?.progress?.step === 10);
    rig.simulator.pods.lose(podOf(first), 'vanish');
    const second = await until('lost', ({ status }) => status?.attempt?.number === 2 && status.phase === 'Running');
    expect(second.status?.retries).toEqual({ user: 0, host: 1, interruption: 0 });
    expect(second.status?.retryTime).toBeUndefined();
    expect(second.status?.attempts).toMatchObject([
      { number: 1, podID: podOf(first), reason: 'PodLost', firstStep: 10, lastStep: 10 },
    ]);
    expect(bill('lost')).toHaveLength(2);
    expect(bill('lost')[0]?.endedAt).not.toBeNull();
  });

  test('a trainer that fails once succeeds in its second attempt', async () => {
    await rig.create(namespace, 'once', stubSpec('failonce'));
    const between = await until('once', phase('Recovering'));
    expect(condition(between, 'Ready')).toMatchObject({ status: 'False', reason: 'TrainerFailed' });
    expect(condition(between, 'Ready')?.message).toContain(
      'after that, 1 of 2 retries are left (spec.runPolicy.backoffLimit)',
    );
    const job = await until('once', phase('Succeeded'));
    expect(job.status?.failure).toBeUndefined();
    expect(job.status?.attempts).toMatchObject([
      { reason: 'TrainerFailed', exitCode: 1 },
      { reason: 'TrainerSucceeded', exitCode: 0 },
    ]);
    expect(Number(job.status?.cost?.accrued)).toBeCloseTo(billed('once'), 3);
  });

  test('interruptions up to their limit; the failure names it', async () => {
    await rig.create(namespace, 'sent-away', stubSpec('preempted', { runPolicy: { interruptionLimit: 1 } }));
    const job = await until('sent-away', phase('Failed'));
    expect(job.status?.failure).toMatchObject({ reason: 'Preempted', exitCode: 143, attempt: 2 });
    expect(job.status?.failure?.message).toContain('spec.runPolicy.interruptionLimit allows, 1, are used up');
    expect(bill('sent-away')).toHaveLength(2);
  });
});

describe('suspend', () => {
  test('stores a checkpoint, ends the pod, and goes on from there, which is no retry', async () => {
    await rig.create(
      namespace,
      'paused',
      stubSpec('checkpoint', { runPolicy: { backoffLimit: 0, hostFaultLimit: 0 } }),
    );
    await until('paused', ({ status }) => status?.progress?.step === 10);
    await rig.patch(namespace, 'paused', { spec: { suspend: true } });
    await until('paused', phase('Checkpointing'));
    const still = await until('paused', phase('Suspended'));
    expect(condition(still, 'Suspended')).toMatchObject({ status: 'True', reason: 'JobSuspended' });
    expect(condition(still, 'Ready')?.status).toBe('False');
    expect(still.status?.checkpoint).toMatchObject({ step: 10, verified: true });
    expect(still.status?.attempts).toMatchObject([{ number: 1, reason: 'Suspended', lastStep: 10 }]);
    expect(bill('paused').filter((line) => line.endedAt === null)).toEqual([]);
    await rig.patch(namespace, 'paused', { spec: { suspend: false } });
    const resumed = await until('paused', ({ status }) => status?.progress?.step === 20);
    expect(resumed.status?.attempt).toMatchObject({ number: 2, resumedFromStep: 10 });
    expect(resumed.status?.retries).toBeUndefined();
    expect(condition(resumed, 'Suspended')).toMatchObject({ status: 'False', reason: 'JobResumed' });
    // Evaluations of both attempts: the scorer went on from where the checkpoint was.
    expect(resumed.status?.best?.step).toBe(20);
    expect(bill('paused')).toHaveLength(2);
  });

  test('before any pod: nothing is rented; a job that was suspended can be deleted', async () => {
    await rig.create(namespace, 'asleep', stubSpec('succeed', { suspend: true }));
    await until('asleep', phase('Suspended'));
    const list = (): Promise<unknown> =>
      rig.simulator.nextCall((call) => call.method === 'GET' && call.path === '/v2/pods');
    await list();
    await list();
    expect(bill('asleep')).toEqual([]);
    await rig.patch(namespace, 'asleep', { spec: { suspend: false } });
    await until('asleep', phase('Succeeded'));
    expect(bill('asleep')).toHaveLength(1);
  });
});

describe('restartToken', () => {
  test('runs a finished job again, with another spec if need be; what it cost stays', async () => {
    await rig.create(namespace, 'again', stubSpec('fail', { runPolicy: { backoffLimit: 0 } }));
    const first = await until('again', phase('Failed'));
    const trainer = stubSpec('succeed').trainer as object;
    await rig.patch(namespace, 'again', { spec: { restartToken: '2', trainer } });
    const job = await until('again', phase('Succeeded'));
    expect(job.status?.run).toMatchObject({ number: 2, restartToken: '2', firstAttempt: 2 });
    expect(job.status?.failure).toBeUndefined();
    expect(condition(job, 'Failed')).toBeUndefined();
    expect(job.status?.attempts).toMatchObject([{ number: 2, reason: 'TrainerSucceeded' }]);
    expect(job.status?.cost?.earlier).toBe(first.status?.cost?.accrued);
    expect(Number(job.status?.cost?.accrued)).toBeCloseTo(billed('again'), 3);
  });

  test('of a job that runs ends that run first', async () => {
    await rig.create(namespace, 'anew', stubSpec('checkpoint'));
    const before = await until('anew', ({ status }) => status?.progress?.step === 10);
    await rig.patch(namespace, 'anew', { spec: { restartToken: 'b', evaluation: { everySteps: 5 } } });
    const after = await until('anew', ({ status }) => status?.run?.number === 2 && status.phase === 'Running');
    expect(after.status?.attempt?.number).toBe(2);
    expect(after.status?.attempts ?? []).toEqual([]);
    const line = bill('anew').find(({ id }) => id === podOf(before));
    expect(line?.endedAt).not.toBeNull();
    expect(bill('anew')).toHaveLength(2);
  });

  test('nothing else opens what is frozen', async () => {
    const patch = rig.patch(namespace, 'anew', { spec: { evaluation: { everySteps: 7 } } });
    await expect(patch).rejects.toThrow('change spec.restartToken with it to begin a new run');
  });
});

describe('what the store remembers of runs', () => {
  test('a job that succeeded, was deleted and is applied again is not trained again, also by the next process', async () => {
    await rig.create(namespace, 'twice', stubSpec('succeed'));
    await until('twice', phase('Succeeded'));
    await kubectl(rig.plane, ['delete', 'tj', '-n', namespace, 'twice']);
    await rig.kill();
    await rig.start({ TRAINER_IMAGE: trainerImage });
    await rig.create(namespace, 'twice', stubSpec('succeed'));
    const again = await until('twice', phase('Succeeded'));
    expect(condition(again, 'Complete')).toMatchObject({ status: 'True', reason: 'AlreadyTrained' });
    expect(bill('twice')).toHaveLength(1);
    await rig.patch(namespace, 'twice', { spec: { restartToken: 'again' } });
    await until('twice', ({ status }) => status?.run?.number === 2 && status.phase === 'Succeeded');
    expect(bill('twice')).toHaveLength(2);
  }, 120_000);

  test('a job that failed, was deleted and is applied again trains again', async () => {
    const spec = stubSpec('fail', { runPolicy: { backoffLimit: 0 } });
    await rig.create(namespace, 'failing', spec);
    await until('failing', phase('Failed'));
    await kubectl(rig.plane, ['delete', 'tj', '-n', namespace, 'failing']);
    await rig.create(namespace, 'failing', spec);
    await until('failing', phase('Failed'));
    expect(bill('failing')).toHaveLength(2);
  }, 60_000);

  test('a status that is wiped by hand is written anew, and nothing is rented for it', async () => {
    await rig.create(namespace, 'wiped', stubSpec('succeed'));
    const before = await until('wiped', phase('Succeeded'));
    const patch = '[{"op": "replace", "path": "/status", "value": {"observedGeneration": -1}}]';
    const change = ['patch', 'tj', '-n', namespace, 'wiped', '--subresource=status', '--type=json', '-p', patch];
    await kubectl(rig.plane, change);
    const after = await until(
      'wiped',
      ({ metadata, status }) =>
        status?.phase === 'Succeeded' && metadata.resourceVersion !== before.metadata.resourceVersion,
    );
    expect(condition(after, 'Complete')?.message).toContain('written anew');
    expect(Number(after.status?.cost?.accrued)).toBeCloseTo(Number(before.status?.cost?.accrued), 3);
    expect(bill('wiped')).toHaveLength(1);
  });
});

test('ttlSecondsAfterFinished deletes the object, and leaves no pod', async () => {
  const runPolicy = { ttlSecondsAfterFinished: 1 };
  await rig.create(namespace, 'brief', stubSpec('succeed', { readyWhen: 'Succeeded', runPolicy }));
  const job = await until('brief', phase('Succeeded'));
  expect(condition(job, 'Ready')?.status).toBe('True');
  await rig.untilGone(namespace, 'brief', 40_000);
  expect(bill('brief').filter((line) => line.endedAt === null)).toEqual([]);
});

describe('a table that is trained', () => {
  const spec = (name: string): object => ({
    trainer: {
      tabular: {
        modelType: 'xgboost_binary_classification',
        dataset: { source: 'file:///volume/data/patients.csv' },
        target: 'above_median',
        parameters: { nEstimators: 3000, maxDepth: 2, learningRate: '0.03', subsample: '0.5' },
      },
      // One thread each: trainers that share few cores wait for each other's threads.
      env: [{ name: 'OMP_NUM_THREADS', value: '1' }],
    },
    compute: {
      candidates: [{ name: 'cpu', cpu: { flavor: 'cpu3c', vcpus: 2 } }],
      networkVolume: { id: 'vol', mountPath: '/volume' },
    },
    evaluation: { everySteps: 100 },
    checkpoints: { uri: `file:///volume/checkpoints/${name}` },
    output: { uri: `file:///volume/models/${name}` },
    scoring: { strategy: 'MultiMetric' },
  });
  const finished = (name: string): Promise<TrainingJob> =>
    rig.until(namespace, name, ({ status }) => status?.completionTime !== undefined, 240_000);

  test('suspended and resumed in the middle, it comes to the same end as one that ran through', async () => {
    await writePatients(join(rig.simulator.volumeFolder('vol'), 'data'));
    await rig.create(namespace, 'broken-off', spec('broken-off'));
    await rig.until(namespace, 'broken-off', ({ status }) => (status?.progress?.step ?? 0) >= 200, 60_000);
    await rig.patch(namespace, 'broken-off', { spec: { suspend: true } });
    const still = await rig.until(namespace, 'broken-off', phase('Suspended'), 60_000);
    const stored = still.status?.checkpoint;
    expect(stored?.verified).toBe(true);
    expect(stored?.step).toBeLessThan(3000);
    // The end of its pod is told to the trainer, too, which may store another on its way out.
    expect(still.status?.attempts?.[0]?.message).toMatch(/The checkpoint of step \d+ was stored and verified/);
    await rig.patch(namespace, 'broken-off', { spec: { suspend: false } });
    const resumed = await finished('broken-off');
    await rig.create(namespace, 'straight', spec('straight'));
    const straight = await finished('straight');
    expect([resumed.status?.phase, straight.status?.phase]).toEqual(['Succeeded', 'Succeeded']);
    expect(resumed.status?.attempt?.resumedFromStep).toBe(stored?.step);
    expect(resumed.status?.attempts).toHaveLength(2);
    const value = (job: TrainingJob): number =>
      Number(job.status?.metrics?.find((metric) => metric.name === 'eval/loss')?.value);
    expect(value(resumed) / value(straight)).toBeCloseTo(1, 2);
    expect(resumed.status?.best?.step).toBe(straight.status?.best?.step);
    expect(Number(resumed.status?.best?.score)).toBeCloseTo(Number(straight.status?.best?.score), 4);
  }, 600_000);
});
