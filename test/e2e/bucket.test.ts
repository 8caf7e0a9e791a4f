import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TrainingJob } from '../../controller/api/trainingjob.ts';
import { kubectl } from '../controlplane/crds.ts';
import { condition, startRig, type DeepPartial, type Rig } from '../rig/rig.ts';
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
  /** The same job with data of one user and results of another, and for each place a Secret with a key. */
  async function ofTwoUsers(label: string): Promise<{ spec: DeepPartial; secrets: readonly string[] }> {
    const users = await Promise.all([s3!.owner(`data-${label}`), s3!.owner(`stored-${label}`)]);
    await writePatients(join(s3?.folder ?? '', `data-${label}`));
    await Promise.all(
      users.map(({ accessKey, secretKey }, index) => {
        const keys = [
          `--from-literal=AWS_ACCESS_KEY_ID=${accessKey}`,
          `--from-literal=AWS_SECRET_ACCESS_KEY=${secretKey}`,
        ];
        const name = `${index === 0 ? 'reads' : 'writes'}-${label}`;
        return kubectl(rig.plane, ['create', 'secret', 'generic', name, '-n', namespace, ...keys]);
      }),
    );
    const base = spec(`stored-${label}`);
    const { tabular } = base.trainer as { tabular: object };
    const dataset = { source: `s3://data-${label}/patients.csv`, secretRef: { name: `reads-${label}` } };
    const secretRef = { name: `writes-${label}` };
    return {
      spec: {
        ...base,
        trainer: { tabular: { ...tabular, dataset } },
        checkpoints: { ...(base.checkpoints as object), secretRef },
        output: { ...(base.output as object), secretRef },
      },
      secrets: users.map(({ secretKey }) => secretKey),
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

  test('data are read with one key and results stored with another, and no key is seen on the way', async () => {
    const { spec: wanted, secrets } = await ofTwoUsers('two');
    const { status } = await ended('two-keys', wanted);
    expect(status?.phase).toBe('Succeeded');
    expect(stored(status?.output?.uri, 'metrics.json').length).toBeGreaterThan(0);
    const pods = JSON.stringify(rig.simulator.pods.all().map(({ body }) => body));
    const events = await kubectl(rig.plane, ['get', 'events', '-n', namespace, '-o', 'json']);
    for (const secret of secrets) expect(JSON.stringify(status) + rig.log() + events + pods).not.toContain(secret);
  }, 120_000);

  test('a key that may not write fails the job before it trains, and says which address refused it', async () => {
    const { spec: wanted } = await ofTwoUsers('wrong');
    const output = { ...(wanted.output as object), secretRef: { name: 'reads-wrong' } };
    const { status } = await ended('wrong-key', { ...wanted, output });
    expect(status?.failure).toMatchObject({ reason: 'ArtifactsFailed', exitCode: 6 });
    expect(status?.failure?.message).toMatch(/s3:\/\/stored-wrong\/out\/.* cannot be written: .* 403 AccessDenied/);
    expect(status?.progress?.step).toBeUndefined();
    expect(rig.simulator.live()).toEqual([]);
  }, 120_000);

  test('a Secret that is not there is said before anything is rented, and the job goes on when it is', async () => {
    const { spec: wanted } = await ofTwoUsers('late');
    const checkpoints = { ...(wanted.checkpoints as object), secretRef: { name: 'later' } };
    await rig.create(namespace, 'late-secret', { ...wanted, checkpoints });
    const waits = await rig.until(namespace, 'late-secret', (job) => condition(job, 'Stalled')?.status === 'True');
    expect(condition(waits, 'Ready')).toMatchObject({
      reason: 'SecretMissing',
      message: `spec.checkpoints.secretRef: Secret later is not in namespace ${namespace}; create it with the key AWS_ACCESS_KEY_ID. A bucket's key is AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.`,
    });
    expect(waits.status?.attempt).toBeUndefined();
    const existing = await kubectl(rig.plane, ['get', 'secret', '-n', namespace, 'writes-late', '-o', 'json']);
    const { data } = JSON.parse(existing) as { data: Record<string, string> };
    const text = (key: string): string => Buffer.from(data[key] ?? '', 'base64').toString();
    const keys = ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'].map((key) => `--from-literal=${key}=${text(key)}`);
    await kubectl(rig.plane, ['create', 'secret', 'generic', 'later', '-n', namespace, ...keys]);
    const done = await rig.until(
      namespace,
      'late-secret',
      ({ status }) => status?.completionTime !== undefined,
      90_000,
    );
    expect(done.status?.phase).toBe('Succeeded');
  }, 150_000);

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
    // At once: what removes file by file runs a race with a trainer that stores.
    renameSync(join(s3?.folder ?? '', 'models'), join(s3?.folder ?? '', '..', 'taken'));
    const { status } = await rig.until(namespace, 'taken', (job) => job.status?.completionTime !== undefined, 120_000);
    expect(status?.failure).toMatchObject({ reason: 'ArtifactsFailed', exitCode: 6 });
    expect(status?.failure?.message).toContain('models');
    expect(rig.simulator.live()).toEqual([]);
  }, 240_000);
});
