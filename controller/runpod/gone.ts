import type { InventoryView } from './inventory.ts';

/** A pod as lists can show it: by id when it is known, and by name, which holds even when it is not. */
export interface PodReference {
  readonly podID?: string;
  readonly name: string;
}

/**
 * A pod is gone when it is missing, or TERMINATED, in two believed lists that were both started after `afterMs` and at least
 * `gapMs` apart, and in every believed list after the first of them. A single list may lag or lie; a 404 proves nothing (I4).
 */
export function isGone(view: InventoryView, pod: PodReference, afterMs: number, gapMs: number): boolean {
  const lists = view.lists.filter((list) => list.believed && list.startedAt > afterMs);
  const lastSeen = lists.findLastIndex(
    (list) => list.live.has(pod.name) || (pod.podID !== undefined && list.live.has(pod.podID)),
  );
  const without = lists.slice(lastSeen + 1);
  const first = without.at(0);
  const last = without.at(-1);
  return first !== undefined && last !== undefined && last.startedAt - first.startedAt >= gapMs;
}
