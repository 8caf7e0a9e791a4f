import type { Accounts } from './accounts/accounts.ts';
import type { TrainingJob } from './api/trainingjob.ts';
import type { Reflector } from './kube/reflector.ts';
import type { Telemetry } from './telemetry/telemetry.ts';

export interface Readiness {
  readonly ready: boolean;
  /** All that stands in the way, as told at /readyz. */
  readonly reasons: readonly string[];
}

/** Whether a leader can do its work now. */
export function readiness(
  reflector: Reflector<TrainingJob>,
  accounts: Accounts,
  telemetry: Telemetry,
  holds: () => boolean,
): Readiness {
  const reasons: string[] = [];
  if (!holds()) reasons.push('this process does not lead any more');
  if (telemetry.ingestReadyAtMs === undefined) reasons.push('the telemetry store is not replayed yet');
  if (telemetry.storeError !== undefined) reasons.push(telemetry.storeError);
  if (reflector.lastSyncAgeMs() === undefined) reasons.push('TrainingJobs are not listed yet');
  // An account that refuses us is its own condition; an operator that never saw any pod can look after none.
  const views = accounts.all().map((account) => account.view());
  if (views.length > 0 && views.every(({ lists }) => lists.length === 0))
    reasons.push(views[0]?.error?.message ?? 'pods are not listed yet');
  return { ready: reasons.length === 0, reasons };
}
