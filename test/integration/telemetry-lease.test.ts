import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock, type Clock } from '../../controller/clock.ts';
import { batch, openReporter, point, post, startIngest, type Ingest } from './ingest.ts';

let ingest: Ingest;
let nowMs = Date.now();
const clock: Clock = { ...systemClock, now: () => nowMs };
beforeAll(async () => {
  ingest = await startIngest({ clock });
});
afterAll(async () => {
  await ingest.stop();
  await ingest.remove();
});

test('each answer says how much of the lease is left, and nothing where none was given', async () => {
  const job = await openReporter(ingest.telemetry);
  expect((await post(ingest.url, job, batch(job, 1, [point(1)]))).body.lease).toBeNull();
  ingest.telemetry.setLease(job.uid, job.attempt, { untilMs: nowMs + 2_700_000, endsAtMs: undefined });
  expect((await post(ingest.url, job, batch(job, 2, [point(2)]))).body.lease).toEqual({
    remainingSeconds: 2700,
    endsInSeconds: null,
  });
  nowMs += 700_000;
  ingest.telemetry.setLease(job.uid, job.attempt, { untilMs: nowMs + 2_000_000, endsAtMs: nowMs + 90_500 });
  expect((await post(ingest.url, job, batch(job, 3, [point(3)]))).body.lease).toEqual({
    remainingSeconds: 2000,
    endsInSeconds: 90.5,
  });
  nowMs += 3_000_000;
  expect((await post(ingest.url, job, batch(job, 4, [point(4)]))).body.lease).toEqual({
    remainingSeconds: 0,
    endsInSeconds: 0,
  });
});

test('a lease of one attempt is not that of another', async () => {
  const job = await openReporter(ingest.telemetry);
  const other = await openReporter(ingest.telemetry);
  ingest.telemetry.setLease(job.uid, job.attempt, { untilMs: nowMs + 1000, endsAtMs: undefined });
  expect((await post(ingest.url, other, batch(other, 1, [point(1)]))).body.lease).toBeNull();
});
