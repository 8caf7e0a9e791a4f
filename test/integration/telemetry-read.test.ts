import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { initialScorer, scoreEvaluation, type Scoring } from '../../controller/scoring/best.ts';
import {
  batch,
  evaluation,
  get,
  openReporter,
  point,
  post,
  startIngest,
  type Ingest,
  type Reporter,
} from './ingest.ts';

let ingest: Ingest;
beforeAll(async () => {
  ingest = await startIngest();
});
afterAll(async () => {
  await ingest.stop();
  await ingest.remove();
});

const read = async (job: Reporter, what: string) => {
  const answer = await get(`${ingest.url}/v1/jobs/${job.uid}/${what}`, { authorization: 'Bearer of-a-reader' });
  expect(answer.status).toBe(200);
  return answer.body;
};

describe('points', () => {
  let job: Reporter;
  beforeAll(async () => {
    job = await openReporter(ingest.telemetry);
    for (let sequence = 1; sequence <= 5; sequence += 1) {
      const events = Array.from({ length: 5 }, (_, index) => {
        const step = (sequence - 1) * 5 + index;
        return { ...point(step, { 'train/loss': step, ...(step % 2 === 0 && { lr: 0.1 }) }), epoch: step / 10 };
      });
      await post(ingest.url, job, batch(job, sequence, [{ type: 'stage', stage: 'Training' }, ...events]));
    }
    job = await openReporter(ingest.telemetry, { uid: job.uid, attempt: 2 });
    await post(ingest.url, job, batch(job, 1, [point(20, { 'train/loss': null })]));
  });

  const steps = (page: { items: { step: number }[] }): number[] => page.items.map(({ step }) => step);
  const upTo = (end: number): number[] => Array.from({ length: end }, (_, step) => step);

  test('all of them, in the order of their acceptance, with what was reported', async () => {
    const page = await read(job, 'points');
    expect(steps(page)).toEqual([...upTo(25), 20]);
    expect(page.continue).toBeNull();
    expect(page.items[3]).toEqual({
      attempt: 1,
      step: 3,
      epoch: 0.3,
      time: expect.stringMatching(/^\d{4}-.*Z$/),
      metrics: { 'train/loss': 3 },
    });
    expect(page.items[25]).toMatchObject({ attempt: 2, metrics: { 'train/loss': null } });
  });

  test.each([
    ['attempt=2', [20]],
    ['attempt=3', []],
    ['afterStep=22', [23, 24]],
    ['metric=lr', upTo(25).filter((step) => step % 2 === 0)],
    ['metric=toString', []],
    ['metric=lr&afterStep=20&attempt=1', [22, 24]],
  ])('%s', async (query, expected) => {
    const page = await read(job, `points?${query}`);
    expect(steps(page)).toEqual(expected);
    if (query.includes('metric=lr')) for (const item of page.items) expect(item.metrics).toEqual({ lr: 0.1 });
  });

  test.each([1, 4, 5, 7, 26, 100])('in pages of %i: none twice, none left out, in order', async (limit) => {
    const seen: number[] = [];
    let pages = 0;
    for (let from: string | null = ''; from !== null; pages += 1) {
      const page = await read(job, `points?limit=${limit}${from === '' ? '' : `&continue=${from}`}`);
      expect(page.items.length).toBeLessThanOrEqual(limit);
      seen.push(...steps(page));
      from = page.continue;
    }
    expect(seen).toEqual([...upTo(25), 20]);
    expect(pages).toBe(Math.ceil(26 / limit));
  });

  test('what came after a page was read is on the next one', async () => {
    const other = await openReporter(ingest.telemetry);
    await post(ingest.url, other, batch(other, 1, [point(1), point(2)]));
    const first = await read(other, 'points?limit=1');
    await post(ingest.url, other, batch(other, 2, [point(3)]));
    expect(steps(await read(other, `points?continue=${first.continue}`))).toEqual([2, 3]);
  });

  test.each([
    ['limit=0', 'limit must match'],
    ['limit=ten', 'limit must match'],
    ['continue=abc', 'continue must match'],
    ['attempt=0', 'attempt must match'],
    ['page=2', 'the querystring has the member "page"'],
  ])('?%s is refused', async (query, sentence) => {
    const answer = await get(`${ingest.url}/v1/jobs/${job.uid}/points?${query}`, { authorization: 'Bearer x' });
    expect(answer.status).toBe(400);
    expect(answer.body.error.message).toContain(sentence);
  });
});

