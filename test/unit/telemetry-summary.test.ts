import { describe, expect, test } from 'vitest';
import type { AgentEvent } from '../../controller/telemetry/protocol.ts';
import { resumable, settledBest } from '../../controller/telemetry/checkpoints.ts';
import type { JobTelemetry } from '../../controller/telemetry/jobtelemetry.ts';
import { contact, reduce } from '../../controller/telemetry/summary.ts';
import { scoreEvaluation, initialScorer } from '../../controller/scoring/best.ts';
import { eta, pushMark, type PaceMark } from '../../controller/telemetry/eta.ts';

const scoring = { strategy: 'MultiMetric' } as const;
const begun = contact(undefined, 'u', 1, 'pod-1', 0);
const after = (job: JobTelemetry, ...events: readonly AgentEvent[]): JobTelemetry =>
  events.reduce((sum, event, index) => reduce(sum, event, scoring, (index + 1) * 1000), job);
const evaluation = (step: number, evalLoss: number): AgentEvent => ({
  type: 'evaluation',
  step,
  evalLoss,
  trainLoss: null,
  trainLossStep: null,
  metrics: {},
});
const checkpoint = (step: number, more: object = {}): AgentEvent => ({
  type: 'checkpoint',
  step,
  uri: `file:///c/${step}`,
  manifestSHA256: 'a'.repeat(64),
  verified: true,
  ...more,
});
const point = (step: number, metrics: Record<string, number | null> = {}): AgentEvent => ({
  type: 'point',
  step,
  metrics,
});

describe('the best step (promise 3)', () => {
  test('is named at once, and its weights only when they are verified', () => {
    const named = after(begun, evaluation(10, 0.5), checkpoint(10, { verified: false }));
    expect(named.best).toMatchObject({ step: 10, verified: false });
    expect(named.best).not.toHaveProperty('uri');
    expect(after(named, checkpoint(10)).best).toMatchObject({ step: 10, verified: true, uri: 'file:///c/10' });
  });

  test('loses its address when its checkpoint was removed', () => {
    const gone = after(begun, evaluation(10, 0.5), checkpoint(10), checkpoint(10, { removed: true }));
    expect(gone.best).toMatchObject({ step: 10, verified: false });
    expect(gone.best).not.toHaveProperty('uri');
    expect(gone).not.toHaveProperty('latestCheckpoint');
  });

  test('of a checkpoint that came before its evaluation', () => {
    expect(after(begun, checkpoint(10), evaluation(10, 0.5)).best).toMatchObject({
      verified: true,
      uri: 'file:///c/10',
    });
  });
});

describe('a later attempt', () => {
  const first = after(
    { ...begun, totalSteps: 100 },
    point(10),
    point(20),
    evaluation(20, 0.5),
    checkpoint(20),
    { type: 'stage', stage: 'Uploading' },
    { type: 'log', lines: ['old'] },
  );

  test('begins anew; what was stored and how the former one ended stay', () => {
    expect(first).toMatchObject({ stage: 'Uploading', eta: { confidence: 'Low' } });
    const second = contact(first, 'u', 2, 'pod-2', 99_000);
    expect(second).toMatchObject({ attempt: 2, podID: 'pod-2', firstContactAt: 99_000, logTail: [], marks: [] });
    expect(second).toMatchObject({ evaluations: 0, checkpoints: [{ step: 20, attempt: 1 }], metrics: [] });
    for (const gone of ['stage', 'eta', 'best', 'step', 'firstStep', 'progressAt'])
      expect(second).not.toHaveProperty(gone);
  });

  test('is not disturbed by a word of the former one', () => {
    const second = contact(first, 'u', 2, 'pod-2', 99_000);
    expect(contact(second, 'u', 1, 'pod-1', 100_000)).toBe(second);
  });
});

