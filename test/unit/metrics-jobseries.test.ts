import { expect, test } from 'vitest';
import type { TrainingJob, TrainingJobStatus } from '../../controller/api/trainingjob.ts';
import { jobSeries } from '../../controller/metrics/jobseries.ts';
import { contact, reduce } from '../../controller/telemetry/summary.ts';
import { attempt } from './snapshot.ts';

const job = (status?: Partial<TrainingJobStatus>): TrainingJob =>
  ({ metadata: { name: 'a', namespace: 'team' }, ...(status && { status }) }) as TrainingJob;

test('a job that nobody has looked at yet is pending and has nothing but a price of zero', () => {
  const known = Object.entries(jobSeries(job(), undefined, 0)).filter(([, value]) => value !== undefined);
  expect(Object.fromEntries(known)).toEqual({ namespace: 'team', name: 'a', phase: 'Pending', pricePerHourUsd: 0 });
});

test.each<[string, Partial<TrainingJobStatus>, number]>([
  ['a pod that bills', { attempt: { ...attempt(), pricePerHour: '2.99' } }, 2.99],
  ['a pod that is asked for', { attempt: { ...attempt(), state: 'Intent', pricePerHour: '2.99' } }, 0],
  ['a pod that is gone', { attempt: { ...attempt(), state: 'Gone', pricePerHour: '2.99' } }, 0],
  ['a pod that was deleted', { attempt: { ...attempt(), pricePerHour: '2.99', billedTo: '2026-01-01T00:00:00Z' } }, 0],
  ['no pod', {}, 0],
])('the price with %s', (_, status, price) => {
  expect(jobSeries(job(status), undefined, 0).pricePerHourUsd).toBe(price);
});

test('cost is known once the job was taken up, and zero is a cost', () => {
  expect(jobSeries(job({ run: { number: 1, specHash: 'a' } }), undefined, 0).costUsd).toBe(0);
  expect(jobSeries(job({}), undefined, 0).costUsd).toBeUndefined();
});

test('what the trainer reported, as it was reported', () => {
  const scoring = { strategy: 'MultiMetric' } as const;
  let telemetry = contact(undefined, 'u', 1, 'pod', 5000);
  const evaluation = { type: 'evaluation', evalLoss: 0.5, trainLoss: 0.4, trainLossStep: 10, metrics: {} } as const;
  telemetry = reduce(telemetry, { type: 'totals', totalSteps: 100 }, scoring, 6000);
  telemetry = reduce(telemetry, { type: 'point', step: 10, metrics: { 'train/loss': 0 } }, scoring, 7000);
  telemetry = reduce(telemetry, { ...evaluation, step: 10 }, scoring, 7000);
  telemetry = reduce(telemetry, { ...evaluation, step: 20, evalLoss: 0.9 }, scoring, 8000);
  const series = jobSeries(job({ phase: 'Running' }), telemetry, 0);
  expect(series).toMatchObject({
    phase: 'Running',
    step: 20,
    totalSteps: 100,
    trainLoss: 0,
    evalLoss: 0.9,
    bestStep: 10,
  });
  expect(series.bestScore).toBe(telemetry.best?.score);
  expect(series.score).toBeGreaterThan(series.bestScore ?? 0);
  expect(series.lastReportSeconds).toBe(5);
  expect(series.trials).toBeUndefined();
});

test('trials of a search, by how they ended', () => {
  const search = { type: 'search', trials: 9, complete: 3, pruned: 0, failed: 1 } as const;
  const telemetry = reduce(contact(undefined, 'u', 1, 'pod', 0), search, { strategy: 'MultiMetric' }, 1);
  expect(jobSeries(job(), telemetry, 0).trials).toEqual({ complete: 3, pruned: 0, failed: 1 });
});
