import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../controller/clock.ts';
import { batch, evaluation, openReporter, point, post, startIngest, type Ingest, type Reporter } from './ingest.ts';

let ingest: Ingest;
let job: Reporter;
let monotonicMs = 0;
let shiftMs = 0;
beforeAll(async () => {
  ingest = await startIngest({
    clock: { ...systemClock, now: () => Date.now() + shiftMs, monotonic: () => (monotonicMs += 1000) },
  });
});
afterAll(async () => {
  await ingest.stop();
  await ingest.remove();
});
beforeEach(async () => {
  job = await openReporter(ingest.telemetry);
});

const log = (lines: readonly string[]) => ({ type: 'log', lines });
const final = { type: 'final', outcome: 'Failed', exitCode: 1, reason: 'TrainerFailed', message: '' };
const names = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`m${index}`, index]));

/** The events with what is wrong in the fourth of them, as `events[3]`. */
const fourth = (event: unknown): object[] => [point(1), point(2), point(3), event as object];

describe('what does not fit is refused with a sentence that names it', () => {
  test.each<[string, object[] | Record<string, unknown>, string]>([
    [
      'an unknown event',
      fourth({ type: 'metric', step: 1 }),
      'events[3].type is "metric", which is no event of this protocol version',
    ],
    ['an event without a type', fourth({ step: 1 }), 'events[3] lacks the member "type"'],
    ['an event that is no object', fourth(7), 'events[3] must be an object'],
    [
      'an unknown member',
      fourth({ ...point(4), loss: 1 }),
      'events[3] has the member "loss", which is not known here; leave it out',
    ],
    ['a missing member', fourth({ type: 'point', metrics: {} }), 'events[3] lacks the member "step"'],
    ['a number as text', fourth({ ...point(4), step: '4' }), 'events[3].step must be a whole number'],
    ['a fraction as step', fourth({ ...point(4), step: 4.5 }), 'events[3].step must be a whole number'],
    ['a step below zero', fourth({ ...point(4), step: -1 }), 'events[3].step must be >= 0'],
    [
      'a step that no machine counts',
      fourth({ ...point(4), step: 1e300 }),
      'events[3].step must be <= 9007199254740991',
    ],
    [
      'a train loss of an impossible step',
      fourth({ ...evaluation(4, 1), trainLossStep: 1e300 }),
      'events[3].trainLossStep must be <=',
    ],
    [
      'a metric as text',
      fourth(point(4, { 'eval/f1': '0.5' as never })),
      'events[3].metrics["eval/f1"] must be a finite number or null',
    ],
    ['65 metrics', fourth(point(4, names(65))), 'events[3].metrics must NOT have more than 64 properties'],
    ['a metric of 65 letters', fourth(point(4, { ['x'.repeat(65)]: 1 })), 'events[3].metrics has the name "xxxx'],
    [
      'a metric with a line break in its name',
      fourth(point(4, { 'a\nb': 1 })),
      String.raw`events[3].metrics has the name "a\nb"; a name begins with`,
    ],
    [
      'an unknown stage',
      fourth({ type: 'stage', stage: 'Dreaming' }),
      'events[3].stage must be one of Starting, Downloading',
    ],
    [
      'a checksum of another form',
      fourth({ type: 'checkpoint', step: 1, uri: 'file:///x', manifestSHA256: 'abc', verified: true }),
      'events[3].manifestSHA256 must match',
    ],
    [
      'verified as text',
      fourth({ type: 'checkpoint', step: 1, uri: '', manifestSHA256: 'a'.repeat(64), verified: 'yes' }),
      'events[3].verified must be true or false',
    ],
    [
      '201 lines of log',
      fourth(log(Array.from({ length: 201 }, () => ''))),
      'events[3].lines must NOT have more than 200 items',
    ],
    [
      'a line of 1025 characters',
      fourth(log(['', 'x'.repeat(1025)])),
      'events[3].lines[1] must NOT have more than 1024 characters',
    ],
    [
      'a message of 4097 characters',
      fourth({ ...final, message: 'x'.repeat(4097) }),
      'events[3].message must NOT have more than 4096 characters',
    ],
    ['a reason with spaces', fourth({ ...final, reason: 'it broke' }), 'events[3].reason must match'],
    ['501 events', Array.from({ length: 501 }, (_, index) => point(index)), 'events must NOT have more than 500 items'],
    ['events that are no list', { events: {} }, 'events must be a list'],
    ['a sequence of zero', { sequence: 0 }, 'sequence must be >= 1'],
    ['a sequence as text', { sequence: '1' }, 'sequence must be a whole number'],
    ['a session of another form', { session: 'mine' }, 'session must match ^[0-9a-f]{16}$'],
    ['no pod', { podID: undefined }, 'the body lacks the member "podID"'],
    ['a long pod id', { podID: 'x'.repeat(65) }, 'podID must NOT have more than 64 characters'],
    ['an unknown member of the batch', { compression: 'gzip' }, 'the body has the member "compression"'],
  ])('%s', async (_, wrong, sentence) => {
    const body = Array.isArray(wrong) ? batch(job, 1, wrong) : { ...batch(job, 1, [point(1)]), ...wrong };
    const { status, body: said } = await post(ingest.url, job, body);
    expect([status, said.error.code]).toEqual([400, 'INVALID']);
    expect(said.error.message).toContain(sentence);
    expect(said.error.message.length).toBeLessThan(400);
    expect(ingest.telemetry.summary(job.uid)).toBeUndefined();
  });

  test('a huge name is not echoed', async () => {
    const { body } = await post(ingest.url, job, batch(job, 1, [{ ...point(1), ['x'.repeat(500_000)]: 1 }]));
    expect(body.error.message.length).toBeLessThan(200);
  });

  const raw = (metrics: string): string =>
    `{"session":"${job.session}","sequence":1,"podID":"${job.podID}","events":[{"type":"point","step":1,"metrics":${metrics}}]}`;

  test.each([
    ['NaN', '{"a":NaN}', 400, 'MALFORMED'],
    ['Infinity', '{"a":-Infinity}', 400, 'MALFORMED'],
    ['1e400, which is no number a machine holds', '{"a":1e400}', 400, 'INVALID'],
    ['a million digits', `{"a":${'9'.repeat(1_000_000)}}`, 400, 'INVALID'],
    ['__proto__ as a metric', '{"__proto__":{"polluted":1}}', 400, 'MALFORMED'],
    ['constructor.prototype as a metric', '{"constructor":{"prototype":{"polluted":1}}}', 400, undefined],
    ['two hundred thousand brackets', `${'['.repeat(200_000)}${']'.repeat(200_000)}`, 400, 'INVALID'],
    ['text that is cut', '{"a":', 400, 'MALFORMED'],
  ])('%s', async (_, metrics, status, code) => {
    const answer = await post(ingest.url, job, raw(metrics));
    expect(answer.status).toBe(status);
    if (code !== undefined) expect(answer.body.error.code).toBe(code);
    expect(answer.body.error.message.length).toBeGreaterThan(20);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    expect((await post(ingest.url, job, batch(job, 1, [point(1)]))).status).toBe(200);
  });

  test('names that every object has are metrics like any other', async () => {
    const metrics = { constructor: 1, toString: 2, hasOwnProperty: 3 } as unknown as Record<string, number>;
    expect((await post(ingest.url, job, batch(job, 1, [point(1, metrics)]))).status).toBe(200);
    expect(ingest.telemetry.summary(job.uid)?.metrics.map(({ name, value }) => [name, value])).toEqual(
      Object.entries(metrics),
    );
  });

  test('a body over 1 MiB', async () => {
    const line = 'x'.repeat(1000);
    const events = Array.from({ length: 6 }, () => log(Array.from({ length: 200 }, () => line)));
    expect(await post(ingest.url, job, batch(job, 1, events))).toMatchObject({
      status: 413,
      body: { error: { code: 'TOO_LARGE', message: 'the body is over 1048576 bytes; send fewer events at once' } },
    });
  });

  test.each([
    ['text/plain', 415],
    ['application/x-www-form-urlencoded', 415],
    ['application/json; charset=utf-8', 200],
  ])('content type %s: %i', async (type, status) => {
    const answer = await post(ingest.url, job, batch(job, 1, [point(1)]), { headers: { 'content-type': type } });
    expect(answer.status).toBe(status);
    if (status === 415) expect(answer.body.error.message).toContain('Content-Type: application/json');
  });

  test('a compressed body', async () => {
    const body = gzipSync(JSON.stringify(batch(job, 1, [point(1)])));
    const answer = await post(ingest.url, job, body, { headers: { 'content-encoding': 'gzip' } });
    expect(answer).toMatchObject({ status: 415, body: { error: { code: 'ENCODING' } } });
    expect(answer.body.error.message).toContain('without Content-Encoding');
  });

  test('a path with a uid of another form, a method that is not there', async () => {
    expect((await fetch(`${ingest.url}/v1/jobs/x/attempts/1/events`, { method: 'POST' })).status).toBe(401);
    expect((await fetch(`${ingest.url}/v1/jobs/${job.uid}/attempts/1/events`)).status).toBe(404);
    const nothing = await fetch(`${ingest.url}/elsewhere`);
    expect([nothing.status, await nothing.json()]).toEqual([
      404,
      { error: { code: 'NOT_FOUND', message: 'there is nothing at this path' } },
    ]);
  });
});

