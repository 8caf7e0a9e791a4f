import type { Refusal } from '../api/trainingjob.ts';
import { refusalWaitMs } from './attempts.ts';
import { iso } from './plan.ts';
import type { Snapshot } from './snapshot.ts';

/** The candidate's line of refusals after one more. Counts go on while the spec and the class stay the same. */
export function refusal(
  snapshot: Snapshot,
  candidate: string,
  refused: { readonly class: Refusal['class']; readonly message: string; readonly retryAfterMs?: number },
): Refusal {
  const before = snapshot.status.placement?.refusals?.find((entry) => entry.candidate === candidate);
  const { generation } = snapshot.job.metadata;
  const count = before?.class === refused.class && before.generation === generation ? before.count + 1 : 1;
  const waitMs = refusalWaitMs(snapshot, { ...refused, count });
  return {
    candidate,
    class: refused.class,
    message: refused.message.slice(0, 512),
    count,
    generation,
    lastTime: iso(snapshot.nowMs),
    // Times have whole seconds; rounded down it would be over before it began.
    retryTime: iso(Math.ceil((snapshot.nowMs + waitMs) / 1000) * 1000),
  };
}
