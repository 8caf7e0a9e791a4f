import type { ResolvedJob } from '../api/resolve.ts';
import type { TrainingJobSpec, TrainingJobStatus } from '../api/trainingjob.ts';
import type { CloudPod } from '../runpod/cloudpod.ts';
import type { Catalog } from '../runpod/catalog.ts';
import type { InventoryView } from '../runpod/inventory.ts';
import type { RunRow } from '../telemetry/store/store.ts';
import type { JobTelemetry } from '../telemetry/jobtelemetry.ts';
import type { Backing } from './backing.ts';
import type { Say } from './plan.ts';

/**
 * All that `decide` may know, gathered once per pass and frozen. Whatever can be stale carries its age.
 * All instants are milliseconds since the Unix epoch.
 */
export interface Snapshot {
  readonly nowMs: number;
  /** With the spec that it comes to. */
  readonly job: ResolvedJob;
  /** The spec as its user wrote it. */
  readonly written: TrainingJobSpec;
  /** What stands behind it. */
  readonly backing: Backing;
  readonly status: TrainingJobStatus;
  readonly account: JobAccount;
  readonly inventory: JobInventory;
  /** What the trainer of the current attempt, or an earlier one, reported. */
  readonly telemetry: JobTelemetry | undefined;
  /** Since when this operator could hear trainers; silence before that is ours, not theirs. */
  readonly ingestReadyAtMs: number;
  readonly own: OwnWrites;
  /** Fresh random letters for the name of a next attempt; here, so that decide stays pure. */
  readonly nonce: string;
  readonly installation: string;
  /** Sentences, one for each Secret or key that the spec names and that is not there. */
  readonly missingSecrets: readonly string[];
  /** Runpod's price list, or undefined while it could not be had. */
  readonly catalog: Catalog | undefined;
  readonly policy: Policy;
  /** What the store knows of runs of this very object, and of one just like it; only for a status without an attempt. */
  readonly ran: { readonly own: RunRow | undefined; readonly twin: RunRow | undefined } | undefined;
}

/** The account that the job's pod is, or would be, rented in. */
export interface JobAccount {
  readonly name: string;
  /** Where a person puts a working key, as told in messages. */
  readonly keyPlace: string;
  /** Why nothing may be rented in it now; looked at only for a job that has yet to rent. */
  readonly closed: Say | undefined;
}

export interface JobInventory {
  /** Pods that carry this job's identity in the newest believed list and are not TERMINATED. */
  readonly pods: readonly CloudPod[];
  /** When the newest believed list was started; undefined before the first. */
  readonly listedAtMs: number | undefined;
  readonly view: InventoryView;
}

/** Durations that decisions are made with, from settings. */
export interface Policy {
  readonly goneGapMs: number;
  readonly createGraceMs: number;
  readonly stopGraceMs: number;
  readonly refusalBackoffMs: number;
  readonly refusalBackoffMaxMs: number;
  /** From the end of an attempt to the next; doubles up to the second. */
  readonly retryBackoffMs: number;
  readonly retryBackoffMaxMs: number;
  readonly excludeMs: number;
  readonly recheckMs: number;
  readonly progressWriteMs: number;
  /** Who calls whom where a job does not say. */
  readonly transport: 'Push' | 'Pull';
  /** Whether there is an address that pods could call. */
  readonly canBeCalled: boolean;
}

/**
 * What this process itself did to Runpod for one job, so that its next pass is not fooled by a status or a list that is older.
 * Lost with the process; every stage must then still be right, only slower.
 */
export interface OwnWrites {
  readonly processStartedAtMs: number;
  /** Attempt whose intent this process wrote and whose create it has not sent. */
  readonly freshIntent?: number;
  readonly create?: { readonly attempt: number; readonly sentAtMs: number; readonly result?: CreateResult };
  /** By pod id, as a job may have several pods to end. */
  readonly terminates?: Readonly<Record<string, { readonly sentAtMs: number; readonly acceptedAtMs?: number }>>;
  /** End of the newest write to Runpod for this job. */
  readonly lastWriteAtMs?: number;
  /** What the log of a pod that is to be ended said last; read once. */
  readonly lastWords?: { readonly podID: string; readonly lines: readonly string[] };
  /** When the status was last written for the sake of progress. */
  readonly statusWrittenAtMs?: number;
}

export type CreateResult =
  | { readonly kind: 'created'; readonly pod: CloudPod }
  | { readonly kind: 'refused'; readonly class: RefusalClass; readonly message: string; readonly retryAfterMs?: number }
  | { readonly kind: 'unknown'; readonly message: string };

export type RefusalClass =
  | 'NoCapacity'
  | 'PriceAboveCap'
  | 'WrongPlace'
  | 'Invalid'
  | 'Balance'
  | 'Forbidden'
  | 'RateLimited'
  | 'Unauthorized'
  | 'Unclassified';
