import { abandonPodsAnnotation, finalizer } from '../../api/trainingjob.ts';
import { podsLeft } from '../ending.ts';
import type { Plan } from '../plan.ts';
import type { Snapshot } from '../snapshot.ts';

/**
 * Did the user give up the pods of a job that is being deleted?
 *
 * The one way past the proof that no pod is left, for when the account's key is gone for good. The annotation must name
 * exactly what may be left, so that nobody gives up a pod that they did not look at.
 */
export function abandon(snapshot: Snapshot): Plan | undefined {
  const { metadata } = snapshot.job;
  if (metadata.deletionTimestamp === undefined || !metadata.finalizers?.includes(finalizer)) return undefined;
  const value = metadata.annotations?.[abandonPodsAnnotation];
  if (value === undefined) return undefined;
  const named = value
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
    .toSorted();
  const left = podsLeft(snapshot);
  if (left.length === 0 || named.join() !== left.join()) return undefined;
  return {
    stage: 'abandon',
    action: { kind: 'removeFinalizer', abandoned: left },
    record: {},
    say: { reason: 'PodsAbandoned', message: `Released without proof that these pods ended: ${left.join(', ')}.` },
  };
}
