import type { InventoryView } from '../runpod/inventory.ts';

/** How many pods of this installation a list shows, and what they cost together. */
export function rented({ pods }: InventoryView): { readonly pods: number; readonly usdPerHour: number } {
  const live = pods.filter(({ status }) => status !== 'TERMINATED');
  return { pods: live.length, usdPerHour: live.reduce((sum, pod) => sum + pod.costUsdPerHour, 0) };
}
