import { describe, expect, test } from 'vitest';
import type { AgentEvent } from '../../controller/telemetry/protocol.ts';
import { contact, reduce, type JobTelemetry } from '../../controller/telemetry/summary.ts';
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

  test('keeps what was reached and drops what its former trainer was doing', () => {
    expect(first).toMatchObject({ stage: 'Uploading', eta: { confidence: 'Low' } });
    const second = contact(first, 'u', 2, 'pod-2', 99_000);
    expect(second).toMatchObject({ attempt: 2, podID: 'pod-2', firstContactAt: 99_000, logTail: [], marks: [] });
    expect(second).toMatchObject({ best: { step: 20, verified: true }, step: 20, evaluations: 1 });
    expect(second).not.toHaveProperty('stage');
    expect(second).not.toHaveProperty('eta');
  });

  test('is not disturbed by a word of the former one', () => {
    const second = contact(first, 'u', 2, 'pod-2', 99_000);
    expect(contact(second, 'u', 1, 'pod-1', 100_000)).toBe(second);
  });
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
