import { resolved } from '../api/resolve.ts';
import type { TrainingJob, TrainingJobStatus } from '../api/trainingjob.ts';
import type { InventoryView } from '../runpod/inventory.ts';
import type { PodLease } from '../telemetry/roster.ts';
import { hardEndMs } from './limits.ts';
import type { Snapshot } from './snapshot.ts';
import { connectedAtMs } from './stages/deadlines.ts';

interface Leases {
  setLease(uid: string, attempt: number, lease: PodLease): void;
}

/**
 * How long each pod may go on without word of us. A lease is extended only by a list that shows the pod: an operator that
 * cannot see a pod any more cannot end it either, and the pod then has to end itself.
 */
export class PodLeases {
  readonly #telemetry: Leases;
  /** By uid; undefined for a run without an end, and absent for one that no pass has looked at yet. */
  readonly #endsAtMs = new Map<string, number | undefined>();

  constructor(telemetry: Leases) {
    this.#telemetry = telemetry;
  }

  /** Takes along when the run ends by deadline and budget, at the rate really charged. */
  passed(snapshot: Snapshot, status: TrainingJobStatus): void {
    const { uid } = snapshot.job.metadata;
    const after = { ...snapshot, status };
    const endMs = status.attempt?.state === 'Observed' ? hardEndMs(after, connectedAtMs(after)) : undefined;
    // Half the grace later than our own stop, which comes first while we are there.
    this.#endsAtMs.set(uid, endMs === undefined ? undefined : endMs + snapshot.policy.stopGraceMs / 2);
    this.#extend({ ...snapshot.job, status }, snapshot.inventory.view);
  }

  /** A new list: every pod that it shows may go on. */
  listed(jobs: readonly TrainingJob[], view: InventoryView): void {
    for (const job of jobs) this.#extend(job, view);
  }

  forget(uid: string): void {
    this.#endsAtMs.delete(uid);
  }

  #extend(job: TrainingJob, view: InventoryView): void {
    const { metadata, status } = job;
    const { attempt } = status ?? {};
    // Without a pass nothing is known of an end, and the pod must not be told that it has none.
    if (!this.#endsAtMs.has(metadata.uid)) return;
    const list = view.lists.findLast((entry) => entry.believed);
    if (attempt?.state !== 'Observed' || attempt.podID === undefined || !list?.live.has(attempt.podID)) return;
    this.#telemetry.setLease(metadata.uid, attempt.number, {
      untilMs: list.startedAt + resolved(job).spec.watchdog.deadManSeconds * 1000,
      endsAtMs: this.#endsAtMs.get(metadata.uid),
    });
  }
}
