import type { Attempt, LedgerEntry, TrainingJobStatus } from '../api/trainingjob.ts';

/** USD billed for the pod of an attempt until `nowMs`, or 0 while no pod of it is known. */
export function attemptCostUsd(attempt: Attempt | undefined, nowMs: number): number {
  if (attempt?.billedFrom === undefined || attempt.pricePerHour === undefined) return 0;
  const endMs = attempt.billedTo === undefined ? nowMs : Date.parse(attempt.billedTo);
  const seconds = Math.max(0, endMs - Date.parse(attempt.billedFrom)) / 1000;
  return (seconds / 3600) * Number(attempt.pricePerHour);
}

/** USD billed for the whole job: attempts that left the ledger, those in it, and the one that is not in it yet. */
export function jobCostUsd(status: TrainingJobStatus | undefined, nowMs: number): number {
  const ledger = status?.attempts ?? [];
  const settled = Number(status?.cost?.earlier ?? 0) + ledgerCostUsd(ledger);
  const current = status?.attempt;
  // What is proved gone is in the ledger, or among what the ledger no longer lists.
  const counted =
    current !== undefined && (current.state === 'Gone' || ledger.some((entry) => entry.number === current.number));
  return settled + (counted ? 0 : attemptCostUsd(current, nowMs));
}

/** USD that these attempts cost. */
export function ledgerCostUsd(entries: readonly LedgerEntry[]): number {
  return entries.reduce((sum, entry) => sum + Number(entry.cost ?? 0), 0);
}

/** USD as a decimal string with `digits` places; the operator never writes a float to the API. */
export function usd(amount: number, digits = 4): string {
  return amount.toFixed(digits);
}

/**
 * USD kept back of a budget for the last checkpoint, so that stopping it does not exceed it (I16): the price of the stop's
 * grace, at most a tenth of the budget.
 */
export function stopReserveUsd(maxTotalUsd: number, pricePerHourUsd: number, stopGraceSeconds: number): number {
  return Math.min(maxTotalUsd / 10, (pricePerHourUsd * stopGraceSeconds) / 3600);
}
