import { parsePodName } from '../../api/identity.ts';
import type { Attempt } from '../../api/trainingjob.ts';
import { livePods } from '../attempts.ts';
import { terminateStillTravels } from '../ending.ts';
import type { Plan } from '../plan.ts';
import type { Snapshot } from '../snapshot.ts';

/**
 * Is there a pod of this job that is not the recorded one? Then it is ended (I2).
 *
 * A pod of a later attempt than status knows means that the snapshot is old, not that the pod is wrong; it is left alone.
 */
export function duplicates(snapshot: Snapshot): Plan | undefined {
  const { attempt } = snapshot.status;
  if (!attempt) return undefined;
  // What the trainer finished is settled first, and that ends every pod of the job; a pod that cannot be ended must not hold
  // it up.
  if (attempt.state === 'Observed' && snapshot.telemetry?.finals[attempt.number]) return undefined;
  const wrong = livePods(snapshot).find((pod) => {
    const number = parsePodName(pod.name)?.attempt ?? Number.POSITIVE_INFINITY;
    return isWrong(attempt, number, pod.id) && !terminateStillTravels(snapshot, pod.id);
  });
  if (!wrong) return undefined;
  return {
    stage: 'duplicates',
    action: { kind: 'terminatePod', podID: wrong.id, podName: wrong.name },
    record: {},
    say: {
      reason: 'EndingDuplicatePod',
      message: `Pod ${wrong.id} belongs to this job but is not its recorded pod; it is being ended.`,
    },
    requeueAfterMs: 0,
    wantsList: true,
  };
}

function isWrong(attempt: Attempt, number: number, podID: string): boolean {
  if (number !== attempt.number) return number < attempt.number;
  // A pod of an intent is one for the unknown outcome; only a create that is settled has a pod that is the right one.
  if (attempt.state === 'Intent' || attempt.state === 'Unknown') return false;
  return attempt.state !== 'Observed' || podID !== attempt.podID;
}