describe('an attempt that resumes', () => {
  const resumed = (step: number, uri: string | null, rejected: readonly string[] = []): AgentEvent => ({
    type: 'resumed',
    step,
    uri,
    rejected: rejected.map((entry) => ({ uri: entry, reason: 'its files do not match' })),
  });
  const first = after(
    begun,
    evaluation(10, 0.9),
    checkpoint(10),
    evaluation(20, 0.5),
    checkpoint(20),
    evaluation(30, 0.7),
    checkpoint(30),
    evaluation(40, 0.1),
  );
  const second = contact(first, 'u', 2, 'pod-2', 99_000);
  /** The scorer after these evaluations of one undisturbed run. */
  const straight = (...losses: readonly number[]): JobTelemetry['scorer'] =>
    losses.reduce((state, loss, index) => {
      const report = { step: (index + 1) * 10, evalLoss: loss, trainLoss: null, trainLossStep: null, metrics: {} };
      return scoreEvaluation(state, report, scoring).state;
    }, initialScorer);

  test('goes on with the scorer as of the step of that checkpoint', () => {
    const job = after(second, resumed(30, 'file:///c/30'));
    expect(job.scorer).toEqual(straight(0.9, 0.5, 0.7));
    expect(job).toMatchObject({ resumedFromStep: 30, step: 30, evaluations: 3, evalsSinceBest: 1 });
    expect(job.best).toMatchObject({ step: 20, verified: true, uri: 'file:///c/20' });
    const on = after(job, evaluation(40, 0.6), evaluation(50, 0.2));
    expect(on.scorer).toEqual(straight(0.9, 0.5, 0.7, 0.6, 0.2));
    expect(on.firstStep).toBe(40);
  });

  test('from an older one, as those after it are broken: they are verified no more', () => {
    const job = after(second, resumed(10, 'file:///c/10', ['file:///c/30', 'file:///c/20']));
    expect(job.scorer).toEqual(straight(0.9));
    expect(job.checkpoints.map(({ step, verified }) => [step, verified])).toEqual([
      [10, true],
      [20, false],
      [30, false],
    ]);
    expect(job.latestCheckpoint).toMatchObject({ step: 30, verified: false });
    expect(resumable(job, 1)).toMatchObject({ checkpoints: [{ step: 10 }] });
  });

  test.each([
    ['the start, as none was good', resumed(0, null, ['file:///c/30', 'file:///c/20', 'file:///c/10'])],
    ['a checkpoint that nobody knows', resumed(30, 'file:///elsewhere')],
  ])('from %s scores anew', (_, event) => {
    const job = after(second, event);
    expect(job.scorer).toEqual(initialScorer);
    expect(job).not.toHaveProperty('best');
    expect(job).not.toHaveProperty('evalsSinceBest');
    expect(after(job, evaluation(10, 5)).best).toMatchObject({ step: 10 });
  });

  test('without a word of it scores anew', () => {
    expect(after(second, evaluation(10, 5)).scorer).toEqual(straight(5));
  });

  test('a checkpoint that is reported again keeps the scorer of its first report', () => {
    const late = after(
      begun,
      evaluation(10, 0.9),
      checkpoint(10, { verified: false }),
      evaluation(20, 0.5),
      checkpoint(10),
    );
    const job = after(contact(late, 'u', 2, 'pod-2', 99_000), resumed(10, 'file:///c/10'));
    expect(job.scorer).toEqual(straight(0.9));
  });

  test('a checkpoint whose upload took longer than the next evaluation has the scorer as of its step', () => {
    const late = after(begun, evaluation(10, 0.9), evaluation(20, 0.5), checkpoint(10));
    expect(late.checkpoints[0]).toMatchObject({ step: 10, scored: { step: 10, evalLoss: 0.9 } });
    const job = after(contact(late, 'u', 2, 'pod-2', 99_000), resumed(10, 'file:///c/10'));
    expect(after(job, evaluation(20, 0.5)).scorer).toEqual(straight(0.9, 0.5));
  });

  test('a checkpoint between two evaluations has the scorer as of the one before', () => {
    const late = after(begun, evaluation(10, 0.9), evaluation(20, 0.5), checkpoint(15));
    expect(late.checkpoints[0]).not.toHaveProperty('scored');
    const job = after(contact(late, 'u', 2, 'pod-2', 99_000), resumed(15, 'file:///c/15'));
    expect(after(job, evaluation(20, 0.5)).scorer).toEqual(straight(0.9, 0.5));
  });

  test('offers at most the newest eight', () => {
    const many = after(begun, ...Array.from({ length: 12 }, (_, index) => checkpoint(index + 1)));
    expect(resumable(many, 1)?.checkpoints.map(({ step }) => step)).toEqual([12, 11, 10, 9, 8, 7, 6, 5]);
    expect(resumable(many, 2)).toBeNull();
    expect(resumable(undefined, 1)).toBeNull();
    expect(resumable(after(begun, checkpoint(1, { verified: false })), 1)).toBeNull();
  });

  describe('a leader whose weights were never verified', () => {
    test('falls back to the best step that has them', () => {
      expect(first.best).toMatchObject({ step: 40, verified: false });
      expect(settledBest(first)).toMatchObject({ step: 20, verified: true, uri: 'file:///c/20', evalLoss: 0.5 });
    });

    test.each([
      ['a verified leader stays', after(first, checkpoint(40)), 40],
      ['nothing verified: the leader stays, unverified', after(begun, evaluation(10, 0.5)), 10],
      ['an unverified one is none', after(begun, checkpoint(10, { verified: false }), evaluation(10, 0.5)), 10],
      ['a removed one is none', after(first, checkpoint(20, { removed: true })), 30],
      ['one that the attempt came from counts', after(second, resumed(30, 'file:///c/30'), evaluation(40, 0.1)), 20],
      [
        'one that lies beyond where it came from does not',
        after(second, resumed(10, 'file:///c/10'), evaluation(20, 0.1)),
        10,
      ],
      ['none of an attempt that it did not come from', after(second, evaluation(10, 3)), 10],
    ])('%s', (_, job, step) => expect(settledBest(job)?.step).toBe(step));

    test('is told by an evaluation that came after its checkpoint, too', () => {
      const job = after(begun, checkpoint(10), evaluation(10, 0.5), evaluation(20, 0.4));
      expect(settledBest(job)).toMatchObject({ step: 10, verified: true });
    });

    test('the same step of an attempt that it did not come from has other weights', () => {
      const anew = after(second, evaluation(20, 0.1));
      expect(anew.best).toMatchObject({ step: 20, verified: false });
      expect(after(anew, checkpoint(20)).best).toMatchObject({ step: 20, verified: true });
    });

    test('without any evaluation there is no best', () =>
      expect(settledBest(after(begun, checkpoint(10)))).toBeUndefined());
  });
});