describe('evaluations', () => {
  test('with the score that the formula gives, its components, and which were the best so far', async () => {
    const job = await openReporter(ingest.telemetry);
    const losses: readonly (readonly [number | null, number | null])[] = [
      [1, 0.9],
      [0.8, 0.85],
      [null, 0.7],
      [0.9, 0.6],
      [0.5, null],
    ];
    await post(
      ingest.url,
      job,
      batch(job, 1, [point(1), evaluation(10, ...losses[0]!), evaluation(20, ...losses[1]!)]),
    );
    await post(ingest.url, job, batch(job, 2, [point(21)]));
    await post(
      ingest.url,
      job,
      batch(
        job,
        3,
        losses.slice(2).map(([e, t], index) => evaluation(30 + index, e, t)),
      ),
    );
    const { items } = await read(job, 'evaluations');
    expect(items.map((item: { step: number }) => item.step)).toEqual([10, 20, 30, 31, 32]);
    // 0.5·1 + 0.3·0.1 + 0.1·e/20 − 0.1, worked out by hand.
    expect(items[0].score).toBeCloseTo(0.4435914, 6);
    expect(items[0].components.gap).toBeCloseTo(0.03, 12);
    let state = initialScorer;
    for (const item of items) {
      const scored = scoreEvaluation(state, item, { strategy: 'MultiMetric' });
      state = scored.state;
      expect(item).toMatchObject({
        score: scored.score?.score ?? null,
        components: scored.score?.components ?? null,
        improved: scored.improved,
        best: scored.isBest,
      });
    }
    expect(items.map((item: { best: boolean }) => item.best)).toEqual([true, true, false, false, true]);
    expect(items[2]).toMatchObject({ evalLoss: null, score: null, components: null });
    expect(ingest.telemetry.summary(job.uid)?.best).toMatchObject({ step: 32, score: items[4].score });
  });

  test('by one metric, where the job is scored so', async () => {
    const scoring: Scoring = { strategy: 'SingleMetric', metric: { name: 'eval/accuracy', goal: 'Maximize' } };
    const job = await openReporter(ingest.telemetry, { scoring });
    const events = [0.7, 0.9, 0.8].map((accuracy, step) => ({
      ...evaluation(step, 1),
      metrics: { 'eval/accuracy': accuracy },
    }));
    await post(ingest.url, job, batch(job, 1, events));
    const { items } = await read(job, 'evaluations');
    expect(items.map((item: { score: number }) => item.score)).toEqual([-0.7, -0.9, -0.8]);
    expect(items[1]).toMatchObject({
      best: true,
      components: { 'eval/accuracy': -0.9 },
      metrics: { 'eval/accuracy': 0.9 },
    });
  });

  const bests = async (job: Reporter): Promise<readonly unknown[]> =>
    (await read(job, 'evaluations')).items.map((item: { attempt: number; step: number; best: boolean }) => [
      item.attempt,
      item.step,
      item.best,
    ]);

  test('a later attempt begins anew', async () => {
    const first = await openReporter(ingest.telemetry);
    await post(ingest.url, first, batch(first, 1, [evaluation(10, 0.5)]));
    const second = await openReporter(ingest.telemetry, { uid: first.uid, attempt: 2 });
    await post(ingest.url, second, batch(second, 1, [evaluation(5, 0.9), evaluation(15, 0.95)]));
    expect(await bests(first)).toEqual([
      [1, 10, true],
      [2, 5, true],
      [2, 15, false],
    ]);
    expect(ingest.telemetry.summary(first.uid)?.best?.step).toBe(5);
  });

  test('one that resumes goes on from the state that its checkpoint was reported with, as the live scorer does', async () => {
    const uri = 'file:///c/20';
    const first = await openReporter(ingest.telemetry);
    const stored = { type: 'checkpoint', step: 20, uri, manifestSHA256: 'b'.repeat(64), verified: true };
    await post(ingest.url, first, batch(first, 1, [evaluation(10, 0.9), evaluation(20, 0.5), stored]));
    await post(ingest.url, first, batch(first, 2, [evaluation(30, 0.3)]));
    const second = await openReporter(ingest.telemetry, { uid: first.uid, attempt: 2 });
    const resumed = { type: 'resumed', step: 20, uri, rejected: [{ uri: 'file:///c/30', reason: 'it is gone' }] };
    await post(
      ingest.url,
      second,
      batch(second, 1, [{ type: 'started', trainerVersion: '1', deadMan: 'Armed' }, resumed]),
    );
    await post(ingest.url, second, batch(second, 2, [point(25), evaluation(30, 0.6), evaluation(40, 0.4)]));
    expect(await bests(first)).toEqual([
      [1, 10, true],
      [1, 20, true],
      [1, 30, true],
      [2, 30, false],
      [2, 40, true],
    ]);
    const summary = ingest.telemetry.summary(first.uid);
    expect(summary).toMatchObject({ resumedFromStep: 20, deadMan: 'Armed', best: { step: 40 }, evaluations: 4 });
    const { items } = await read(first, 'evaluations');
    expect(summary?.best?.score).toBe(items[4].score);
  });
});

