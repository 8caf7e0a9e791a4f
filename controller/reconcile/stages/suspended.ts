import { mayHavePod } from '../attempts.ts';
import { ending } from '../ending.ts';
import { nothing, type Plan } from '../plan.ts';
import type { Snapshot } from '../snapshot.ts';

/**
 * Is the job to have no pod, and has none? Then nothing is rented and no deadline runs. When it is to go on, the next attempt
 * goes on from the last verified checkpoint, and is no retry.
 */
export function suspended(snapshot: Snapshot): Plan | undefined {
  const { status, job, own, inventory } = snapshot;
  const { attempt, suspendTime, outcome } = status;
  if (outcome) return undefined;
  if (!job.spec.suspend) {
    if (suspendTime === undefined) return undefined;
    return {
      stage: 'suspended',
      action: nothing,
      record: { resumed: true },
      say: { reason: 'JobResumed', message: 'The job was resumed.' },
      requeueAfterMs: 0,
    };
  }
  const unsent = attempt?.state === 'Intent' && own.freshIntent === attempt.number;
  if (mayHavePod(attempt) && !unsent) return undefined;
  const say = {
    reason: 'JobSuspended',
    message: 'Nothing is rented while spec.suspend is true; set it to false and the job goes on.',
  };
  // A status that was wiped tells nothing of a pod; only a list does.
  if (inventory.listedAtMs === undefined)
    return { stage: 'suspended', action: nothing, record: {}, say, wantsList: true };
  // A pod whose create was given up may appear at any time.
  const next = ending(snapshot);
  if (next.kind !== 'gone') {
    const action = next.kind === 'terminate' ? next.action : nothing;
    return { stage: 'suspended', action, record: {}, say, wantsList: true };
  }
  return {
    stage: 'suspended',
    action: nothing,
    record: {
      ...(suspendTime === undefined && { suspended: true }),
      ...(unsent && { attempt: { ...attempt, state: 'Abandoned' } }),
    },
    say,
  };
}
