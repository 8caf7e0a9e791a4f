import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { frozen } from '../../controller/api/frozen.ts';
import { parsePodName } from '../../controller/api/identity.ts';
import { finalizer, type Attempt, type TrainingJobStatus } from '../../controller/api/trainingjob.ts';
import { decide } from '../../controller/reconcile/decide.ts';
import type { Plan } from '../../controller/reconcile/plan.ts';
import type { Snapshot } from '../../controller/reconcile/snapshot.ts';
import { nextStatus } from '../../controller/reconcile/status.ts';
import { statusChange } from '../../controller/reconcile/statuschange.ts';
import { nowMs } from '../unit/snapshot.ts';
import { snapshots } from './arbitrary.ts';
import { explore } from './runs.ts';

explore(1500);

/** For every snapshot, its plan and the status after it. */
function always(check: (snapshot: Snapshot, plan: Plan, status: TrainingJobStatus) => void): void {
  fc.assert(
    fc.property(snapshots, (snapshot) => {
      const plan = decide(snapshot);
      check(snapshot, plan, nextStatus(snapshot, plan));
    }),
  );
}

/** The proof of I4 in other words than the product's: two believed lists since our last write, apart enough, and none that shows it after the first. */
function provedGone({ inventory, own, policy }: Snapshot, attempt: Attempt): boolean {
  const sinceMs = own.lastWriteAtMs ?? own.processStartedAtMs;
  const shows = (live: ReadonlySet<string>): boolean => live.has(attempt.podName) || live.has(attempt.podID ?? '');
  const lists = inventory.view.lists.filter((list) => list.believed && list.startedAt > sinceMs);
  return lists.some(
    (first, index) =>
      lists.slice(index).every((list) => !shows(list.live)) &&
      lists.slice(index).some((list) => list.startedAt - first.startedAt >= policy.goneGapMs),
  );
}

/** No pod of the job may exist, as far as anyone can know. */
function nothingLeft(snapshot: Snapshot): boolean {
  const { attempt } = snapshot.status;
  if (snapshot.inventory.pods.length > 0) return false;
  switch (attempt?.state) {
    case undefined:
    case 'Refused':
    case 'Gone':
    case 'Abandoned':
      return true;
    case 'Intent':
      return snapshot.own.freshIntent === attempt.number;
    case 'Unknown':
      return false;
    case 'Observed':
      return attempt.podID === undefined || provedGone(snapshot, attempt);
  }
}

test('decide is total, and the same facts give the same plan (I10)', () => {
  fc.assert(
    fc.property(snapshots, (snapshot) => {
      const plan = decide(frozen(snapshot));
      expect(decide(snapshot)).toEqual(plan);
      expect(structuredClone(plan)).toEqual(plan);
    }),
  );
});

test('a create has its finalizer and its intent, and nothing of the job beside it (I2, I3)', () => {
  always((snapshot, plan) => {
    if (plan.action.kind !== 'createPod') return;
    const { metadata } = snapshot.job;
    const { attempt, outcome } = snapshot.status;
    expect(metadata.finalizers).toContain(finalizer);
    expect(metadata.deletionTimestamp).toBeUndefined();
    expect(outcome).toBeUndefined();
    expect(snapshot.job.spec.suspend).toBe(false);
    expect(attempt).toMatchObject({ state: 'Intent', number: snapshot.own.freshIntent });
    expect(plan.action.attempt).toMatchObject({ number: attempt?.number, podName: attempt?.podName });
    expect(snapshot.job.spec.compute.candidates).toContainEqual(plan.action.candidate);
    expect(snapshot.missingSecrets).toEqual([]);
    expect(snapshot.inventory.view.suspicious).toBe(false);
    for (const pod of snapshot.inventory.pods) {
      const accepted = snapshot.own.terminates?.[pod.id]?.acceptedAtMs;
      const older = (parsePodName(pod.name)?.attempt ?? 0) < (attempt?.number ?? 0);
      expect(!older || accepted !== undefined).toBe(true);
    }
  });
});

