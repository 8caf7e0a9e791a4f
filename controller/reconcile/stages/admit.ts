import { finalizer } from '../../api/trainingjob.ts';
import { mayHavePod } from '../attempts.ts';
import { nothing, type Plan, type Say } from '../plan.ts';
import type { Snapshot } from '../snapshot.ts';

/**
 * May this job rent at all? The finalizer is there before the first paid call (I3). A job is taken up when its runtime is
 * there: until then no deadline runs.
 */
export function admit(snapshot: Snapshot): Plan | undefined {
  const { job, status } = snapshot;
  if (!job.metadata.finalizers?.includes(finalizer)) {
    return {
      stage: 'admit',
      action: { kind: 'addFinalizer' },
      record: {},
      say: { reason: 'Accepted', message: 'The job was taken up.' },
      requeueAfterMs: 0,
    };
  }
  const { problem } = snapshot.backing;
  // A pod that was taken over is watched, whatever stands behind its job.
  if (status.startTime === undefined && problem && !mayHavePod(status.attempt)) return held(snapshot, problem);
  if (status.startTime === undefined) {
    return {
      stage: 'admit',
      action: nothing,
      record: { started: true },
      say: { reason: 'Accepted', message: 'The job was taken up.' },
      requeueAfterMs: 0,
    };
  }
  if (mayHavePod(status.attempt) && snapshot.own.freshIntent !== status.attempt.number) return undefined;
  const why = obstacle(snapshot);
  return why && held(snapshot, why);
}

/** Nothing is rented, and the job is looked at again after a while. */
function held({ policy }: Snapshot, say: Say): Plan {
  return { stage: 'admit', action: nothing, record: {}, say, requeueAfterMs: policy.recheckMs, wantsList: true };
}

function obstacle(snapshot: Snapshot): Say | undefined {
  const { missingSecrets, inventory, backing, job, policy } = snapshot;
  if (backing.problem) return backing.problem;
  if (snapshot.account.closed) return snapshot.account.closed;
  if (job.spec.telemetry?.transport === 'Push' && !policy.canBeCalled) {
    return {
      reason: 'TelemetryAddressMissing',
      message:
        'spec.telemetry.transport is Push, but this operator has no address that pods could call; write spec.telemetry: {transport: Pull}, or leave spec.telemetry out, or have TELEMETRY_URL set for the operator.',
      stalled: true,
    };
  }
  if (missingSecrets.length > 0) return { reason: 'SecretMissing', message: missingSecrets.join(' '), stalled: true };
  const account = accountTrouble(snapshot);
  if (account) return account;
  if (inventory.view.suspicious) {
    return {
      reason: 'InventoryNotTrusted',
      message:
        "Runpod's newest list lacks half or more of the pods that should be there; it is not believed, and nothing is rented until lists agree.",
    };
  }
  if (inventory.listedAtMs === undefined) {
    return { reason: 'AwaitingInventory', message: "Waiting for a first list of the account's pods." };
  }
  return undefined;
}

/** What is wrong with the Runpod account, as its last answer to the shared list tells. */
export function accountTrouble(snapshot: Snapshot): Say | undefined {
  const { account, inventory } = snapshot;
  const { error } = inventory.view;
  if (error?.kind === 'unauthorized') {
    return {
      reason: 'AccountUnauthorized',
      message: `The API key of account ${account.name} does not work (${error.message}); put a working key into ${account.keyPlace}. Until then pods can be neither rented nor ended.`,
      stalled: true,
    };
  }
  if (error?.kind === 'forbidden') {
    return {
      reason: 'AccountForbidden',
      message: `The API key of account ${account.name} may not list pods (${error.message}); give it read and write access to pods.`,
      stalled: true,
    };
  }
  return undefined;
}