test('whoever sends a byte at a time is cut off', () => {
  const { requestTimeout, headersTimeout, keepAliveTimeout } = ingest.server.server;
  expect(requestTimeout).toBe(30_000);
  expect(headersTimeout).toBeGreaterThan(0);
  expect(headersTimeout).toBeLessThanOrEqual(60_000);
  expect(keepAliveTimeout).toBeGreaterThan(60_000);
});

describe('what is kept of a job in memory is bounded', () => {
  test('ten thousand names of metrics; the losses that are always shown still are', async () => {
    for (let sequence = 1; sequence <= 20; sequence += 1) {
      const events = Array.from({ length: 10 }, (_, event) =>
        point(sequence, Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`m${sequence}_${event}_${i}`, 1]))),
      );
      expect((await post(ingest.url, job, batch(job, sequence, events))).status).toBe(200);
    }
    await post(ingest.url, job, batch(job, 21, [point(30, { 'train/loss': 0.5 }), evaluation(30, 0.7)]));
    const { metrics } = ingest.telemetry.summary(job.uid) ?? { metrics: [] };
    expect(metrics).toHaveLength(32);
    expect(metrics.filter(({ name }) => name.endsWith('/loss')).map(({ name, value }) => [name, value])).toEqual([
      ['train/loss', 0.5],
      ['eval/loss', 0.7],
    ]);
  });

  test('logs, alerts, checkpoints and final reports; the best step keeps its checkpoint', async () => {
    const checkpoint = (step: number) => ({
      type: 'checkpoint',
      step,
      uri: `file:///c/${step}`,
      manifestSHA256: 'a'.repeat(64),
      verified: true,
    });
    const alert = { type: 'alert', name: 'x', severity: 'Info', message: '' };
    const lines = Array.from({ length: 200 }, (_, index) => `line ${index}`);
    const events = [
      evaluation(5, 0.1),
      ...Array.from({ length: 200 }, (_, step) => checkpoint(step)),
      ...Array.from({ length: 30 }, () => alert),
      log(lines),
      { ...final, logTail: lines },
    ];
    expect((await post(ingest.url, job, batch(job, 1, events))).status).toBe(200);
    const summary = ingest.telemetry.summary(job.uid);
    expect(summary?.checkpoints).toHaveLength(64);
    expect(summary?.best).toMatchObject({ step: 5, verified: true, uri: 'file:///c/5' });
    expect(summary?.latestCheckpoint?.step).toBe(199);
    expect(summary?.alerts).toHaveLength(10);
    expect(summary?.logTail).toEqual(lines.slice(-50));
    expect(summary?.finals[1]?.logTail).toEqual(lines.slice(-50));
  });
});

