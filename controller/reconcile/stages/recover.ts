import { mayHavePod } from '../attempts.ts';
import { recovering } from '../attemptover.ts';
import { nothing, type Plan } from '../plan.ts';
import type { Snapshot } from '../snapshot.ts';

/** Did the attempt before end in a fault a moment ago? Then the next one waits, the longer the more of them there were. */
export function recover(snapshot: Snapshot): Plan | undefined {
  const { attempt, retryTime } = snapshot.status;
  if (retryTime === undefined || mayHavePod(attempt)) return undefined;
  const waitMs = Date.parse(retryTime) - snapshot.nowMs;
  const say = recovering(snapshot.status, snapshot.job.spec.runPolicy);
  if (!say || waitMs <= 0) return undefined;
  return { stage: 'recover', action: nothing, record: {}, say, requeueAfterMs: waitMs };
}
