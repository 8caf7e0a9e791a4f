import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { initialScorer, scoreEvaluation, type EvaluationReport, type Scoring } from '../../controller/scoring/best.ts';
import { multiMetricScore, scorerVersion, singleMetricScore } from '../../controller/scoring/score.ts';
import { lossTrend, pushLoss, windowSize, type LossWindow } from '../../controller/scoring/window.ts';

interface Vector {
  /** Text for what JSON has no number for: NaN, Infinity, -Infinity. */
  readonly evalLoss: number | string | null;
  readonly trainLoss: number | string | null;
  readonly improvedSincePreviousEval: boolean;
  readonly expected: { readonly score: number; readonly components: Readonly<Record<string, number>> } | null;
}

interface TrajectoryStep {
  readonly step: number;
  readonly evalLoss: number | string | null;
  readonly trainLoss: number | string | null;
  readonly improvedSincePreviousEval: boolean;
  readonly score: number | null;
  readonly bestStep: number | null;
  readonly bestScore: number | null;
}

const data = JSON.parse(readFileSync(new URL('../data/score-vectors.json', import.meta.url), 'utf8')) as {
  readonly vectors: readonly Vector[];
  readonly trajectories: readonly (readonly TrajectoryStep[])[];
};

function loss(value: number | string | null): number | null {
  return typeof value === 'string' ? Number(value) : value;
}

function expectClose(actual: number | undefined, expected: number): void {
  expect(Math.abs((actual ?? Number.NaN) - expected)).toBeLessThanOrEqual(Math.abs(expected) * 1e-9);
}

const multi: Scoring = { strategy: 'MultiMetric' };

function report(changes: Partial<EvaluationReport> = {}): EvaluationReport {
  return { step: 10, evalLoss: 0.5, trainLoss: 0.5, trainLossStep: 10, metrics: {}, ...changes };
}

describe('MultiMetric', () => {
  test.each(data.vectors)('E $evalLoss, T $trainLoss, improved $improvedSincePreviousEval', (vector) => {
    const score = multiMetricScore({
      evalLoss: loss(vector.evalLoss),
      trainLoss: loss(vector.trainLoss),
      improved: vector.improvedSincePreviousEval,
    });
    if (vector.expected === null) {
      expect(score).toBeUndefined();
      return;
    }
    expectClose(score?.score, vector.expected.score);
    expect(Object.keys(score?.components ?? {}).toSorted()).toEqual(Object.keys(vector.expected.components).toSorted());
    for (const [name, value] of Object.entries(vector.expected.components)) expectClose(score?.components[name], value);
  });

  test.each(data.trajectories.map((steps, index) => ({ index, steps })))('trajectory $index', ({ steps }) => {
    let state = initialScorer;
    for (const expected of steps) {
      const scored = scoreEvaluation(
        state,
        report({ step: expected.step, evalLoss: loss(expected.evalLoss), trainLoss: loss(expected.trainLoss) }),
        multi,
      );
      ({ state } = scored);
      if (expected.score === null) expect(scored.score).toBeUndefined();
      else {
        expectClose(scored.score?.score, expected.score);
        expect(scored.improved).toBe(expected.improvedSincePreviousEval);
      }
      expect(state.best?.step ?? null).toBe(expected.bestStep);
      if (expected.bestScore === null) expect(state.best).toBeUndefined();
      else expectClose(state.best?.score, expected.bestScore);
    }
  });

  test('the incumbent keeps its place and its score when a challenger is as good', () => {
    const first = scoreEvaluation(initialScorer, report({ step: 10 }), multi);
    // Same losses, without the bonus for improvement: worse. A lower loss that just repeats the score: not strictly lower.
    const same = scoreEvaluation({ ...first.state, previousEvalLoss: 1 }, report({ step: 20 }), multi);
    expect(same.score?.score).toBe(first.score?.score);
    expect(same.isBest).toBe(false);
    expect(same.state.best).toEqual(first.state.best);
    expect(same.state.sinceBest).toBe(1);
  });

  test('an evaluation that cannot be scored is counted and changes nothing else', () => {
    const first = scoreEvaluation(initialScorer, report(), multi);
    for (const broken of [{ evalLoss: null }, { evalLoss: Number.NaN }, { trainLoss: Number.POSITIVE_INFINITY }]) {
      const next = scoreEvaluation(first.state, report({ step: 20, ...broken }), multi);
      expect(next).toEqual({
        state: { ...first.state, evaluations: 2, unscorable: 1 },
        score: undefined,
        improved: false,
        isBest: false,
      });
    }
  });

  test('the first evaluation that can be scored counts as improved', () => {
    const broken = scoreEvaluation(initialScorer, report({ evalLoss: null }), multi);
    expect(scoreEvaluation(broken.state, report({ step: 20 }), multi).improved).toBe(true);
  });

  test('the best step says what it was scored with', () => {
    const { state } = scoreEvaluation(initialScorer, report({ epoch: 0.5 }), multi);
    expect(state.best).toMatchObject({
      step: 10,
      epoch: 0.5,
      evalLoss: 0.5,
      trainLoss: 0.5,
      trainLossStep: 10,
      scorerVersion,
    });
  });

  test('an epoch that the trainer reported as null is none', () => {
    const { state } = scoreEvaluation(initialScorer, report({ epoch: null as unknown as number }), multi);
    expect(state.best).not.toHaveProperty('epoch');
  });
});

