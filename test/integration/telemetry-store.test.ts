import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { promisify } from 'node:util';
import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import pino from 'pino';
import { systemClock } from '../../controller/clock.ts';
import { Telemetry } from '../../controller/telemetry/telemetry.ts';
import { batch, get, oneKey, openReporter, point, post, startIngest, type Ingest } from './ingest.ts';
import { startIngestProcess, type IngestProcess } from './ingestprocess.ts';

let folder: string;
let path: string;
let ingest: Ingest | undefined;
let child: IngestProcess | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'trainingjob-store-'));
  path = join(folder, 'telemetry.sqlite');
});
afterEach(async () => {
  await ingest?.stop();
  await child?.kill();
  ingest = undefined;
  child = undefined;
  await rm(folder, { recursive: true, force: true });
});

const ready = async (url: string) => (await get(`${url}/readyz`)).status;

describe('a store that cannot be written', () => {
  test('locked: 503 with a sentence, reads go on, readiness tells, and it is back without any traffic', async () => {
    ingest = await startIngest({ path });
    const job = await openReporter(ingest.telemetry);
    await post(ingest.url, job, batch(job, 1, [point(1)]));
    const other = new DatabaseSync(path);
    other.exec('BEGIN IMMEDIATE');
    const refused = await post(ingest.url, job, batch(job, 2, [point(2)]));
    expect(refused).toMatchObject({ status: 503, body: { error: { code: 'NOT_YET' } } });
    expect(refused.body.error.message).toContain('cannot be written; keep the batch');
    expect(refused.headers.get('retry-after')).toBe('1');
    const { status, body } = await get(`${ingest.url}/readyz`);
    expect([status, body.reasons]).toEqual([503, [`the telemetry store ${path} failed: database is locked`]]);
    expect((await get(`${ingest.url}/healthz`)).status).toBe(200);
    const read = await get(`${ingest.url}/v1/jobs/${job.uid}/points`, { authorization: 'Bearer any' });
    expect([read.status, read.body.items.length]).toEqual([200, 1]);
    expect(ingest.telemetry.summary(job.uid)?.step).toBe(1);
    other.exec('ROLLBACK');
    other.close();
    const { url } = ingest;
    await expect.poll(() => ready(url), { timeout: 15_000 }).toBe(200);
    expect((await post(url, job, batch(job, 2, [point(2)]))).status).toBe(200);
    expect(await ingest.store.batches(0, 10, job.uid)).toHaveLength(2);
  });

  test.skipIf(process.platform !== 'linux')(
    'full: nothing is acknowledged, and what was refused is taken once there is room',
    async () => {
      // A limit on the size of files stands for the full disk: the write fails in the same place.
      child = await startIngestProcess(path, 1, 'trap "" XFSZ; ulimit -S -f 512;');
      const [job] = child.reporters;
      if (!job) throw new Error('the server opened no attempt');
      const line = 'x'.repeat(1000);
      const log = (sequence: number) =>
        batch(job, sequence, [{ type: 'log', lines: Array.from({ length: 60 }, () => line) }]);
      let acknowledged = 0;
      let answer = await post(child.url, job, log(1));
      while (answer.status === 200 && acknowledged < 100) {
        acknowledged += 1;
        answer = await post(child.url, job, log(acknowledged + 1));
      }
      expect(acknowledged).toBeGreaterThan(0);
      expect(answer).toMatchObject({ status: 503, body: { error: { code: 'NOT_YET' } } });
      expect(await ready(child.url)).toBe(503);
      await promisify(execFile)('prlimit', ['--pid', String(child.child.pid), '--fsize=unlimited']);
      const { url } = child;
      await expect.poll(() => ready(url), { timeout: 15_000 }).toBe(200);
      expect((await post(url, job, log(acknowledged + 1))).status).toBe(200);
      await child.kill();
      ingest = await startIngest({ path });
      expect((await ingest.store.batches(0, 200, job.uid)).map((row) => row.sequence)).toEqual(
        Array.from({ length: acknowledged + 1 }, (_, index) => index + 1),
      );
    },
  );

  test('its thread dead: 503, then a new thread goes on where the old one was', async () => {
    const workers: Worker[] = [];
    const take = (worker: Worker): number => workers.push(worker);
    process.on('worker', take);
    ingest = await startIngest({ path });
    process.off('worker', take);
    const job = await openReporter(ingest.telemetry);
    await post(ingest.url, job, batch(job, 1, [point(1)]));
    await workers[0]?.terminate();
    expect(await post(ingest.url, job, batch(job, 2, [point(2)]))).toMatchObject({ status: 503 });
    const { url } = ingest;
    expect((await get(`${url}/readyz`)).body.reasons[0]).toContain('its thread ended');
    await expect.poll(() => ready(url), { timeout: 15_000 }).toBe(200);
    expect((await post(url, job, batch(job, 2, [point(2)]))).status).toBe(200);
    expect(await ingest.store.batches(0, 10, job.uid)).toHaveLength(2);
  });
});

