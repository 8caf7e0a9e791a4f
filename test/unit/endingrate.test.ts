import { expect, test } from 'vitest';
import type { TrainingJobStatus } from '../../controller/api/trainingjob.ts';
import { endingRateUsdPerHour } from '../../controller/reconcile/endingrate.ts';
import { attempt, isoAt, snapshot, type SnapshotParts } from './snapshot.ts';

const outcome = { result: 'Failed', reason: 'X', time: isoAt(0) } as const;
const end = { reason: 'PodLost', message: '', time: isoAt(0) };
const dear = attempt({ pricePerHour: '2.99' });
const having = (status: Partial<TrainingJobStatus>): SnapshotParts => ({ status });

test.each<[string, SnapshotParts, number]>([
  ['runs', having({ attempt: dear }), 0],
  ['is deleted', { ...having({ attempt: dear }), metadata: { deletionTimestamp: isoAt(0) } }, 2.99],
  ['has its outcome', having({ attempt: dear, outcome }), 2.99],
  ['ends an attempt', having({ attempt: { ...dear, end } }), 2.99],
  ['has its delete accepted', having({ attempt: { ...dear, billedTo: isoAt(0) }, outcome }), 0],
  ['has no pod', having({ attempt: attempt({ state: 'Refused' }), outcome }), 0],
  ['was never looked at', { status: null }, 0],
])('a job that %s', (_name, parts, rate) => {
  expect(endingRateUsdPerHour(snapshot(parts).job)).toBe(rate);
});

test('a job that is gone', () => {
  expect(endingRateUsdPerHour(undefined)).toBe(0);
});