describe('SingleMetric', () => {
  test.each([
    ['eval/loss', 0.7, 'Minimize', 0.7],
    ['eval/auc', 0.9, 'Maximize', -0.9],
    ['eval/loss', 0, 'Minimize', 0],
    ['eval/auc', 0, 'Maximize', -0],
    ['eval/auc', -2, 'Maximize', 2],
  ] as const)('%s of %d to %s scores %d', (name, value, goal, score) => {
    expect(singleMetricScore(name, value, goal)).toEqual({ score, components: { [name]: score } });
  });

  test.each([null, undefined, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    '%s cannot be scored',
    (value) => expect(singleMetricScore('eval/loss', value, 'Minimize')).toBeUndefined(),
  );

  test('eval/loss is the eval loss, any other name one of the metrics; one that is not reported cannot be scored', () => {
    const by = (name: string): Scoring => ({ strategy: 'SingleMetric', metric: { name, goal: 'Minimize' } });
    const reported = report({ evalLoss: 0.25, metrics: { 'eval/error': 0.125 } });
    expect(scoreEvaluation(initialScorer, reported, by('eval/loss')).score?.score).toBe(0.25);
    expect(scoreEvaluation(initialScorer, reported, by('eval/error')).score?.score).toBe(0.125);
    expect(scoreEvaluation(initialScorer, reported, by('eval/f1')).score).toBeUndefined();
    expect(scoreEvaluation(initialScorer, reported, by('constructor')).score).toBeUndefined();
  });

  test('more of what is to be maximized is better', () => {
    const auc: Scoring = { strategy: 'SingleMetric', metric: { name: 'eval/auc', goal: 'Maximize' } };
    let state = initialScorer;
    for (const [step, value] of [
      [10, 0.7],
      [20, 0.9],
      [30, 0.8],
    ] as const) {
      ({ state } = scoreEvaluation(state, report({ step, metrics: { 'eval/auc': value } }), auc));
    }
    expect(state.best?.step).toBe(20);
    expect(state.sinceBest).toBe(1);
  });
});

describe('loss window', () => {
  const pushed = (losses: readonly (number | null)[]): LossWindow => losses.reduce<LossWindow>(pushLoss, []);

  test('keeps the newest ten, oldest first', () => {
    expect(windowSize).toBe(10);
    expect(pushed(Array.from({ length: 25 }, (_, index) => index))).toEqual([15, 16, 17, 18, 19, 20, 21, 22, 23, 24]);
  });

  test('takes zero and what is negative, but nothing that is absent or not finite', () => {
    expect(pushed([0, null, Number.NaN, -1, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0])).toEqual([
      0, -1, -0,
    ]);
  });

  test('does not change the window it was given', () => {
    const before = Object.freeze([1, 2]);
    expect(pushLoss(before, 3)).toEqual([1, 2, 3]);
    expect(before).toEqual([1, 2]);
  });

  test.each([
    ['nothing', [], 'insufficient_data'],
    ['two values', [5, 1], 'insufficient_data'],
    ['three values that fall', [5, 3, 1], 'improving'],
    ['three values that rise', [1, 3, 5], 'degrading'],
    ['the middle of an odd count is in the second half', [1, 5, 1], 'degrading'],
    ['values that stay', [1, 1, 1, 1], 'stable'],
    ['a drop within the threshold', [1.009, 1.009, 1, 1], 'stable'],
    ['a drop beyond it', [1.02, 1.02, 1, 1], 'improving'],
    ['zeros', [0, 0, 0], 'stable'],
  ] as const)('trend of %s', (_, losses, trend) => {
    expect(lossTrend(losses)).toBe(trend);
  });
});
