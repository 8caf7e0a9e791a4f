import { describe, expect, test } from 'vitest';
import type { TrainingJob } from '../../controller/api/trainingjob.ts';
import { decide } from '../../controller/reconcile/decide.ts';
import { RunMemory } from '../../controller/reconcile/runmemory.ts';
import { recall } from '../../controller/reconcile/stages/recall.ts';
import { nextStatus } from '../../controller/reconcile/status.ts';
import { specHash } from '../../controller/reconcile/trainerconfig.ts';
import type { RunRow } from '../../controller/telemetry/store/store.ts';
import { at, attempt, final, isoAt, pod, snapshot, spec, telemetry, uid } from './snapshot.ts';

const published = { huggingFaceRevision: 'c0ffee', huggingFaceURL: 'https://huggingface.co/acme/fit' };
const row: RunRow = {
  uid,
  run: 2,
  namespace: 'team',
  name: 'fit',
  specHash: specHash(spec),
  restartToken: '',
  outcome: 'Succeeded',
  reason: 'TrainerSucceeded',
  firstAttempt: 3,
  attempts: 7,
  spentUsd: 1.5,
  pinned: null,
  outputUri: 'file:///volume/models/fit/2',
  manifestSHA256: 'a'.repeat(64),
  published: JSON.stringify(published),
  completedAt: at(-600),
};
const wiped = { status: null } as const;

describe('what the store knows of a run', () => {
  test('a wiped status of a finished run is written anew: it neither trains nor pays again', () => {
    const lost = snapshot({ ...wiped, ran: { own: row, twin: undefined } });
    const plan = decide(lost);
    expect(plan.stage).toBe('recall');
    const status = nextStatus(lost, plan);
    expect(status).toMatchObject({
      outcome: { result: 'Succeeded', reason: 'TrainerSucceeded' },
      run: { number: 2, firstAttempt: 3 },
      output: { uri: row.outputUri },
      cost: { accrued: '1.5000', earlier: '1.5000' },
    });
    const next = snapshot({ status });
    expect(nextStatus(next, decide(next)).phase).toBe('Succeeded');
  });

  test('a wiped status of a run that goes on keeps its number, its money, and the numbers of its attempts', () => {
    const own: RunRow = { ...row, outcome: 'Running', reason: '', outputUri: null, completedAt: null };
    const lost = snapshot({ ...wiped, ran: { own, twin: undefined } });
    const plan = decide(lost);
    expect(plan).toMatchObject({ stage: 'recall', say: { reason: 'StatusRestored' } });
    const status = { ...nextStatus(lost, plan), startTime: isoAt(-1) };
    expect(status).toMatchObject({ run: { number: 2, firstAttempt: 3 }, cost: { earlier: '1.5000' } });
    expect(status.outcome).toBeUndefined();
    const next = decide(snapshot({ status, ran: { own, twin: undefined } }));
    expect(next.record.attempt).toMatchObject({ number: 8, state: 'Intent' });
  });

  test('what the store kept of its defaults and cannot be read pins nothing, and stops nothing', () => {
    const own: RunRow = { ...row, outcome: 'Running', pinned: '{"defaults":' };
    const lost = snapshot({ ...wiped, ran: { own, twin: undefined } });
    expect(nextStatus(lost, decide(lost)).run).toMatchObject({
      number: 2,
      defaults: { runPolicy: { backoffLimit: 2 } },
    });
  });

  test('a wiped status of a run whose trainer had succeeded, and whose pod is gone: done is done', () => {
    const own: RunRow = { ...row, outcome: 'Running', reason: '', outputUri: null, completedAt: null };
    const output = { uri: 'file:///volume/models/fit/2', manifestSHA256: 'b'.repeat(64) };
    const heard = telemetry({ attempt: 7, finals: { 7: final({ output }) } });
    const lost = snapshot({ ...wiped, telemetry: heard, ran: { own, twin: undefined } });
    expect(nextStatus(lost, decide(lost))).toMatchObject({
      outcome: { result: 'Succeeded', reason: 'TrainerSucceeded' },
      output,
    });
    for (const parts of [
      // A pod that is there is adopted first: it has a price, and must end.
      { pods: [pod({ attempt: 7 })] },
      { lists: [] },
      { telemetry: telemetry({ attempt: 7, finals: { 7: final({ outcome: 'Failed' }) } }) },
      { telemetry: telemetry({ attempt: 6, finals: { 6: final() } }) },
      { spec: { restartToken: 'again' } },
    ]) {
      const other = snapshot({ ...wiped, telemetry: heard, ran: { own, twin: undefined }, ...parts });
      expect(decide(other).record.outcome).toBeUndefined();
    }
  });

  test('a wiped status whose restart token was changed begins the next run', () => {
    const lost = snapshot({ ...wiped, spec: { restartToken: 'again' }, ran: { own: row, twin: undefined } });
    const status = nextStatus(lost, decide(lost));
    expect(status).toMatchObject({ run: { number: 3, firstAttempt: 8, restartToken: 'again' } });
    expect(status.outcome).toBeUndefined();
    expect(status.output).toBeUndefined();
  });

  test('a job just like one that succeeded and was deleted is complete at once', () => {
    const again = snapshot({ ...wiped, ran: { own: undefined, twin: { ...row, uid: 'another' } } });
    const status = nextStatus(again, decide(again));
    expect(status).toMatchObject({
      outcome: { result: 'Succeeded', reason: 'AlreadyTrained' },
      output: { uri: row.outputUri, manifestSHA256: row.manifestSHA256, ...published },
      cost: { accrued: '0.0000' },
      run: { number: 1 },
    });
    expect(status.outcome?.message).toContain('change spec.restartToken');
    const next = snapshot({ status });
    const done = nextStatus(next, decide(next));
    expect(done.conditions?.find((entry) => entry.type === 'Complete')).toMatchObject({
      status: 'True',
      reason: 'AlreadyTrained',
    });
  });

  test.each([
    ['nothing is known', wiped, undefined],
    ['nothing of this job is known', wiped, { own: undefined, twin: undefined }],
    ['an attempt is recorded', { status: { attempt: attempt() } }, { own: row, twin: row }],
    ['the run is recorded', { status: { run: { number: 1, specHash: '' } } }, { own: row, twin: row }],
  ])('%s: nothing is said', (_name, parts, ran) => {
    expect(recall(snapshot({ ...parts, ran }))).toBeUndefined();
  });
});

