import { parsePodName } from '../../api/identity.ts';
import { livePods } from '../attempts.ts';
import type { Plan } from '../plan.ts';
import type { Snapshot } from '../snapshot.ts';

/**
 * Is there a pod of this job that is not the recorded one? Then it is ended (I2).
 *
 * A pod of a later attempt than status knows means that the snapshot is old, not that the pod is wrong; it is left alone.
 */
export function duplicates(snapshot: Snapshot): Plan | undefined {
  const { attempt } = snapshot.status;
  if (!attempt || attempt.state === 'Intent') return undefined;
  const { terminate } = snapshot.own;
  const wrong = livePods(snapshot).find((pod) => {
    const number = parsePodName(pod.name)?.attempt ?? Number.POSITIVE_INFINITY;
    const travelling =
      terminate?.podID === pod.id && (snapshot.inventory.listedAtMs ?? 0) <= (terminate.acceptedAtMs ?? 0);
    return number <= attempt.number && !(attempt.state === 'Observed' && pod.id === attempt.podID) && !travelling;
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
