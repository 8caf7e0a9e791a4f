import { mayHavePod, ledgerEntry } from '../attempts.ts';
import { ending } from '../ending.ts';
import { iso, nothing, type Plan, type Say, type StatusRecord } from '../plan.ts';
import type { Snapshot } from '../snapshot.ts';
import { accountTrouble } from './admit.ts';

/** Is the run, or its attempt, over? Then its pod is ended, proved gone, and only then the job is called finished. */
export function settle(snapshot: Snapshot): Plan | undefined {
  const { status } = snapshot;
  const { outcome, attempt } = status;
  if (status.completionTime !== undefined && outcome) {
    return {
      stage: 'rest',
      action: nothing,
      record: {},
      say: { reason: outcome.reason, message: outcome.message ?? '' },
    };
  }
  const over = outcome ?? (attempt?.state === 'Observed' ? attempt.end : undefined);
  if (!over) return undefined;
  const say: Say = {
    reason: over.reason,
    message: `${over.message ?? ''} ${
      outcome
        ? 'Its pod is being ended and the job is finished when two lists of pods prove it gone.'
        : 'Its pod is being ended; when two lists of pods prove it gone, another is asked for.'
    }`.trim(),
  };
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
      return { stage: 'settle', action: next.action, record: {}, say, requeueAfterMs: 0, wantsList: true };
    case 'wait':
      return { stage: 'settle', action: nothing, record: {}, say: accountTrouble(snapshot) ?? say, wantsList: true };
  }
}

function closed(snapshot: Snapshot, reason: string, message: string): StatusRecord {
  const { attempt, outcome } = snapshot.status;
  const completed = outcome ? ({ completed: true } as const) : {};
  if (!mayHavePod(attempt)) return completed;
  // Its create was never sent: there was no pod, and nothing was billed.
  if (attempt.state === 'Intent') return { ...completed, attempt: { ...attempt, state: 'Abandoned' } };
  // A pod that ended by itself was billed at most until now.
  const gone = { ...attempt, state: 'Gone' as const, billedTo: attempt.billedTo ?? iso(snapshot.nowMs) };
  return { ...completed, attempt: gone, ledger: ledgerEntry(snapshot, gone, reason, message) };
}