describe('progress', () => {
  const stage = (detail?: string): AgentEvent => ({
    type: 'stage',
    stage: 'Downloading',
    ...(detail !== undefined && { detail }),
  });
  const told = after(begun, point(10), stage('1 of 9 MB'));
  test.each<readonly [string, AgentEvent, boolean]>([
    ['a further step', point(11), true],
    ['the same step', point(10), false],
    ['a step back', point(9), false],
    ['an evaluation of the same step', evaluation(10, 1), false],
    ['an evaluation of a further step', evaluation(20, 1), true],
    ['another stage', { type: 'stage', stage: 'Training' }, true],
    ['the same stage, further', stage('2 of 9 MB'), true],
    ['the same stage, no further', stage('1 of 9 MB'), false],
    ['a checkpoint', checkpoint(10), true],
    ['totals', { type: 'totals', totalSteps: 5 }, true],
    ['words', { type: 'log', lines: ['still here'] }, false],
    ['an alert', { type: 'alert', name: 'A', severity: 'Info', message: '' }, false],
    ['a start', { type: 'started', trainerVersion: '1' }, false],
  ])('%s', (_, event, further) => {
    expect(reduce(told, event, scoring, 50_000).progressAt).toBe(further ? 50_000 : 2000);
  });

  test('is not known of a trainer that tells none', () => {
    expect(after(begun, { type: 'started', trainerVersion: '1' })).not.toHaveProperty('progressAt');
  });
});

test('whether the pod can end itself', () => {
  const job = after(begun, { type: 'started', trainerVersion: '1', deadMan: 'Unarmed' });
  expect(job.deadMan).toBe('Unarmed');
  expect(contact(job, 'u', 2, 'pod-2', 9)).not.toHaveProperty('deadMan');
});

test('the first final report of an attempt stands', () => {
  const final = (exitCode: number): AgentEvent => ({
    type: 'final',
    outcome: 'Failed',
    exitCode,
    reason: 'TrainerFailed',
    message: '',
  });
  expect(after(begun, final(1), final(2)).finals).toMatchObject({ 1: { exitCode: 1 } });
});

