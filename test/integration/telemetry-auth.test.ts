import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../controller/clock.ts';
import type { Config } from '../../controller/telemetry/protocol.ts';
import { mintToken, type Keyring } from '../../controller/telemetry/tokens.ts';
import {
  batch,
  get,
  openReporter,
  point,
  post,
  startIngest,
  type Answer,
  type Ingest,
  type Reporter,
} from './ingest.ts';

const keyring: Keyring = { current: 'k2', keys: { k1: Buffer.alloc(32, 1), k2: Buffer.alloc(32, 2) } };
const secret = 'value-of-a-secret';
// Stands still unless a test moves it, so that the limits count requests and not the speed of this machine.
let monotonicMs = 0;
let ingest: Ingest;
beforeAll(async () => {
  ingest = await startIngest({
    keyring,
    clock: { ...systemClock, monotonic: () => monotonicMs },
    configFor: async (uid, attempt) => ({
      status: 'ok',
      config: { protocolVersion: 1, job: { uid, attempt }, env: { HF_TOKEN: secret } } as unknown as Config,
    }),
  });
});
afterAll(async () => {
  await ingest.stop();
  await ingest.remove();
});

const config = (
  job: Reporter,
  more: { query?: string; podID?: string; authorization?: string } = {},
): Promise<Answer> =>
  get(`${ingest.url}/v1/jobs/${job.uid}/attempts/${job.attempt}/config${more.query ?? ''}`, {
    'x-runpod-pod-id': more.podID ?? job.podID,
    ...(job.token !== '' && { authorization: more.authorization ?? `Bearer ${job.token}` }),
  });

describe('a token opens its own attempt of its own job and nothing else (I8)', () => {
  const jobs: Record<string, Reporter> = {};
  beforeAll(async () => {
    for (const name of ['a', 'b']) {
      const uid = randomUUID();
      for (const attempt of [1, 2]) {
        jobs[`${name}${attempt}`] = await openReporter(ingest.telemetry, { uid, attempt, nonce: `n${name}${attempt}` });
      }
    }
  });

  const targets = ['a1', 'a2', 'b1', 'b2'];
  const states: readonly (readonly [
    string,
    (job: Reporter) => Partial<Record<'token' | 'authorization' | 'query', string>>,
  ])[] = [
    ['none', () => ({ token: '' })],
    ['truncated', (job) => ({ token: job.token.slice(0, -1) })],
    ['too long', (job) => ({ token: `${job.token}A` })],
    ['with a space inside', (job) => ({ token: `${job.token.slice(0, 20)} ${job.token.slice(20)}` })],
    ['after two spaces', (job) => ({ authorization: `Bearer  ${job.token}` })],
    ['under another scheme', (job) => ({ authorization: `Basic ${job.token}` })],
    ['in the query string', (job) => ({ token: '', query: `?token=${job.token}&access_token=${job.token}` })],
    ['of an unknown key', (job) => ({ token: job.token.replace('.k2.', '.k9.') })],
    ['of a key named as a member of every object', (job) => ({ token: job.token.replace('.k2.', '.constructor.') })],
    ['of another nonce that the key signed', (job) => ({ token: mintToken(keyring, job.uid, job.attempt, 'zzzz') })],
    ['with one character changed', (job) => ({ token: flipped(job.token) })],
  ];

  describe.each(targets)('attempt %s', (target) => {
    test.each(states)('token %s: 401', async (_, change) => {
      const job = jobs[target] as Reporter;
      const changed = { ...job, ...change(job) };
      const headers = change(job).authorization === undefined ? {} : { authorization: change(job).authorization ?? '' };
      const events = await post(ingest.url, changed, batch(job, 1, [point(1)]), {
        headers,
        query: change(job).query ?? '',
      });
      expectRefused(events);
      expectRefused(await config(changed, change(job)));
      // Time passes: no state may be refused because another one was.
      monotonicMs += 10_000;
    });

    test.each(targets.filter((other) => other !== target))('token of attempt %s: 401', async (other) => {
      const job = { ...(jobs[target] as Reporter), token: jobs[other]?.token ?? '' };
      expectRefused(await post(ingest.url, job, batch(job, 1, [point(1)])));
      expectRefused(await config(job));
      monotonicMs += 10_000;
    });
  });

  test.each(['a2', 'b2'])('the right token of attempt %s: 200', async (target) => {
    const job = jobs[target] as Reporter;
    expect((await post(ingest.url, job, batch(job, 1, [point(1)]))).status).toBe(200);
    expect((await config(job)).body).toMatchObject({ job: { uid: job.uid, attempt: 2 }, env: { HF_TOKEN: secret } });
    expect((await config(job)).headers.get('cache-control')).toBe('no-store');
  });

  test.each(['a1', 'b1'])('the right token of attempt %s, which a later one ended: 410', async (target) => {
    const job = jobs[target] as Reporter;
    expectGone(await post(ingest.url, job, batch(job, 1, [point(1)])), 'this attempt is over; end the pod');
    expectGone(await config(job), 'this attempt is over; end the pod');
  });

  function expectRefused({ status, body, headers }: Answer): void {
    expect([status, body]).toEqual([
      401,
      { error: { code: 'TOKEN_INVALID', message: 'the token does not open this attempt' } },
    ]);
    expect(headers.get('www-authenticate')).toBe('Bearer');
  }
});

test('who has no token learns nothing: a body that is no JSON or too large is not even read', async () => {
  const job = { ...(await openReporter(ingest.telemetry)), token: 'tj1.k2.abcd.x' };
  for (const body of ['{', 'x'.repeat(2 * 1024 * 1024)]) {
    expect((await post(ingest.url, job, body)).body.error.code).toBe('TOKEN_INVALID');
  }
});