test('an intent is written only where no pod may exist, with a number and a name that were never used', () => {
  always((snapshot, { record }) => {
    if (record.attempt?.state !== 'Intent') return;
    const { attempt } = snapshot.status;
    expect(['Refused', 'Gone', 'Abandoned', undefined]).toContain(attempt?.state);
    expect(record.attempt.number).toBeGreaterThan(attempt?.number ?? 0);
    expect(snapshot.inventory.pods.map((pod) => pod.name)).not.toContain(record.attempt.podName);
    expect(parsePodName(record.attempt.podName)).toMatchObject({
      attempt: record.attempt.number,
      nonce: snapshot.nonce,
    });
  });
});

test('the finalizer goes only with nothing left, or with exactly the pods that the user named (I4)', () => {
  always((snapshot, { action }) => {
    if (action.kind !== 'removeFinalizer') return;
    expect(snapshot.job.metadata.deletionTimestamp).toBeDefined();
    expect(snapshot.job.metadata.finalizers).toContain(finalizer);
    if (action.abandoned.length === 0) expect(nothingLeft(snapshot)).toBe(true);
    else {
      const named = Object.values(snapshot.job.metadata.annotations ?? {})
        .join()
        .split(',');
      expect(named.toSorted()).toEqual(action.abandoned);
      for (const pod of snapshot.inventory.pods) expect(action.abandoned).toContain(pod.id);
    }
  });
});

test('a job is finished only with an outcome and nothing left (I5)', () => {
  always((snapshot, { record }, status) => {
    if (record.completed) {
      expect(snapshot.status.outcome).toBeDefined();
      expect(nothingLeft(snapshot)).toBe(true);
    }
    if (status.phase === 'Succeeded' || status.phase === 'Failed') expect(status.completionTime).toBeDefined();
  });
});

test('an outcome never changes within a run, an attempt never falls, a completion time stays (I5)', () => {
  always(({ status: before }, { record }, after) => {
    if (record.restarted) {
      expect(after.attempt?.number ?? 0).toBe(before.attempt?.number ?? 0);
      expect(after.run?.number).toBe((before.run?.number ?? 0) + 1);
      for (const gone of ['outcome', 'failure', 'completionTime', 'best', 'progress', 'retries', 'attempts'])
        expect(after).not.toHaveProperty(gone);
      return;
    }
    if (before.outcome) expect([after.outcome, after.failure]).toEqual([before.outcome, before.failure]);
    expect(after.attempt?.number ?? 0).toBeGreaterThanOrEqual(before.attempt?.number ?? 0);
    if (before.completionTime !== undefined) expect(after.completionTime).toBe(before.completionTime);
    if (before.startTime !== undefined) expect(after.startTime).toBe(before.startTime);
  });
});

test('an object is deleted only when it is finished, for as long as it was told to live', () => {
  always(({ status, job, nowMs: now }, { action }) => {
    if (action.kind !== 'deleteResource') return;
    expect(status.outcome).toBeDefined();
    const seconds = (now - Date.parse(status.completionTime ?? '')) / 1000;
    expect(seconds).toBeGreaterThanOrEqual(job.spec.runPolicy.ttlSecondsAfterFinished ?? Number.NaN);
  });
});

test('a new run begins only by a changed token, and never over a pod', () => {
  always((snapshot, { record }) => {
    if (!record.restarted) return;
    const { run, attempt, completionTime } = snapshot.status;
    expect(run?.restartToken).not.toBe(snapshot.job.spec.restartToken);
    if (completionTime === undefined) expect(['Observed', 'Unknown']).not.toContain(attempt?.state);
  });
});