test('a metric that was not finite keeps its former value and is counted', () => {
  const job = after(begun, point(1, { lr: 0.5 }), { type: 'point', step: 2, metrics: { lr: null }, nonFinite: ['lr'] });
  expect(job.metrics).toEqual([{ name: 'lr', value: 0.5, step: 1, best: 0.5, bestStep: 1 }]);
  expect(job.nonFiniteCount).toBe(1);
});

test.each([
  ['train/loss', [3, 1, 2], 1, 1],
  ['eval/accuracy', [0.1, 0.9, 0.5], 0.9, 1],
  ['eval/rmse', [0, 5, -1], -1, 2],
])('the best of %s', (name, values, best, bestStep) => {
  const job = after(begun, ...values.map((value, step) => point(step, { [name]: value })));
  expect(job.metrics).toEqual([{ name, value: values.at(-1), step: values.length - 1, best, bestStep }]);
});

test.each([
  [0, 50, undefined, 50],
  [49, 50, 100, 50],
  [50, 50, 120, 100],
  [110, 50, 120, 120],
  [5, 0, 120, undefined],
])('at step %i with an evaluation every %i of %s steps, the next is at %s', (step, every, totalSteps, next) => {
  const totals: AgentEvent = { type: 'totals', totalSteps: totalSteps ?? 0, evaluationEverySteps: every };
  const job = totalSteps === undefined ? { ...begun, evaluationEverySteps: every } : after(begun, totals);
  expect(after(job, point(step)).nextEvaluationStep).toBe(next);
});

describe('the estimate of what remains', () => {
  const steady = (count: number): readonly PaceMark[] =>
    Array.from({ length: count }, (_, index) => ({ step: index * 10, atMs: index * 2000 }));

  test.each([
    ['no mark', [], 0, 100, undefined],
    ['one mark', steady(1), 0, 100, undefined],
    ['no total', steady(3), 20, undefined, undefined],
    ['few marks', steady(3), 20, 100, { remainingSeconds: 16, confidence: 'Low' }],
    ['some marks', steady(5), 40, 100, { remainingSeconds: 12, confidence: 'Medium' }],
    ['many marks, hardly begun', steady(8), 70, 10_000, { remainingSeconds: 1986, confidence: 'Medium' }],
    ['many marks', steady(9), 80, 100, { remainingSeconds: 4, confidence: 'High' }],
    ['past the end', steady(9), 120, 100, { remainingSeconds: 0, confidence: 'High' }],
    [
      'no step done',
      [
        { step: 5, atMs: 0 },
        { step: 5, atMs: 9000 },
      ],
      5,
      100,
      undefined,
    ],
    ['centuries', steady(9), 80, 1e15, undefined],
  ])('%s', (_, marks, step, total, expected) => {
    expect(eta(marks, step, total)).toEqual(expected);
  });

  test('marks are kept a second apart, the newest twelve, and begin anew when the step goes back', () => {
    let marks: readonly PaceMark[] = [];
    for (let index = 0; index < 40; index += 1) marks = pushMark(marks, { step: index, atMs: index * 500 });
    expect(marks).toHaveLength(12);
    expect(marks.at(-1)).toEqual({ step: 38, atMs: 19_000 });
    expect(pushMark(marks, { step: 3, atMs: 30_000 })).toEqual([{ step: 3, atMs: 30_000 }]);
  });
});

describe('a search', () => {
  const told = (complete: number, more: object = {}): AgentEvent => ({
    type: 'search',
    time: '2026-01-01T00:00:00Z',
    trials: 9,
    complete,
    pruned: 0,
    failed: 0,
    ...more,
  });

  test('is what was told of it last, and each trial is progress', () => {
    const job = after(begun, told(1, { bestTrial: 1, bestParameters: { c: '1' } }), told(2));
    expect(job.search).toEqual({ trials: 9, complete: 2, pruned: 0, failed: 0 });
    expect(job.progressAt).toBe(2000);
  });

  test('a new attempt says itself what it goes on with', () => {
    expect(contact(after(begun, told(1)), 'u', 2, 'pod-2', 9000)).not.toHaveProperty('search');
  });
});
