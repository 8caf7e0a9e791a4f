import { describe, expect, test } from 'vitest';
import { attemptCostUsd, jobCostUsd, stopReserveUsd, usd } from '../../controller/reconcile/cost.ts';
import { attempt, isoAt, nowMs } from './snapshot.ts';

describe('cost', () => {
  test.each([
    ['no attempt', undefined, 0],
    ['no pod known', attempt({ state: 'Unknown' }), 0],
    ['an hour', attempt({ billedFrom: isoAt(-3600), pricePerHour: '2.50' }), 2.5],
    ['until its end', attempt({ billedFrom: isoAt(-3600), billedTo: isoAt(-1800), pricePerHour: '2.50' }), 1.25],
    ['a clock that went back', attempt({ billedFrom: isoAt(60), pricePerHour: '2.50' }), 0],
    ['a rate of zero', attempt({ billedFrom: isoAt(-3600), pricePerHour: '0.00' }), 0],
  ] as const)('of %s', (_, value, expected) => expect(attemptCostUsd(value, nowMs)).toBe(expected));

  test('of a job counts an attempt in the ledger once', () => {
    const current = attempt({ number: 2, billedFrom: isoAt(-3600), pricePerHour: '1.00' });
    const entry = { podName: 'x', candidate: 'small', reason: 'X' };
    expect(jobCostUsd(undefined, nowMs)).toBe(0);
    expect(jobCostUsd({ attempts: [{ ...entry, number: 1, cost: '0.25' }], attempt: current }, nowMs)).toBe(1.25);
    expect(jobCostUsd({ attempts: [{ ...entry, number: 2, cost: '0.25' }], attempt: current }, nowMs)).toBe(0.25);
    expect(jobCostUsd({ attempts: [{ ...entry, number: 1 }] }, nowMs)).toBe(0);
  });

  test('kept back for the last checkpoint', () => {
    expect(stopReserveUsd(100, 3.6, 120)).toBeCloseTo(0.12);
    expect(stopReserveUsd(1, 36, 120)).toBe(0.1);
    expect(stopReserveUsd(100, 0, 120)).toBe(0);
    expect(usd(0.1 + 0.2)).toBe('0.3000');
  });
});