test('a batch that was stored though its write was taken for failed is summed up once, when it comes again', async () => {
  let loses = true;
  ingest = await startIngest({
    path,
    wrap: (store) => ({
      ...store,
      async append(row) {
        const result = await store.append(row);
        if (loses) throw new Error('the answer got lost');
        return result;
      },
    }),
  });
  const job = await openReporter(ingest.telemetry);
  const body = batch(job, 1, [point(1)]);
  expect((await post(ingest.url, job, body)).status).toBe(503);
  expect(ingest.telemetry.summary(job.uid)).toBeUndefined();
  loses = false;
  for (let copy = 0; copy < 2; copy += 1) {
    expect((await post(ingest.url, job, body)).status).toBe(200);
    expect(ingest.telemetry.summary(job.uid)).toMatchObject({ step: 1, lastSequence: 1 });
  }
});

describe('a store that cannot be opened ends the start with what is wrong', () => {
  const refused = (sentence: string | RegExp) => expect(startIngest({ path })).rejects.toThrow(sentence);

  test('no SQLite file', async () => {
    await writeFile(path, 'this was a text file\n'.repeat(500));
    await refused(
      `the telemetry store ${path} failed: it cannot be opened: file is not a database. STORE_PATH must name`,
    );
  });

  test('a folder', async () => {
    await mkdir(path);
    await refused('it cannot be opened: unable to open database file');
  });

  test('a folder that cannot be made', async () => {
    await writeFile(join(folder, 'file'), '');
    path = join(folder, 'file', 'telemetry.sqlite');
    await refused('it cannot be opened: EEXIST');
  });

  test('a batch whose text was damaged', async () => {
    ingest = await startIngest({ path });
    const job = await openReporter(ingest.telemetry);
    await post(ingest.url, job, batch(job, 1, [point(1)]));
    await ingest.stop();
    ingest = undefined;
    const file = new DatabaseSync(path);
    file.exec(`UPDATE batches SET payload = substr(payload, 2)`);
    file.close();
    await refused(/^batch 1 of the telemetry store is damaged \(.*\); restore the file/);
  });

  test('a file whose middle was overwritten', async () => {
    ingest = await startIngest({ path });
    const job = await openReporter(ingest.telemetry);
    for (let sequence = 1; sequence <= 20; sequence += 1) {
      await post(ingest.url, job, batch(job, sequence, [{ type: 'log', lines: ['x'.repeat(1000), 'y'.repeat(1000)] }]));
    }
    await ingest.stop();
    ingest = undefined;
    await copyFile(path, `${path}.good`);
    const file = await open(path, 'r+');
    const { size } = await file.stat();
    await file.write(Buffer.alloc(size - 4096, 0xa5), 0, size - 4096, 4096);
    await file.close();
    await refused(/malformed|not a database/);
    await copyFile(`${path}.good`, path);
    ingest = await startIngest({ path });
    expect(ingest.telemetry.summary(job.uid)?.lastSequence).toBe(20);
  });
});

