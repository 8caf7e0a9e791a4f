import { mayHavePod } from '../attempts.ts';
import { iso, nothing, type Plan } from '../plan.ts';
import type { Snapshot } from '../snapshot.ts';

/**
 * Was the restart token changed? Then a new run begins: at once where nothing is rented, else when the pod of the run before is
 * proved gone.
 */
export function restart(snapshot: Snapshot): Plan | undefined {
  const { status, job } = snapshot;
  const { run, attempt, outcome, completionTime } = status;
  if (!run || (run.restartToken ?? '') === job.spec.restartToken) return undefined;
  // How a run ended is written down before the next one begins (I5).
  if (outcome && completionTime === undefined) return undefined;
  const say = { reason: 'Restarted', message: `spec.restartToken was changed: run ${run.number + 1} begins.` };
  if (mayHavePod(attempt) && completionTime === undefined) {
    if (attempt.state === 'Observed') {
      if (attempt.end) return undefined;
      const message = 'spec.restartToken was changed; a new run begins.';
      const end = { reason: 'Restarted', message, time: iso(snapshot.nowMs) };
      return {
        stage: 'restart',
        action: nothing,
        record: { attempt: { ...attempt, end } },
        say: { reason: 'Restarted', message },
        requeueAfterMs: 0,
        wantsList: true,
      };
    }
    // Its create was never sent.
    const record = { restarted: true, attempt: { ...attempt, state: 'Abandoned' } } as const;
    return { stage: 'restart', action: nothing, record, say, requeueAfterMs: 0 };
  }
  return { stage: 'restart', action: nothing, record: { restarted: true }, say, requeueAfterMs: 0 };
}