describe('numbers that are none', () => {
  test('null losses and a null epoch are shown and counted, and nothing breaks', async () => {
    const events = [
      { ...evaluation(1, 0.5), epoch: null },
      { ...evaluation(2, null), epoch: null, nonFinite: ['eval/loss', 'train/loss'] },
      { ...point(3, { 'train/loss': null }), epoch: null, nonFinite: ['train/loss'] },
    ];
    expect((await post(ingest.url, job, batch(job, 1, events))).status).toBe(200);
    const summary = ingest.telemetry.summary(job.uid);
    expect(summary).toMatchObject({ nonFiniteCount: 3, evaluations: 2, step: 3, best: { step: 1 } });
    expect(summary).not.toHaveProperty('epoch');
    expect(summary?.best).not.toHaveProperty('epoch');
  });

  test('zero is a value', async () => {
    const events = [
      { type: 'totals', totalSteps: 0 },
      { ...point(0, { 'train/loss': 0 }), epoch: 0 },
      evaluation(0, 0),
    ];
    expect((await post(ingest.url, job, batch(job, 1, events))).status).toBe(200);
    expect(ingest.telemetry.summary(job.uid)).toMatchObject({
      totalSteps: 0,
      step: 0,
      epoch: 0,
      best: { step: 0, evalLoss: 0 },
    });
  });

  test('a pace that says centuries is no estimate', async () => {
    const events = [{ type: 'totals', totalSteps: Number.MAX_SAFE_INTEGER }, point(1)];
    await post(ingest.url, job, batch(job, 1, events));
    const { podID, session } = job;
    const later = { podID, session, sequence: 2, events: [{ type: 'point', step: 2, metrics: {} }] } as const;
    shiftMs += 1100;
    expect((await ingest.telemetry.accept(job.token, job.uid, 1, later)).kind).toBe('accepted');
    expect(ingest.telemetry.summary(job.uid)?.marks).toHaveLength(2);
    expect(ingest.telemetry.summary(job.uid)).not.toHaveProperty('eta');
  });
});