describe('attempts in the store', () => {
  test('opened again after a crash, an attempt keeps its pod; another nonce is another attempt', async () => {
    ingest = await startIngest({ path });
    const job = await openReporter(ingest.telemetry, { podID: 'first' });
    const again = {
      uid: job.uid,
      namespace: 'team',
      name: 'job',
      attempt: 1,
      scoring: { strategy: 'MultiMetric' },
    } as const;
    await ingest.telemetry.openAttempt({ ...again, nonce: 'abcd' });
    expect(ingest.telemetry.attempt(job.uid, 1)?.podID).toBe('first');
    expect((await ingest.store.attempts())[0]?.podID).toBe('first');
    await ingest.telemetry.openAttempt({ ...again, nonce: 'wxyz' });
    ingest.telemetry.pinPod(job.uid, 1, 'second');
    await ingest.stop();
    ingest = await startIngest({ path });
    expect(ingest.telemetry.attempt(job.uid, 1)).toMatchObject({ nonce: 'wxyz', podID: 'second', closed: false });
  });

  test('until the store is replayed nothing is taken, and a bad token is bad all the same', async () => {
    ingest = await startIngest({ path });
    const job = await openReporter(ingest.telemetry);
    const { store } = ingest;
    const log = pino({ enabled: false });
    const starting = new Telemetry({ store, keyring: oneKey, clock: systemClock, log, onChange: () => undefined });
    const body = { session: job.session, sequence: 1, podID: job.podID, events: [{ type: 'log', lines: [] }] } as const;
    expect(await starting.accept(job.token, job.uid, 1, body)).toEqual({
      kind: 'notYet',
      message: 'the operator is starting',
    });
    expect((await starting.accept('none', job.uid, 1, body)).kind).toBe('unauthorized');
    expect(await store.batches(0, 10)).toEqual([]);
    await starting.start();
    expect((await starting.accept(job.token, job.uid, 1, body)).kind).toBe('accepted');
  });

  test('a new attempt ends the one before it, in memory and on disk', async () => {
    ingest = await startIngest({ path });
    const first = await openReporter(ingest.telemetry);
    await openReporter(ingest.telemetry, { uid: first.uid, attempt: 2 });
    expect((await post(ingest.url, first, batch(first, 1, [point(1)]))).status).toBe(410);
    expect((await ingest.store.attempts()).map((row) => row.closed)).toEqual([true, false]);
  });

  test('a job forgotten while its batch is on the way to the disk leaves nothing', async () => {
    ingest = await startIngest({ path });
    const job = await openReporter(ingest.telemetry);
    const body = {
      session: job.session,
      sequence: 1,
      podID: job.podID,
      events: [{ type: 'point', step: 1, metrics: {} }],
    } as const;
    const accepted = ingest.telemetry.accept(job.token, job.uid, 1, body);
    ingest.telemetry.forgetJob(job.uid);
    await accepted;
    expect(ingest.telemetry.summary(job.uid)).toBeUndefined();
    expect(ingest.telemetry.jobOf(job.uid)).toBeUndefined();
    expect([await ingest.store.attempts(), await ingest.store.batches(0, 10)]).toEqual([[], []]);
    expect((await post(ingest.url, job, batch(job, 2, [point(2)]))).status).toBe(503);
  });

  test('jobs that were deleted while nobody ran are forgotten at the start', async () => {
    ingest = await startIngest({ path });
    const kept = await openReporter(ingest.telemetry);
    const deleted = await openReporter(ingest.telemetry);
    for (const job of [kept, deleted]) await post(ingest.url, job, batch(job, 1, [point(1)]));
    await ingest.stop();
    ingest = await startIngest({ path });
    for (const { uid } of ingest.telemetry.jobs()) if (uid !== kept.uid) ingest.telemetry.forgetJob(uid);
    expect(ingest.telemetry.summary(deleted.uid)).toBeUndefined();
    expect((await ingest.store.batches(0, 10)).map((row) => row.uid)).toEqual([kept.uid]);
  });

  test('a read gives a page of a few megabytes at once, and the next one goes on after it', async () => {
    ingest = await startIngest({ path });
    const { uid } = await openReporter(ingest.telemetry);
    const row = {
      uid,
      attempt: 1,
      session: 'a'.repeat(16),
      hash: '',
      receivedAt: 1,
      payload: `"${'x'.repeat(1_000_000)}"`,
    };
    for (let sequence = 1; sequence <= 12; sequence += 1) await ingest.store.append({ ...row, sequence });
    const first = await ingest.store.batches(0, 100, uid);
    expect(first.length).toBeLessThan(12);
    const rest = await ingest.store.batches(first.at(-1)?.id ?? 0, 100, uid);
    expect([...first, ...rest].map(({ sequence }) => sequence)).toEqual(Array.from({ length: 12 }, (_, at) => at + 1));
    expect(await ingest.store.batches(rest.at(-1)?.id ?? 0, 100, uid)).toEqual([]);
  });
});