test('an attempt that is to be tried again is counted once, and within the limit', () => {
  always(({ status: before, job }, { record }, after) => {
    if (!record.retries) return expect(after.retries).toEqual(record.restarted ? undefined : before.retries);
    expect(before.attempt?.end).toBeUndefined();
    expect(after.attempt?.end?.fault).toBeDefined();
    expect(Date.parse(after.retryTime ?? '')).toBeGreaterThan(nowMs);
    expect(after.phase === 'Recovering' || job.metadata.deletionTimestamp !== undefined).toBe(true);
    const { user = 0, host = 0, interruption = 0 } = after.retries ?? {};
    const counters: readonly (readonly [number, number, number])[] = [
      [before.retries?.user ?? 0, user, job.spec.runPolicy.backoffLimit],
      [before.retries?.host ?? 0, host, job.spec.runPolicy.hostFaultLimit],
      [before.retries?.interruption ?? 0, interruption, job.spec.runPolicy.interruptionLimit],
    ];
    expect(counters.reduce((sum, [old, now]) => sum + now - old, 0)).toBe(1);
    for (const [old, now, limit] of counters) expect(now === old || now <= limit).toBe(true);
  });
});

test('only a pod of this job is ended, and never the recorded one of a run that goes on', () => {
  always((snapshot, { action, stage }) => {
    if (action.kind !== 'terminatePod') return;
    const { attempt, outcome } = snapshot.status;
    const known = [...snapshot.inventory.pods.map((pod) => pod.id), attempt?.podID];
    expect(known).toContain(action.podID);
    const goesOn =
      !outcome &&
      !attempt?.end &&
      attempt?.state === 'Observed' &&
      snapshot.job.metadata.deletionTimestamp === undefined;
    if (goesOn) {
      expect(stage).toBe('duplicates');
      expect(action.podID).not.toBe(attempt.podID);
    }
  });
});

test('the final report of a trainer is never overruled by a limit', () => {
  always((snapshot, { record }) => {
    const { attempt } = snapshot.status;
    const final = attempt && snapshot.telemetry?.finals[attempt.number];
    if (attempt?.state !== 'Observed' || final?.outcome !== 'Succeeded' || !record.outcome) return;
    expect(record.outcome.result).toBe('Succeeded');
  });
});

test('what is written is bounded JSON without undefined or NaN', () => {
  const sound = (value: unknown, path: string): void => {
    if (value === undefined) throw new Error(`${path} is undefined`);
    if (typeof value === 'number' && !Number.isFinite(value)) throw new Error(`${path} is ${value}`);
    if (typeof value === 'string' && value.length > 2048) throw new Error(`${path} is long`);
    if (value !== null && typeof value === 'object') {
      for (const [key, inner] of Object.entries(value)) sound(inner, `${path}.${key}`);
    }
  };
  always((_, plan, status) => {
    sound(status, 'status');
    expect(JSON.parse(JSON.stringify(status))).toEqual(status);
    const types = (status.conditions ?? []).map((condition) => condition.type);
    expect(new Set(types).size).toBe(types.length);
    expect(types.length).toBeLessThanOrEqual(16);
    for (const condition of status.conditions ?? []) {
      expect(condition.message.length).toBeLessThanOrEqual(1024);
      expect(condition.reason).toMatch(/^[A-Za-z][A-Za-z0-9]{0,63}$/);
    }
    expect((status.attempts ?? []).length).toBeLessThanOrEqual(20);
    expect(plan.requeueAfterMs ?? 0).toBeGreaterThanOrEqual(0);
  });
});

test('while the world stands still, the status comes to rest (I12), and then no pass follows another at once', () => {
  fc.assert(
    fc.property(snapshots, (snapshot) => {
      let { status, own } = snapshot;
      // Each stage may have its say; then rest must come, unless an action waits for the world.
      for (let pass = 0; pass < 12; pass += 1) {
        const now = { ...snapshot, status, own, job: { ...snapshot.job, status } };
        const plan = decide(now);
        if (plan.action.kind !== 'none') return;
        const next = nextStatus(now, plan);
        if (statusChange(status, next) === 'none') {
          expect(plan.requeueAfterMs ?? 1).toBeGreaterThan(0);
          return;
        }
        if (plan.record.attempt?.state === 'Intent') own = { ...own, freshIntent: plan.record.attempt.number };
        status = next;
      }
      throw new Error('the status never rests');
    }),
  );
});
