import type { Attempt } from '../api/trainingjob.ts';
import { isProvedGone, livePods } from './attempts.ts';
import type { Action } from './plan.ts';
import type { Snapshot } from './snapshot.ts';

export type Ending =
  | { readonly kind: 'terminate'; readonly action: Action; readonly podID: string }
  | { readonly kind: 'wait'; readonly podIDs: readonly string[] }
  | { readonly kind: 'gone' };

/** The next step towards "no pod of this job exists", for every stage that ends something. A 404 is no proof; only lists are. */
export function ending(snapshot: Snapshot): Ending {
  const { attempt } = snapshot.status;
  const live = livePods(snapshot);
  // A pod whose end fails again and again (a locked one) comes after those that were not tried since: it must not keep the
  // others alive.
  const next = live
    .filter((pod) => !terminateStillTravels(snapshot, pod.id))
    .toSorted((a, b) => lastTriedAtMs(snapshot, a.id) - lastTriedAtMs(snapshot, b.id))[0];
  if (next) return terminate(next.id, next.name);
  if (live.length > 0) return { kind: 'wait', podIDs: live.map((pod) => pod.id) };
  if (attempt?.state !== 'Observed' || attempt.podID === undefined) return { kind: 'gone' };
  if (isProvedGone(snapshot, attempt)) return { kind: 'gone' };
  // Not listed, perhaps not listed yet: a delete costs one call, a pod that the list lags behind costs its rate.
  if (attempt.billedTo === undefined && !terminateAccepted(snapshot, attempt.podID)) {
    return terminate(attempt.podID, attempt.podName);
  }
  return { kind: 'wait', podIDs: [attempt.podID] };
}

/** What may be left at Runpod of this job, by id, or by name where no id is known. */
export function podsLeft(snapshot: Snapshot): readonly string[] {
  const { attempt } = snapshot.status;
  const left = new Set(snapshot.inventory.pods.map((pod) => pod.id));
  if (attempt && podMayBeLeft(attempt)) left.add(attempt.podID ?? attempt.podName);
  return [...left].toSorted();
}

function podMayBeLeft(attempt: Attempt): boolean {
  return attempt.state === 'Observed' || attempt.state === 'Unknown' || attempt.state === 'Intent';
}

function terminate(podID: string, podName: string): Ending {
  return { kind: 'terminate', podID, action: { kind: 'terminatePod', podID, podName } };
}

function terminateAccepted(snapshot: Snapshot, podID: string): boolean {
  return snapshot.own.terminates?.[podID]?.acceptedAtMs !== undefined;
}

function lastTriedAtMs(snapshot: Snapshot, podID: string): number {
  return snapshot.own.terminates?.[podID]?.sentAtMs ?? 0;
}

/** Our delete was accepted and no list began after it: asking again would only spend quota. */
export function terminateStillTravels(snapshot: Snapshot, podID: string): boolean {
  const acceptedAtMs = snapshot.own.terminates?.[podID]?.acceptedAtMs;
  return acceptedAtMs !== undefined && (snapshot.inventory.listedAtMs ?? 0) <= acceptedAtMs;
}
