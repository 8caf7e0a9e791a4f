import { describe, expect, test } from 'vitest';
import { methodResult, type Asked, type Told } from '../demo/methodresult.ts';

const asked: Asked = { rewarded: false, steps: 60, evaluatedEvery: 20, predictionsEach: 2 };
const told = (losses: readonly (number | null)[], best: number): Told => ({
  evaluations: losses.map((evalLoss, index) => ({
    attempt: 1,
    step: 20 * (index + 1),
    evalLoss,
    metrics: { 'eval/reward': evalLoss === null ? null : -evalLoss },
    best: index <= best,
  })),
  predictions: losses.flatMap((_, index) =>
    [0, 1].map((sample) => ({ attempt: 1, step: 20 * (index + 1), sample, generated: 'x' })),
  ),
  points: [1, 30, 60],
});
const good = told([3, 1, 2], 1);

describe('what a demonstration of a method must come to', () => {
  test('a lower loss at its end, with all that was asked for', () => {
    expect(methodResult(good, asked)).toEqual({
      first: 3,
      last: 2,
      best: 1,
      bestStep: 40,
      evaluations: 3,
      problems: [],
    });
  });

  test('a higher reward', () => {
    const { first, last, problems } = methodResult(good, { ...asked, rewarded: true });
    expect([first, last, problems]).toEqual([-3, -2, []]);
    expect(methodResult(told([1, 2, 3], 0), { ...asked, rewarded: true }).problems).toEqual([
      'the held-out reward is -3 at the end, no better than -1 at the first evaluation',
    ]);
  });

  test.each<readonly [string, Told, string]>([
    ['no better', told([1, 2, 1], 0), 'the eval loss is 1 at the end, no better than 1'],
    ['no number', told([1, 2, null], 0), 'the eval loss is NaN at the end'],
    ['an evaluation too few', told([2, 1], 0), 'evaluations are of the steps 20, 40, not 20, 40, 60'],
    ['none at all', told([], -1), 'no step is best'],
    ['a prediction too few', { ...good, predictions: good.predictions.slice(1) }, 'step 20 has 1 predictions, not 2'],
    [
      'a prediction twice',
      { ...good, predictions: [...good.predictions.slice(1), ...good.predictions.slice(1, 2)] },
      'step 20 has 2 predictions, not 2 different ones',
    ],
    ['points that end before', { ...good, points: [1, 30] }, 'points end at step 30, not 60'],
  ])('%s', (_, found, problem) => {
    expect(methodResult(found, asked).problems.join('; ')).toContain(problem);
  });
});