test('another pod than the one that was recorded: 410', async () => {
  const job = await openReporter(ingest.telemetry);
  const other = { ...job, podID: 'another' };
  expectGone(await post(ingest.url, other, batch(other, 1, [point(1)])), /another pod was recorded/);
  expectGone(await config(other), /another pod was recorded/);
  expect((await config(job, { podID: '' })).status).toBe(410);
});

test('before the pod is recorded: 503, and served once it is', async () => {
  const uid = randomUUID();
  const { token } = await ingest.telemetry.openAttempt({
    uid,
    namespace: 'team',
    name: 'job',
    attempt: 1,
    nonce: 'abcd',
    scoring: { strategy: 'MultiMetric' },
  });
  const job = { uid, attempt: 1, podID: 'pod', token, session: 'a'.repeat(16) };
  expect(await post(ingest.url, job, batch(job, 1, [point(1)]))).toMatchObject({
    status: 503,
    body: { error: { code: 'NOT_YET', message: 'the pod of this attempt is not recorded yet' } },
  });
  expect((await config(job)).status).toBe(503);
  ingest.telemetry.pinPod(uid, 1, 'pod');
  expect((await post(ingest.url, job, batch(job, 1, [point(1)]))).status).toBe(200);
  ingest.telemetry.pinPod(uid, 1, 'other');
  expect((await post(ingest.url, job, batch(job, 2, [point(2)]))).status).toBe(200);
});

test('an attempt that the operator does not know yet: 503, as its token may be older than this process', async () => {
  const uid = randomUUID();
  const job = { uid, attempt: 1, podID: 'pod', token: mintToken(keyring, uid, 1, 'abcd'), session: 'a'.repeat(16) };
  expect((await post(ingest.url, job, batch(job, 1, [point(1)]))).status).toBe(503);
});

test('a final report that comes after the end is kept for the record, once', async () => {
  const job = await openReporter(ingest.telemetry);
  ingest.telemetry.closeAttempt(job.uid, 1);
  const final = { type: 'final', outcome: 'Failed', exitCode: 4, reason: 'OutOfMemory', message: 'no memory' };
  expect((await post(ingest.url, job, batch(job, 1, [point(1)]))).status).toBe(410);
  const stranger = { ...job, podID: 'another' };
  expect((await post(ingest.url, stranger, batch(stranger, 1, [final]))).status).toBe(410);
  expect((await post(ingest.url, job, batch(job, 1, [final]))).status).toBe(200);
  expect(ingest.telemetry.summary(job.uid)?.finals[1]).toMatchObject({ exitCode: 4 });
  const another = await post(ingest.url, job, batch(job, 2, [{ ...final, exitCode: 0, outcome: 'Succeeded' }]));
  expect(another.status).toBe(410);
  expect(ingest.telemetry.summary(job.uid)?.finals[1]).toMatchObject({ exitCode: 4 });
});

test('a token of a former key is still good and is renewed to the current one', async () => {
  const job = await openReporter(ingest.telemetry);
  const old = { ...job, token: mintToken({ ...keyring, current: 'k1' }, job.uid, 1, 'abcd') };
  const { status, body } = await post(ingest.url, old, batch(old, 1, [point(1)]));
  expect(status).toBe(200);
  expect(body.token).toMatch(/^tj1\.k2\.abcd\./);
  const renewed = { ...job, token: body.token };
  expect((await post(ingest.url, renewed, batch(renewed, 2, [point(2)]))).status).toBe(200);
});

describe('limits hit whom they are meant for', () => {
  test('bad tokens from an address are slowed down and never shut out the good ones beside them', async () => {
    const job = await openReporter(ingest.telemetry);
    const bad = { ...job, token: flipped(job.token) };
    monotonicMs += 60_000;
    const statuses: number[] = [];
    for (let index = 0; index < 60; index += 1) statuses.push((await post(ingest.url, bad, {})).status);
    expect(statuses.filter((status) => status === 401)).toHaveLength(50);
    expect(statuses.filter((status) => status === 429)).toHaveLength(10);
    expect((await config(bad)).headers.get('retry-after')).toBe('1');
    expect((await post(ingest.url, job, batch(job, 1, [point(1)]))).status).toBe(200);
    expect((await config(job)).status).toBe(200);
    monotonicMs += 1000;
    expect((await post(ingest.url, bad, {})).status).toBe(401);
  });

  test('a chatty attempt gets its rate and takes nothing from others', async () => {
    const [chatty, quiet] = [await openReporter(ingest.telemetry), await openReporter(ingest.telemetry)];
    const life = (job: Reporter) => post(ingest.url, job, { session: job.session, podID: job.podID, events: [] });
    const statuses = await Promise.all(Array.from({ length: 60 }, async () => (await life(chatty)).status));
    expect(statuses.filter((status) => status === 200)).toHaveLength(40);
    expect(statuses.filter((status) => status === 429)).toHaveLength(20);
    expect((await life(quiet)).status).toBe(200);
    // Who goes on asking too often is served at the rate all the same.
    let served = 0;
    for (let index = 0; index < 50; index += 1) {
      monotonicMs += 20;
      if ((await life(chatty)).status === 200) served += 1;
    }
    expect(served).toBeGreaterThanOrEqual(19);
    expect(served).toBeLessThanOrEqual(21);
  });
});

function expectGone({ status, body }: Answer, message: string | RegExp): void {
  expect([status, body.error.code]).toEqual([410, 'SUPERSEDED']);
  expect(body.error.message).toMatch(message);
}

/** With a character changed that is not the last: the last one's low bits mean nothing in base64. */
function flipped(token: string): string {
  const at = token.length - 10;
  return token.slice(0, at) + (token[at] === 'A' ? 'B' : 'A') + token.slice(at + 1);
}
