import { describe, expect, test } from 'vitest';
import type { TrainingJobStatus } from '../../controller/api/trainingjob.ts';
import { jobCostUsd } from '../../controller/reconcile/cost.ts';
import { decide } from '../../controller/reconcile/decide.ts';
import { restart } from '../../controller/reconcile/stages/restart.ts';
import { nextStatus } from '../../controller/reconcile/status.ts';
import { initialScorer } from '../../controller/scoring/best.ts';
import { contact } from '../../controller/telemetry/summary.ts';
import { attempt, isoAt, nowMs, pod, snapshot, telemetry, type SnapshotParts } from './snapshot.ts';

const run = { number: 1, specHash: 'a'.repeat(64), restartToken: '', firstAttempt: 1, activeSeconds: 30 };
const changed = { spec: { restartToken: '2' } };
const outcome = { result: 'Failed', reason: 'TrainerFailed', message: 'So.', time: isoAt(-20) } as const;
const line = { number: 3, podName: 'x', candidate: 'small', reason: 'TrainerFailed', cost: '0.2500' };
const finished: TrainingJobStatus = {
  observedGeneration: 1,
  startTime: isoAt(-900),
  run,
  attempt: attempt({ number: 3, state: 'Gone', billedTo: isoAt(-30) }),
  attempts: [{ ...line, number: 2, cost: '0.5000' }, line],
  cost: { accrued: '1.7500', earlier: '1.0000', asOf: isoAt(-20) },
  outcome,
  failure: { reason: 'TrainerFailed', message: 'So.' },
  completionTime: isoAt(-10),
  retries: { user: 2, host: 0, interruption: 0 },
  best: { step: 60, score: '0.4', scorerVersion: 1, verified: true },
  progress: { step: 100 },
  metrics: [{ name: 'train/loss', value: '1', step: 100 }],
  checkpoint: { step: 60, uri: 'u', verified: true, time: isoAt(-40) },
  output: { uri: 'file:///v/m' },
};
const old = telemetry({ attempt: 3, step: 100, checkpoints: [] });

