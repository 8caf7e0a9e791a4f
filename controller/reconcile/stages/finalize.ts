import { finalizer } from '../../api/trainingjob.ts';
import { ending } from '../ending.ts';
import { nothing, type Plan } from '../plan.ts';
import type { Snapshot } from '../snapshot.ts';
import { accountTrouble } from './admit.ts';

/** Is the job being deleted? Then its pod ends at once, and the finalizer goes when that is proved. */
export function finalize(snapshot: Snapshot): Plan | undefined {
  const { metadata } = snapshot.job;
  if (metadata.deletionTimestamp === undefined) return undefined;
  const say = {
    reason: 'Deleting',
    message: 'The job is being deleted; its pod is being ended. What it stored stays.',
  };
  if (!metadata.finalizers?.includes(finalizer)) {
    return { stage: 'finalize', action: nothing, record: {}, say };
  }
  // A status without a start was wiped by hand and tells nothing; only a list shows whether there is a pod (I4).
  if (snapshot.status.startTime === undefined && snapshot.inventory.listedAtMs === undefined) {
    return { stage: 'finalize', action: nothing, record: {}, say: accountTrouble(snapshot) ?? say, wantsList: true };
  }
  const next = ending(snapshot);
  switch (next.kind) {
    case 'gone':
      return { stage: 'finalize', action: { kind: 'removeFinalizer', abandoned: [] }, record: {}, say };
    case 'terminate':
      return { stage: 'finalize', action: next.action, record: {}, say, requeueAfterMs: 0, wantsList: true };
    case 'wait':
      return { stage: 'finalize', action: nothing, record: {}, say: accountTrouble(snapshot) ?? say, wantsList: true };
  }
}
