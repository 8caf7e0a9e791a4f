import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AgentEvent } from '../../controller/telemetry/protocol.ts';
import { batch, evaluation, newSession, openReporter, point, post, startIngest, type Ingest } from './ingest.ts';

let ingest: Ingest;
const changes: string[] = [];
beforeAll(async () => {
  ingest = await startIngest({ onChange: (uid, urgent) => changes.push(`${uid} ${urgent}`) });
});
afterAll(async () => {
  await ingest.stop();
  await ingest.remove();
});

const stored = (uid: string) => ingest.store.batches(0, 100_000, uid);

describe('a batch is taken exactly once', () => {
  test('the same batch again gets the same answer and changes nothing', async () => {
    const job = await openReporter(ingest.telemetry);
    const body = batch(job, 1, [point(1), point(2)]);
    const first = await post(ingest.url, job, body);
    expect(first.status).toBe(200);
    expect(first.body.acknowledged).toEqual({ session: job.session, sequence: 1 });
    const summary = ingest.telemetry.summary(job.uid);
    const again = await post(ingest.url, job, body);
    expect(again.status).toBe(200);
    expect({ ...again.body, serverTime: '' }).toEqual({ ...first.body, serverTime: '' });
    expect(ingest.telemetry.summary(job.uid)).toEqual(summary);
    expect(await stored(job.uid)).toHaveLength(1);
  });

  test('other content under the same sequence is refused with the sequence that is expected', async () => {
    const job = await openReporter(ingest.telemetry);
    await post(ingest.url, job, batch(job, 1, [point(1)]));
    const other = await post(ingest.url, job, batch(job, 1, [point(9)]));
    expect(other).toMatchObject({ status: 409, body: { expected: 2, error: { code: 'SEQUENCE_CONFLICT' } } });
    expect(ingest.telemetry.summary(job.uid)?.step).toBe(1);
  });

  test.each([2, 3, 9_007_199_254_740_991])('a gap is refused: %i first', async (sequence) => {
    const job = await openReporter(ingest.telemetry);
    const gap = await post(ingest.url, job, batch(job, sequence, [point(1)]));
    expect(gap).toMatchObject({ status: 409, body: { expected: 1 } });
    expect(await stored(job.uid)).toHaveLength(0);
  });

  test('a session that was restarted begins at 1 and what the former one stored stays', async () => {
    const job = await openReporter(ingest.telemetry);
    await post(ingest.url, job, batch(job, 1, [point(1)]));
    const restarted = { ...job, session: newSession() };
    expect(await post(ingest.url, restarted, batch(restarted, 2, [point(2)]))).toMatchObject({
      status: 409,
      body: { expected: 1 },
    });
    expect((await post(ingest.url, restarted, batch(restarted, 1, [point(2)]))).status).toBe(200);
    expect((await post(ingest.url, job, batch(job, 2, [point(3)]))).status).toBe(200);
    expect((await stored(job.uid)).map((row) => [row.session, row.sequence])).toEqual([
      [job.session, 1],
      [restarted.session, 1],
      [job.session, 2],
    ]);
  });

  test('twenty copies at once are one batch, and every one is acknowledged', async () => {
    const job = await openReporter(ingest.telemetry);
    const body = batch(job, 1, [point(1), evaluation(1, 0.5)]);
    const answers = await Promise.all(Array.from({ length: 20 }, () => post(ingest.url, job, body)));
    expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 20 }, () => 200));
    expect(await stored(job.uid)).toHaveLength(1);
    expect(ingest.telemetry.summary(job.uid)).toMatchObject({ lastSequence: 1, evaluations: 1 });
  });

  test('of different batches that claim one sequence at once, one is taken', async () => {
    const job = await openReporter(ingest.telemetry);
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) => post(ingest.url, job, batch(job, 1, [point(index)]))),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(answers.filter(({ status, body }) => status === 409 && body.expected === 2)).toHaveLength(9);
    const [row] = await stored(job.uid);
    expect(JSON.parse(row?.payload ?? '')[0].step).toBe(ingest.telemetry.summary(job.uid)?.step);
  });

  test('batches are kept and summed up in the order of their acceptance', async () => {
    const job = await openReporter(ingest.telemetry);
    for (let sequence = 1; sequence <= 30; sequence += 1) {
      expect((await post(ingest.url, job, batch(job, sequence, [point(sequence * 10)]))).status).toBe(200);
    }
    const steps = (await stored(job.uid)).flatMap((row) =>
      (JSON.parse(row.payload) as { step: number }[]).map((e) => e.step),
    );
    expect(steps).toEqual(Array.from({ length: 30 }, (_, index) => (index + 1) * 10));
    expect(ingest.telemetry.summary(job.uid)).toMatchObject({ step: 300, lastSequence: 30 });
  });

  test('a sign of life needs no sequence, is not stored, and tells of the first contact alone', async () => {
    const job = await openReporter(ingest.telemetry);
    const life = { session: job.session, podID: job.podID, stage: 'Loading', events: [] };
    const before = changes.length;
    expect(await post(ingest.url, job, life)).toMatchObject({
      status: 200,
      body: { acknowledged: null, commands: [] },
    });
    expect((await post(ingest.url, job, life)).status).toBe(200);
    expect(changes.slice(before)).toEqual([`${job.uid} true`]);
    expect(await stored(job.uid)).toHaveLength(0);
  });

  test.each([
    ['events without a sequence', { sequence: undefined, events: [point(1)] }],
    ['a sequence without events', { sequence: 1, events: [] }],
  ])('%s is refused', async (_, wrong) => {
    const job = await openReporter(ingest.telemetry);
    const answer = await post(ingest.url, job, { session: job.session, podID: job.podID, ...wrong });
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'SEQUENCE' } } });
  });

  test('commands come with every answer until they are taken back', async () => {
    const job = await openReporter(ingest.telemetry);
    const stop = { id: 'stop-1', type: 'stop', reason: 'BudgetExceeded' } as const;
    ingest.telemetry.setCommands(job.uid, 1, [stop]);
    for (const sequence of [1, 2]) {
      expect((await post(ingest.url, job, batch(job, sequence, [point(sequence)]))).body.commands).toEqual([stop]);
    }
    ingest.telemetry.setCommands(job.uid, 1, []);
    expect((await post(ingest.url, job, batch(job, 3, [point(3)]))).body.commands).toEqual([]);
  });
});

