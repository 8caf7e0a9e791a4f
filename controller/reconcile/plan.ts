import type {
  Attempt,
  Candidate,
  Failure,
  LedgerEntry,
  Outcome,
  Refusal,
  TrainingJobStatus,
} from '../api/trainingjob.ts';

import type { Pinned } from './backing.ts';

/** What one pass does: at most one external write, what to record, and what to tell the user. Plain data. */
export interface Plan {
  /** Name of the stage that spoke. */
  readonly stage: string;
  readonly action: Action;
  readonly record: StatusRecord;
  readonly say: Say;
  /** Come back after this long even if nothing happens. */
  readonly requeueAfterMs?: number;
  /** The pass waits for a fresh list of pods. */
  readonly wantsList?: boolean;
}

export type Action =
  | { readonly kind: 'none' }
  | { readonly kind: 'addFinalizer' }
  /** `abandoned` names pods that the user released by annotation without proof of their end. */
  | { readonly kind: 'removeFinalizer'; readonly abandoned: readonly string[] }
  | {
      readonly kind: 'createPod';
      readonly attempt: Attempt;
      readonly candidate: Candidate;
      /** Seconds after which the pod ends itself whatever happens. */
      readonly hardEndSeconds?: number;
    }
  | { readonly kind: 'terminatePod'; readonly podID: string; readonly podName: string }
  /** The job's own object, whose time to live is over. */
  | { readonly kind: 'deleteResource' };

/** Changes to the stored part of status; everything else in status is derived. */
export interface StatusRecord {
  readonly started?: true;
  readonly attempt?: Attempt;
  readonly ledger?: LedgerEntry;
  readonly outcome?: Outcome;
  readonly failure?: Failure;
  readonly refusals?: readonly Refusal[];
  readonly completed?: true;
  /** The attempt ended in a fault and is to be followed by another, from that time on. */
  readonly retries?: NonNullable<TrainingJobStatus['retries']>;
  readonly retryTime?: string;
  readonly suspended?: true;
  readonly resumed?: true;
  /** A new run begins; what the one before reached is gone from status, and what it cost stays. */
  readonly restarted?: true;
  /** What the store knows of the run, for a status that has nothing of it. */
  readonly recalled?: RecalledRun;
}

export interface RecalledRun {
  readonly run: { readonly number: number; readonly firstAttempt: number } & Pinned;
  /** USD that attempts cost which the status does not list. */
  readonly spentUsd: number;
  readonly output?: NonNullable<TrainingJobStatus['output']>;
}

/** Why the job is where it is, in the reason and message of its conditions. The message must not change by itself with time. */
export interface Say {
  readonly reason: string;
  readonly message: string;
  /** Nothing will go on until a person acts. */
  readonly stalled?: boolean;
}

export const nothing: Action = { kind: 'none' };

/** The next whole second, for times that must not come too early: the end of a wait, or of what is paid for. */
export function isoUp(ms: number): string {
  return iso(Math.ceil(ms / 1000) * 1000);
}

export function iso(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z');
}