describe('predictions', () => {
  const told = (step: number, sample: number) => ({
    type: 'prediction',
    step,
    sample,
    row: 7 + sample,
    prompt: `Question ${sample}`,
    expected: sample === 1 ? null : 'Yes.',
    generated: `Answer of step ${step}`,
    promptTokens: 4,
    generatedTokens: 5,
    finishReason: 'stop',
    scores: { exact_match: 0, reward: null },
  });
  let job: Reporter;
  beforeAll(async () => {
    job = await openReporter(ingest.telemetry);
    const events = (step: number) => [told(step, 0), told(step, 1), evaluation(step, 1 / step)];
    await post(ingest.url, job, batch(job, 1, [point(1), ...events(10)]));
    // The answer was lost on its way, and the batch comes again.
    await post(ingest.url, job, batch(job, 1, [point(1), ...events(10)]));
    await post(ingest.url, job, batch(job, 2, [point(11)]));
    await post(ingest.url, job, batch(job, 3, events(20)));
    job = await openReporter(ingest.telemetry, { uid: job.uid, attempt: 2 });
    await post(ingest.url, job, batch(job, 1, events(20)));
  });

  const seen = (page: { items: { attempt: number; step: number; sample: number }[] }) =>
    page.items.map(({ attempt, step, sample }) => [attempt, step, sample]);

  test('each once, as it was told, in order', async () => {
    const page = await read(job, 'predictions');
    expect(seen(page)).toEqual(
      [1, 1, 2].flatMap((attempt, index) => [0, 1].map((n) => [attempt, [10, 20, 20][index], n])),
    );
    const { type: _type, ...rest } = told(10, 1);
    expect(page.items[1]).toEqual({ attempt: 1, ...rest, time: expect.stringMatching(/^\d{4}-.*Z$/) });
    expect(page.continue).toBeNull();
  });

  test.each([
    [
      'step=10',
      [
        [1, 10, 0],
        [1, 10, 1],
      ],
    ],
    [
      'step=20&attempt=2',
      [
        [2, 20, 0],
        [2, 20, 1],
      ],
    ],
    ['step=11', []],
    [
      'afterStep=10&attempt=1',
      [
        [1, 20, 0],
        [1, 20, 1],
      ],
    ],
  ])('%s', async (query, expected) => {
    expect(seen(await read(job, `predictions?${query}`))).toEqual(expected);
  });

  test('in pages', async () => {
    const first = await read(job, 'predictions?limit=3');
    expect(seen(first)).toHaveLength(3);
    const next = await read(job, `predictions?continue=${first.continue}`);
    expect([...seen(first), ...seen(next)]).toEqual(seen(await read(job, 'predictions')));
  });

  test('they are no points, and a summary knows nothing of them', async () => {
    expect((await read(job, 'points')).items.map(({ step }: { step: number }) => step)).toEqual([1, 11]);
    expect(JSON.stringify(ingest.telemetry.summary(job.uid))).not.toContain('Answer of step');
  });

  test('with the job they are forgotten', async () => {
    const gone = await openReporter(ingest.telemetry);
    await post(ingest.url, gone, batch(gone, 1, [told(10, 0)]));
    expect((await ingest.store.batches(0, 100, gone.uid)).map(({ payload }) => JSON.parse(payload))).toEqual([
      [told(10, 0)],
    ]);
    ingest.telemetry.forgetJob(gone.uid);
    await vi.waitFor(async () => expect(await ingest.store.batches(0, 100, gone.uid)).toEqual([]));
  });
});

test('checkpoints: the ones that are there, verified or not', async () => {
  const job = await openReporter(ingest.telemetry);
  const checkpoint = (step: number, more: object) => ({
    type: 'checkpoint',
    step,
    uri: `file:///c/${step}`,
    manifestSHA256: 'b'.repeat(64),
    verified: true,
    ...more,
  });
  const events = [
    checkpoint(10, {}),
    checkpoint(20, { verified: false }),
    checkpoint(30, {}),
    checkpoint(10, { removed: true }),
  ];
  await post(ingest.url, job, batch(job, 1, events));
  const { items } = await read(job, 'checkpoints');
  expect(items).toEqual([
    {
      attempt: 1,
      step: 20,
      uri: 'file:///c/20',
      manifestSHA256: 'b'.repeat(64),
      verified: false,
      time: expect.stringContaining('T'),
    },
    {
      attempt: 1,
      step: 30,
      uri: 'file:///c/30',
      manifestSHA256: 'b'.repeat(64),
      verified: true,
      time: expect.stringContaining('T'),
    },
  ]);
});
