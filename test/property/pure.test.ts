import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nextConditions, type ConditionState } from '../../controller/api/conditions.ts';
import { parsePodName, podName } from '../../controller/api/identity.ts';
import type { Condition, TrainingJobSpec } from '../../controller/api/trainingjob.ts';
import { rate } from '../../controller/reconcile/attempts.ts';
import { decimal } from '../../controller/reconcile/reported.ts';
import { specHash } from '../../controller/reconcile/trainerconfig.ts';
import { initialScorer, scoreEvaluation, type EvaluationReport } from '../../controller/scoring/best.ts';
import { lossTrend, pushLoss, type LossWindow } from '../../controller/scoring/window.ts';
import { spec } from '../unit/snapshot.ts';
import { explore } from './runs.ts';

explore(1000);

const letters = (alphabet: string, length: number): fc.Arbitrary<string> =>
  fc
    .array(fc.constantFrom(...alphabet.split('')), { minLength: length, maxLength: length })
    .map((found) => found.join(''));

test('any job has a pod name of at most 64 characters that gives back its identity', () => {
  const identity = fc.record({
    installation: letters('abcdefghijklmnopqrstuvwxyz0123456789', 6),
    uid12: letters('0123456789abcdef', 12),
    attempt: fc.integer({ min: 1, max: 9_999_999_999 }),
    nonce: letters('abcdefghijklmnopqrstuvwxyz0123456789', 4),
  });
  fc.assert(
    fc.property(identity, fc.oneof(fc.string(), fc.string({ unit: 'binary' })), (given, job) => {
      const name = podName(given, job);
      expect(parsePodName(name)).toEqual(given);
      expect(name).toMatch(/^[a-z0-9-]{1,64}$/);
      expect(name).not.toMatch(/-$/);
    }),
  );
});

test('no other text is taken for a pod name', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const found = parsePodName(text);
      if (found) expect(podName(found, 'x').startsWith(text.slice(0, text.indexOf(found.nonce)))).toBe(true);
    }),
  );
});

const losses = fc.array(
  fc.oneof(
    fc.double({ min: -10, max: 10 }),
    fc.constantFrom(null, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0),
  ),
  { maxLength: 40 },
);

test('the loss window is the last ten finite losses, as a bounded queue would hold them', () => {
  fc.assert(
    fc.property(losses, (given) => {
      const window = given.reduce<LossWindow>(pushLoss, []);
      const queue: number[] = [];
      for (const loss of given) {
        if (loss === null || !Number.isFinite(loss)) continue;
        queue.push(loss);
        if (queue.length > 10) queue.shift();
      }
      expect(window).toEqual(queue);
      expect(lossTrend(window) === 'insufficient_data').toBe(queue.length < 3);
    }),
  );
});

test('losses that fall by more than the threshold improve, the same backwards degrade', () => {
  fc.assert(
    fc.property(fc.integer({ min: 3, max: 10 }), fc.double({ min: 0.05, max: 5, noNaN: true }), (length, step) => {
      const falling = Array.from({ length }, (_, index) => 10 - index * step);
      expect(lossTrend(falling)).toBe('improving');
      expect(lossTrend(falling.toReversed())).toBe('degrading');
    }),
  );
});

const loss = fc.oneof(
  { weight: 6, arbitrary: fc.double({ min: 0, max: 5, noNaN: true }) },
  { weight: 1, arbitrary: fc.constantFrom(null, Number.NaN, Number.POSITIVE_INFINITY, 0, 1e308) },
);
const evaluations = fc
  .array(fc.record({ evalLoss: loss, trainLoss: loss }), { maxLength: 30 })
  .map((given) =>
    given.map((entry, index): EvaluationReport => ({ ...entry, step: index * 10, trainLossStep: null, metrics: {} })),
  );

describe('scoring', () => {
  test('the best is the first of the lowest scores, and never gets worse', () => {
    fc.assert(
      fc.property(evaluations, (reports) => {
        let state = initialScorer;
        let lowest: { readonly step: number; readonly score: number } | undefined;
        for (const [index, report] of reports.entries()) {
          const scored = scoreEvaluation(state, report, { strategy: 'MultiMetric' });
          if (scored.score) {
            expect(Number.isFinite(scored.score.score)).toBe(true);
            if (!lowest || scored.score.score < lowest.score) lowest = { step: report.step, score: scored.score.score };
          } else expect(scored.state.best).toBe(state.best);
          ({ state } = scored);
          expect(state.best && { step: state.best.step, score: state.best.score }).toEqual(lowest);
          expect(state.evaluations).toBe(index + 1);
          expect(state.sinceBest).toBeLessThanOrEqual(index);
        }
      }),
    );
  });

  test('components add up to the score', () => {
    fc.assert(
      fc.property(evaluations, (reports) => {
        for (const report of reports) {
          const { score } = scoreEvaluation(initialScorer, report, { strategy: 'MultiMetric' });
          if (!score) continue;
          const sum = Object.values(score.components).reduce((total, part) => total + part, 0);
          expect(Math.abs(sum - score.score)).toBeLessThanOrEqual(Math.abs(score.score) * 1e-9 + 1e-12);
        }
      }),
    );
  });
});

test('a transition time moves exactly when the status does', () => {
  const states = fc.array(fc.tuple(fc.boolean(), fc.constantFrom('A', 'B')), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(states, (history) => {
      let written: Condition[] = [];
      let since = '';
      let last: boolean | undefined;
      for (const [index, [status, reason]] of history.entries()) {
        const now = `2026-03-01T12:00:${String(index).padStart(2, '0')}Z`;
        if (status !== last) since = now;
        last = status;
        const wanted: ConditionState = { type: 'Ready', status, reason, message: '' };
        written = nextConditions(written, [wanted], 1, now);
        expect(written).toMatchObject([{ lastTransitionTime: since, reason }]);
      }
    }),
  );
});

test('a decimal reads back as the same number to six digits, and fits into status', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
      const text = decimal(value);
      expect(text.length).toBeLessThanOrEqual(32);
      expect(Math.abs(Number(text) - value)).toBeLessThanOrEqual(Math.abs(value) * 5.1e-6);
    }),
  );
});

test('a rate reads back as it was charged, to a hundredth of a cent', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 10_000_000 }), (hundredths) => {
      const text = rate(hundredths / 1e4);
      expect(Math.round(Number(text) * 1e4)).toBe(hundredths);
      expect(text).toMatch(/^\d+\.\d{2,4}$/);
    }),
  );
});

test('the hash of a spec does not see the order of keys, at any depth', () => {
  const shuffled = (value: unknown, order: number): unknown => {
    if (Array.isArray(value)) return value.map((entry) => shuffled(entry, order));
    if (value === null || typeof value !== 'object') return value;
    const entries = Object.entries(value);
    const from = order % Math.max(1, entries.length);
    return Object.fromEntries(
      [...entries.slice(from), ...entries.slice(0, from)].map(([key, inner]) => [key, shuffled(inner, order + 1)]),
    );
  };
  const env = fc.array(fc.record({ name: fc.constantFrom('A', 'B_2'), value: fc.string() }), { maxLength: 4 });
  fc.assert(
    fc.property(env, fc.nat(5), fc.nat(100), (variables, everySteps, order) => {
      const given: TrainingJobSpec = {
        ...spec,
        trainer: { ...spec.trainer, env: variables },
        evaluation: { everySteps },
      };
      expect(specHash(shuffled(given, order) as TrainingJobSpec)).toBe(specHash(given));
    }),
  );
});