describe('a replay of the store gives what was live (I7)', () => {
  // A number as JSON keeps it: minus zero comes back as zero.
  const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0);
  const step = fc.nat(500);
  const metrics = fc.dictionary(
    fc.constantFrom(
      'train/loss',
      'eval/accuracy',
      'lr',
      'constructor',
      ...Array.from({ length: 40 }, (_, i) => `m${i}`),
    ),
    fc.option(number),
  );
  const sha256 = fc.constant('a'.repeat(64));
  const events = fc.oneof(
    fc.record({ type: fc.constant('point' as const), step, metrics }),
    fc.record({
      type: fc.constant('evaluation' as const),
      step,
      epoch: fc.option(number),
      evalLoss: fc.option(fc.double({ min: 0, max: 5, noNaN: true })),
      trainLoss: fc.option(fc.double({ min: 0, max: 5, noNaN: true })),
      trainLossStep: fc.option(step),
      metrics,
    }),
    fc.record({
      type: fc.constant('checkpoint' as const),
      step,
      uri: fc.nat(80).map((n) => `file:///c/${n}`),
      manifestSHA256: sha256,
      verified: fc.boolean(),
      removed: fc.boolean(),
    }),
    fc.record({
      type: fc.constant('stage' as const),
      stage: fc.constantFrom('Training' as const, 'Uploading' as const),
    }),
    fc.record({ type: fc.constant('totals' as const), totalSteps: step, evaluationEverySteps: fc.nat(50) }),
    fc.record({ type: fc.constant('log' as const), lines: fc.array(fc.string(), { maxLength: 30 }) }),
    fc.record({
      type: fc.constant('alert' as const),
      name: fc.string({ maxLength: 10 }),
      severity: fc.constant('Info' as const),
      message: fc.string(),
    }),
    fc.record({
      type: fc.constant('final' as const),
      outcome: fc.constant('Failed' as const),
      exitCode: fc.nat(5),
      reason: fc.constant('TrainerFailed'),
      message: fc.string(),
    }),
  );
  const history = fc.array(
    fc.record({
      next: fc.boolean(),
      restart: fc.boolean(),
      repeat: fc.boolean(),
      close: fc.boolean(),
      events: fc.array(events, { minLength: 1, maxLength: 6 }),
    }),
    { maxLength: 25 },
  );

  test('for any history of attempts, sessions, repetitions and ends', async () => {
    await fc.assert(
      fc.asyncProperty(history, async (steps) => {
        const live = await startIngest();
        let job = await openReporter(live.telemetry);
        let sequence = 0;
        for (const { next, restart, repeat, close, events: reported } of steps) {
          if (next) job = await openReporter(live.telemetry, { uid: job.uid, attempt: job.attempt + 1 });
          if (restart) job = { ...job, session: newSession() };
          sequence = next || restart ? 1 : sequence + 1;
          if (close) live.telemetry.closeAttempt(job.uid, job.attempt);
          const body = { session: job.session, sequence, podID: job.podID, events: reported as readonly AgentEvent[] };
          for (let copy = 0; copy <= Number(repeat); copy += 1) {
            const answer = await live.telemetry.accept(job.token, job.uid, job.attempt, body);
            if (answer.kind !== 'accepted' && copy === 0) sequence -= 1;
          }
        }
        const before = live.telemetry.summary(job.uid);
        const attempts = await live.store.attempts();
        await live.stop();
        const replayed = await startIngest({ path: live.path });
        expect(replayed.telemetry.summary(job.uid)).toEqual(before);
        expect(await replayed.store.attempts()).toEqual(attempts);
        await replayed.stop();
        await live.remove();
      }),
      { numRuns: 25 },
    );
  });
});
