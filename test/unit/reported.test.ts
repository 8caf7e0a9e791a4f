import { describe, expect, test } from 'vitest';
import type { TrainingJobStatus } from '../../controller/api/trainingjob.ts';
import { nothing, type Plan, type Say, type StatusRecord } from '../../controller/reconcile/plan.ts';
import { decimal } from '../../controller/reconcile/reported.ts';
import { nextStatus } from '../../controller/reconcile/status.ts';
import { initialScorer } from '../../controller/scoring/best.ts';
import type { BestSummary, CheckpointSummary, JobTelemetry } from '../../controller/telemetry/jobtelemetry.ts';
import { attempt, final, isoAt, snapshot, telemetry, type SnapshotParts } from './snapshot.ts';

const say: Say = { reason: 'Because', message: 'It is so.' };
const plan = (record: StatusRecord = {}, said: Say = say): Plan => ({ stage: 'x', action: nothing, record, say: said });
const after = (parts: SnapshotParts, record: StatusRecord = {}, said: Say = say): TrainingJobStatus =>
  nextStatus(snapshot(parts), plan(record, said));

describe('what the trainer reported', () => {
  const best: BestSummary = {
    step: 60,
    epoch: 0.6,
    evalLoss: 0,
    trainLoss: 0,
    trainLossStep: 0,
    score: 0.25,
    components: { base: 0.25, gap: 0 },
    scorerVersion: 1,
    verified: true,
    uri: 'file:///v/60',
    manifestSHA256: 'ab',
  };

  test('zero is a value', () => {
    const told = telemetry({
      step: 0,
      totalSteps: 200,
      epoch: 0,
      best,
      evalsSinceBest: 0,
      metrics: [{ name: 'eval/loss', value: 0, step: 0, best: 0, bestStep: 0 }],
    });
    expect(after({ telemetry: told })).toMatchObject({
      progress: { step: 0, percentage: 0, epoch: '0' },
      best: { evalLoss: '0', trainLoss: '0', trainLossStep: 0, components: { gap: '0' } },
      evalsSinceBest: 0,
      metrics: [{ value: '0', step: 0, best: '0', bestStep: 0 }],
    });
  });

  test('alerts of this run, cut to what status holds', () => {
    const alert = {
      name: 'BatchHalved',
      severity: 'Warning',
      message: 'm'.repeat(900),
      time: Date.parse(isoAt(-3)),
    } as const;
    const alerts = [
      { ...alert, attempt: 1 },
      { ...alert, attempt: 2 },
    ];
    const status = { attempt: attempt({ number: 2 }), run: { number: 2, specHash: 'a', firstAttempt: 2 } };
    expect(after({ status, telemetry: telemetry({ attempt: 2, alerts }) }).alerts).toEqual([
      { ...alert, attempt: 2, message: 'm'.repeat(512), time: isoAt(-3) },
    ]);
    expect(after({ telemetry: telemetry() })).not.toHaveProperty('alerts');
  });

  test('what is not known is absent', () => {
    const { progress } = after({ telemetry: telemetry() });
    expect(progress).toEqual({ lastReportTime: isoAt(-5), sequence: 3 });
  });

  describe('a telemetry store that was lost', () => {
    const named = {
      step: 20,
      score: '0.2',
      scorerVersion: 1,
      verified: true,
      uri: 'file:///v/20',
      manifestSHA256: 'cd',
    };
    const known = (verified: boolean): CheckpointSummary => ({
      step: 20,
      uri: 'file:///v/20',
      manifestSHA256: 'cd',
      verified,
      time: 1,
      attempt: 1,
      scorer: initialScorer,
    });
    const cases: readonly (readonly [string, Partial<JobTelemetry>, Partial<typeof named>, number])[] = [
      ['verified weights keep their place before a later step that is no better', {}, {}, 20],
      ['a better step takes it', {}, { score: '0.3' }, 60],
      ['so does any where the weights were never verified', {}, { verified: false }, 60],
      ['and where the trainer found them broken', { checkpoints: [known(false)] }, {}, 60],
    ];
    test.each(cases)('%s', (_, told, changes, step) => {
      const status = { attempt: attempt(), best: { ...named, ...changes } };
      expect(after({ status, telemetry: telemetry({ best, ...told }) }).best?.step).toBe(step);
    });
  });

  test('the address of the best weights only once they are verified (promise 3)', () => {
    expect(after({ telemetry: telemetry({ best }) }).best).toMatchObject({
      verified: true,
      uri: 'file:///v/60',
      manifestSHA256: 'ab',
    });
    const unverified = after({ telemetry: telemetry({ best: { ...best, verified: false } }) }).best;
    expect(unverified).toMatchObject({ step: 60, verified: false });
    expect(unverified).not.toHaveProperty('uri');
    expect(unverified).not.toHaveProperty('manifestSHA256');
  });

  test('null where the trainer has no epoch does not break status', () => {
    const told = telemetry({ best: { ...best, epoch: null as never }, epoch: null as never });
    const status = after({ telemetry: told });
    expect(status.best).not.toHaveProperty('epoch');
    expect(status.progress).not.toHaveProperty('epoch');
  });

  test.each([
    [0, 200, 0],
    [1, 3, 33],
    [199, 200, 99],
    [200, 200, 100],
    [300, 200, 100],
    [5, 0, undefined],
  ])('step %d of %d is %s percent', (step, totalSteps, percentage) => {
    expect(after({ telemetry: telemetry({ step, totalSteps }) }).progress?.percentage).toBe(percentage);
  });

  test('a guess that no integer can hold is left out', () => {
    const eta = { remainingSeconds: 1e20, confidence: 'Low' } as const;
    expect(after({ telemetry: telemetry({ eta }) }).progress).not.toHaveProperty('estimatedRemainingSeconds');
    expect(
      after({ telemetry: telemetry({ eta: { ...eta, remainingSeconds: 90.4 } }) }).progress?.estimatedRemainingSeconds,
    ).toBe(90);
  });

  test('a search: its newest state, and nothing of it where there is none', () => {
    const search = { trials: 9, complete: 0, pruned: 0, failed: 1, bestTrial: 2, bestParameters: { maxDepth: '3' } };
    expect(after({ telemetry: telemetry({ search }) }).search).toEqual(search);
    expect(after({ telemetry: telemetry({ step: 1 }) })).not.toHaveProperty('search');
  });

  test('stays when the store is lost', () => {
    const status = { progress: { step: 40, sequence: 9 }, evalsSinceBest: 2 };
    expect(after({ status })).toMatchObject(status);
  });

  test('the model, once the attempt reported its end', () => {
    const output = { uri: 'file:///v/models/1', manifestSHA256: 'cd' };
    const told = telemetry({ finals: { 1: final({ output }) } });
    expect(after({ status: { attempt: attempt() }, telemetry: told }).output).toEqual(output);
    expect(after({ status: { attempt: attempt({ number: 2 }) }, telemetry: told }).output).toBeUndefined();
  });

  test.each([
    [0, '0'],
    [-0, '0'],
    [1.0984999999, '1.0985'],
    [-0.1, '-0.1'],
    [0.0001, '0.0001'],
    [0.00001234567, '0.0000123457'],
    [1.234567e-7, '1.23457e-7'],
    [123_456_789, '123457000'],
    [1e12, '1.00000e+12'],
    [1e308, '1.00000e+308'],
  ])('%d is written as %s', (value, text) => {
    expect(decimal(value)).toBe(text);
    expect(text.length).toBeLessThanOrEqual(32);
  });
});