describe('run memory', () => {
  function memory(rows: RunRow[] = []): { written: RunRow[]; runs: RunMemory } {
    const written: RunRow[] = [];
    const store = {
      runs: () => Promise.resolve(rows),
      putRun: (one: RunRow) => Promise.resolve(void written.push(one)),
    };
    return { written, runs: new RunMemory(store) };
  }
  const job = (
    changes: Partial<TrainingJob['metadata']> = {},
    more: Partial<TrainingJob['spec']> = {},
  ): TrainingJob => {
    const { job: whole } = snapshot();
    return { ...whole, metadata: { ...whole.metadata, ...changes }, spec: { ...whole.spec, ...more } };
  };

  test('finds what succeeded under the same name, content and token, of another object only', async () => {
    const { runs } = memory([row, { ...row, uid: 'failed', outcome: 'Failed', specHash: 'x' }]);
    await runs.load();
    expect(runs.ofJob(uid)).toEqual(row);
    expect(runs.succeededBefore(job({ uid: 'another' }))).toEqual(row);
    expect(runs.succeededBefore(job())).toBeUndefined();
    expect(runs.succeededBefore(job({ uid: 'another', name: 'other' }))).toBeUndefined();
    expect(runs.succeededBefore(job({ uid: 'another' }, { restartToken: '2' }))).toBeUndefined();
    const evaluation = { everySteps: 5 };
    expect(runs.succeededBefore(job({ uid: 'another' }, { evaluation }))).toBeUndefined();
  });

  test('is written with the first attempt and at the end, and not for every step between', async () => {
    const { written, runs } = memory();
    const run = { number: 1, specHash: specHash(spec), restartToken: '' };
    const running = { run, attempt: attempt(), observedGeneration: 1 };
    await runs.remember(job(), { observedGeneration: 1 });
    expect(written).toEqual([]);
    for (const _ of [1, 2, 3]) await runs.remember(job(), running);
    expect(written).toMatchObject([{ outcome: 'Running', attempts: 1, completedAt: null }]);
    // What an attempt cost is taken when it is over.
    const line = { number: 1, podName: 'x', candidate: 'small', reason: 'PodLost', cost: '0.5' };
    await runs.remember(job(), { ...running, attempts: [line], attempt: attempt({ number: 2 }) });
    expect(written.at(-1)).toMatchObject({ attempts: 2, spentUsd: 0.5 });
    const outcome = { result: 'Succeeded' as const, reason: 'TrainerSucceeded', time: isoAt(0) };
    const over = { ...running, attempts: [line], outcome, output: { uri: 'file:///m' } };
    // Not before its pod is proved gone.
    await runs.remember(job(), { ...over, attempt: attempt({ number: 2 }) });
    expect(written).toHaveLength(2);
    const done = { ...over, attempt: attempt({ number: 2 }), completionTime: isoAt(5) };
    for (const _ of [1, 2]) await runs.remember(job(), done);
    expect(written).toHaveLength(3);
    expect(written.at(-1)).toMatchObject({ outcome: 'Succeeded', outputUri: 'file:///m', completedAt: at(5) });
    expect(runs.succeededBefore(job({ uid: 'another' }))).toMatchObject({ uid });
  });
});