describe('a changed restart token', () => {
  test.each<readonly [string, SnapshotParts]>([
    ['a job that was not taken up', { status: null, ...changed }],
    ['the same token', { status: finished }],
    ['a run from before there were tokens', { status: { ...finished, run: { number: 1, specHash: 'a' } } }],
    ['a run that has ended and whose pod has not', { status: { run, outcome, attempt: attempt() }, ...changed }],
  ])('is none of %s', (_, parts) => expect(restart(snapshot(parts))).toBeUndefined());

  test('of a finished job begins a new run; nothing of the old one stays but its money and its number', () => {
    const before = snapshot({ status: finished, telemetry: old, ...changed });
    const plan = decide(before);
    expect(plan).toMatchObject({ stage: 'restart', action: { kind: 'none' }, record: { restarted: true } });
    const after = nextStatus(before, plan);
    expect(after.run).toEqual({
      number: 2,
      specHash: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      restartToken: '2',
      firstAttempt: 4,
    });
    expect(after).toMatchObject({ phase: 'Pending', attempt: { number: 3 } });
    // It is taken up, and its runtime looked at, by the next pass.
    expect(after.startTime).toBeUndefined();
    const begins = snapshot({
      status: { ...after, startTime: undefined } as unknown as typeof after,
      telemetry: old,
      ...changed,
    });
    expect(decide(begins)).toMatchObject({ stage: 'admit', record: { started: true } });
    expect(nextStatus(begins, decide(begins)).run?.defaults).toMatchObject({ runPolicy: { backoffLimit: 2 } });
    expect(after.cost).toMatchObject({ accrued: '1.7500', earlier: '1.7500' });
    expect(jobCostUsd(after, nowMs)).toBe(1.75);
    const types = after.conditions?.map(({ type }) => type);
    for (const type of ['Complete', 'Failed', 'CleanupDone']) expect(types).not.toContain(type);
    const left = new Set(Object.keys(after));
    for (const gone of ['outcome', 'failure', 'completionTime', 'retries', 'best', 'progress', 'metrics', 'output'])
      expect(left).not.toContain(gone);
    expect(left).not.toContain('checkpoint');
    expect(left).not.toContain('attempts');
    const next = decide(snapshot({ status: after, telemetry: old, ...changed }));
    expect(next).toMatchObject({ stage: 'place', record: { attempt: { number: 4 } } });
  });

  test('what the old run reported does not come back before the new one reports', () => {
    const before = snapshot({ status: finished, telemetry: old, ...changed });
    const after = nextStatus(before, decide(before));
    const provisioning = snapshot({
      status: { ...after, attempt: attempt({ number: 4 }) },
      telemetry: { ...old, best: { ...best, verified: true } },
      pods: [pod({ attempt: 4 })],
      ...changed,
    });
    const later = nextStatus(provisioning, decide(provisioning));
    expect(later).not.toHaveProperty('best');
    expect(later).not.toHaveProperty('progress');
  });

  test('nor does its newest checkpoint, once the new one reports', () => {
    const before = snapshot({ status: finished, telemetry: old, ...changed });
    const after = nextStatus(before, decide(before));
    const stored = {
      step: 60,
      uri: 'u',
      manifestSHA256: 'c'.repeat(64),
      verified: true,
      time: nowMs,
      attempt: 3,
      scorer: initialScorer,
    };
    const heard = { ...old, checkpoints: [stored], latestCheckpoint: stored };
    const reporting = snapshot({
      status: { ...after, attempt: attempt({ number: 4 }) },
      telemetry: contact(heard, heard.uid, 4, 'pod4', nowMs),
      pods: [pod({ attempt: 4 })],
      ...changed,
    });
    const later = nextStatus(reporting, decide(reporting));
    expect(later.phase).toBe('Running');
    expect(later).not.toHaveProperty('checkpoint');
  });

  test('of a job with a pod ends that pod first, without a retry', () => {
    const parts: SnapshotParts = { status: { run, attempt: attempt() }, pods: [pod()], ...changed };
    const before = snapshot(parts);
    const plan = decide(before);
    expect(plan.record).toMatchObject({ attempt: { end: { reason: 'Restarted' } } });
    expect(plan.record).not.toHaveProperty('retries');
    const ending = nextStatus(before, plan);
    expect(ending.run?.number).toBe(1);
    expect(decide(snapshot({ ...parts, status: ending })).action.kind).toBe('terminatePod');
  });

  test('even where that pod has just reported a success', () => {
    const end = { reason: 'Restarted', message: '', time: isoAt(-5) };
    const heard = telemetry({ finals: { 1: { ...final, receivedAt: nowMs } } });
    const parts = { status: { run, attempt: attempt({ end }) }, pods: [pod()], telemetry: heard };
    expect(decide(snapshot({ ...parts, ...changed })).record.outcome).toBeUndefined();
  });

  test.each([
    ['is placed', attempt({ state: 'Refused' })],
    ['waits for a retry', attempt({ state: 'Gone' })],
  ])('of a job that %s begins at once', (_, state) => {
    const status = { run, attempt: state, suspendTime: isoAt(-9), retryTime: isoAt(60) };
    const before = snapshot({ status, ...changed });
    const after = nextStatus(before, decide(before));
    expect(after.run?.number).toBe(2);
    for (const gone of ['suspendTime', 'retryTime']) expect(after).not.toHaveProperty(gone);
  });

  test('over an intent that was not sent gives it up', () => {
    const status = { run, attempt: attempt({ state: 'Intent' }) };
    const plan = decide(snapshot({ status, own: { freshIntent: 1 }, ...changed }));
    expect(plan.record).toMatchObject({ restarted: true, attempt: { state: 'Abandoned' } });
  });

  test('over a create whose outcome is not known waits for that', () => {
    expect(decide(snapshot({ status: { run, attempt: attempt({ state: 'Unknown' }) }, ...changed })).stage).toBe(
      'unknownOutcome',
    );
  });

  test('of a job that is being deleted changes nothing', () => {
    const metadata = { deletionTimestamp: isoAt(-1) };
    expect(decide(snapshot({ status: finished, metadata, ...changed })).stage).toBe('finalize');
  });

  test('the number of a new attempt is above all that telemetry knows', () => {
    const before = snapshot({ status: finished, telemetry: telemetry({ attempt: 9 }), ...changed });
    expect(nextStatus(before, decide(before)).run?.firstAttempt).toBe(10);
  });
});

const best = {
  step: 60,
  evalLoss: 1,
  trainLoss: 1,
  trainLossStep: 60,
  score: 0.5,
  components: {},
  scorerVersion: 1,
} as const;
const final = { type: 'final', outcome: 'Succeeded', exitCode: 0, reason: 'Succeeded', message: '' } as const;
