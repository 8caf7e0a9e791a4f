import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TrainingJob } from '../../controller/api/trainingjob.ts';
import { kubectl } from '../controlplane/crds.ts';
import { startRig, type DeepPartial, type Rig } from '../rig/rig.ts';
import { trainerImage, trainerImages, writePatients } from '../rig/trainer.ts';
import { startS3Server, type S3Server } from '../s3/server.ts';

/** A real S3 server; where it cannot be built, these tests are skipped and counted so. */
let s3: S3Server | undefined = await startS3Server().catch((error: unknown) => {
  if (/needs Go to be built|go build of the S3 server failed/.test(String(error))) return undefined;
  throw error;
});
let rig: Rig;
let namespace: string;

describe.skipIf(s3 === undefined)('a job whose data, checkpoints and model lie in a bucket', () => {
  beforeAll(async () => {
    rig = await startRig({ images: trainerImages });
    await rig.start({ TRAINER_IMAGE: trainerImage });
    namespace = await rig.namespace();
    mkdirSync(join(s3?.folder ?? '', 'models'));
    await writePatients(join(s3?.folder ?? '', 'data'));
    const keys = [`--from-literal=access=${s3?.accessKey}`, `--from-literal=secret=${s3?.secretKey}`];
    await kubectl(rig.plane, ['create', 'secret', 'generic', 'bucket', '-n', namespace, ...keys]);
  }, 300_000);
  afterAll(async () => {
    await rig.stop();
    await s3?.stop();
    s3 = undefined;
  });

  function spec(bucket = 'models'): DeepPartial {
    const key = (name: string, member: string): object => ({
      name,
      valueFrom: { secretKeyRef: { name: 'bucket', key: member } },
    });
    return {
      trainer: {
        tabular: {
          modelType: 'xgboost_binary_classification',
          dataset: { source: 's3://data/patients.csv' },
          target: 'above_median',
          parameters: { nEstimators: 40, maxDepth: 2 },
        },
        env: [key('AWS_ACCESS_KEY_ID', 'access'), key('AWS_SECRET_ACCESS_KEY', 'secret')],
      },
      compute: { candidates: [{ name: 'cpu', cpu: { flavor: 'cpu3c', vcpus: 2 } }] },
      evaluation: { everySteps: 10 },
      checkpoints: { uri: `s3://${bucket}/checkpoints` },
      output: { uri: `s3://${bucket}/out` },
      storage: { s3: { endpoint: s3?.endpoint, region: 'us-east-1', pathStyle: true } },
      runPolicy: { backoffLimit: 0 },
    };
  }
  const ended = async (name: string, wanted: DeepPartial): Promise<TrainingJob> => {
    await rig.create(namespace, name, wanted);
    return rig.until(namespace, name, ({ status }) => status?.completionTime !== undefined, 90_000);
  };
  const stored = (uri: string | undefined, file: string): Buffer =>
    readFileSync(join(s3?.folder ?? '', (uri ?? '').replace('s3://', ''), file));

  test('trains, and what status names is there, whole, and verified', async () => {
    const { status } = await ended('bucket', spec());
    expect(status?.phase).toBe('Succeeded');
    expect(status?.best?.verified).toBe(true);
    for (const place of [status?.best, status?.output, status?.checkpoint]) {
      const manifest = stored(place?.uri, 'manifest.json');
      expect(createHash('sha256').update(manifest).digest('hex')).toBe(place?.manifestSHA256);
      for (const { path, sha256 } of (JSON.parse(manifest.toString()) as { files: { path: string; sha256: string }[] })
        .files)
        expect(createHash('sha256').update(stored(place?.uri, path)).digest('hex')).toBe(sha256);
    }
    expect(JSON.stringify(status) + rig.log()).not.toContain(s3?.secretKey);
  }, 120_000);

  test('a bucket that is not there fails the job before it trains, and says so', async () => {
    const { status } = await ended('bucketless', spec('nowhere'));
    expect(status?.phase).toBe('Failed');
    expect(status?.failure?.message).toContain('nowhere');
    expect(status?.progress?.step).toBeUndefined();
    expect(rig.simulator.live()).toEqual([]);
  }, 120_000);

  test('a bucket that is taken away in the middle fails the job with what to do, and its pod ends', async () => {
    const lasting = spec();
    const { tabular } = lasting.trainer as { tabular: object };
    const parameters = { nEstimators: 100_000, maxDepth: 2 };
    const trainer = { ...(lasting.trainer as object), tabular: { ...tabular, parameters } };
    await rig.create(namespace, 'taken', { ...lasting, trainer });
    await rig.until(namespace, 'taken', ({ status }) => status?.checkpoint?.verified === true, 90_000);
    rmSync(join(s3?.folder ?? '', 'models'), { recursive: true });
    const { status } = await rig.until(namespace, 'taken', (job) => job.status?.completionTime !== undefined, 120_000);
    expect(status?.failure).toMatchObject({ reason: 'ArtifactsFailed', exitCode: 6 });
    expect(status?.failure?.message).toContain('models');
    expect(rig.simulator.live()).toEqual([]);
  }, 240_000);
});
