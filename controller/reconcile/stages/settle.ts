import { firstAttempt, mayHavePod } from '../attempts.ts';
import { recovering } from '../attemptover.ts';
import { ending } from '../ending.ts';
import { ledgerEntry } from '../ledger.ts';
import { concluded } from '../outcome.ts';
import { isoUp, nothing, type Plan, type Say, type StatusRecord } from '../plan.ts';
import type { Snapshot } from '../snapshot.ts';
import { accountTrouble } from './admit.ts';

/** Is the run, or its attempt, over? Then its pod is ended, proved gone, and only then the job is called finished. */
export function settle(snapshot: Snapshot): Plan | undefined {
  const { status } = snapshot;
  const { outcome, attempt } = status;
  if (status.completionTime !== undefined && outcome) {
    return rest(
      snapshot,
      { reason: outcome.reason, message: outcome.message ?? '' },
      Date.parse(status.completionTime),
    );
  }
  const success = lateSuccess(snapshot);
  if (success) return success;
  const over = outcome ?? (attempt?.state === 'Observed' ? attempt.end : undefined);
  if (!over) return undefined;
  const say = saidOf(snapshot, over.reason, over.message ?? '');
  const next = ending(snapshot);
  switch (next.kind) {
    case 'gone':
      return {
        stage: 'settle',
        action: nothing,
        record: closed(snapshot, over.reason, over.message ?? ''),
        say,
        requeueAfterMs: 0,
      };
    case 'terminate':
      return {
        stage: 'settle',
        action: next.action,
        record: withLastWords(snapshot),
        say,
        requeueAfterMs: 0,
        wantsList: true,
      };
    case 'wait':
      return {
        stage: 'settle',
        action: nothing,
        record: withLastWords(snapshot),
        say: accountTrouble(snapshot) ?? say,
        wantsList: true,
      };
  }
}

/** What the pod's log said last is kept in status until its line of the ledger is written: another process may write that. */
function withLastWords({ status, own }: Snapshot): StatusRecord {
  const { attempt } = status;
  const { podID, lines = [] } = own.lastWords ?? {};
  if (attempt?.state !== 'Observed' || attempt.podID !== podID || attempt.containerLog || lines.length === 0) return {};
  return { attempt: { ...attempt, containerLog: [...lines] } };
}

/** A finished job: nothing is left to do but to delete it once its time to live is over. */
function rest({ job, nowMs }: Snapshot, say: Say, completedMs: number): Plan {
  const { ttlSecondsAfterFinished } = job.spec.runPolicy;
  if (ttlSecondsAfterFinished === undefined) return { stage: 'rest', action: nothing, record: {}, say };
  const waitMs = completedMs + ttlSecondsAfterFinished * 1000 - nowMs;
  if (waitMs > 0) return { stage: 'rest', action: nothing, record: {}, say, requeueAfterMs: waitMs };
  return { stage: 'rest', action: { kind: 'deleteResource' }, record: {}, say };
}

/** A trainer that was given up may have finished all the same, and say so while its pod ends: done is done. */
function lateSuccess(snapshot: Snapshot): Plan | undefined {
  const { attempt, outcome } = snapshot.status;
  if (outcome || !attempt?.end || attempt.end.reason === 'Restarted' || attempt.number < firstAttempt(snapshot.status))
    return undefined;
  const final = snapshot.telemetry?.finals[attempt.number];
  if (final?.outcome !== 'Succeeded') return undefined;
  return concluded(snapshot, 'settle', { result: 'Succeeded', reason: 'TrainerSucceeded', message: final.message });
}

function saidOf(snapshot: Snapshot, reason: string, message: string): Say {
  const { outcome, attempt } = snapshot.status;
  const retried = outcome ? undefined : recovering(snapshot.status, snapshot.job.spec.runPolicy);
  if (retried) return retried;
  const last = 'Its pod is being ended and the job is finished when two lists of pods prove it gone.';
  const next =
    attempt?.end?.reason === 'Suspended'
      ? 'Its pod is being ended; the job is suspended when two lists of pods prove it gone.'
      : 'Its pod is being ended; when two lists of pods prove it gone, another is asked for.';
  return { reason, message: `${message} ${outcome ? last : next}`.trim() };
}

function closed(snapshot: Snapshot, reason: string, message: string): StatusRecord {
  const { attempt, outcome } = snapshot.status;
  const completed = outcome ? ({ completed: true } as const) : {};
  if (!mayHavePod(attempt)) return completed;
  // Its create was never sent: there was no pod, and nothing was billed.
  if (attempt.state === 'Intent') return { ...completed, attempt: { ...attempt, state: 'Abandoned' } };
  const { containerLog: _inLedger, ...rest } = attempt;
  // A pod that ended by itself was billed at most until now.
  const gone = { ...rest, state: 'Gone' as const, billedTo: attempt.billedTo ?? isoUp(snapshot.nowMs) };
  const suspended =
    !outcome && reason === 'Suspended' && snapshot.job.spec.suspend ? ({ suspended: true } as const) : {};
  return {
    ...completed,
    ...suspended,
    attempt: gone,
    ledger: ledgerEntry(snapshot, { ...attempt, ...gone }, reason, message),
  };
}
