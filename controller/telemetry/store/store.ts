/** One attempt that may report; its row is written before its pod can exist. */
export interface AttemptRow {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly attempt: number;
  readonly nonce: string;
  /** JSON of how its evaluations are scored. */
  readonly scoring: string;
  readonly podID: string | null;
  readonly closed: boolean;
}

/**
 * One run of a job, apart from its object: what was asked for, how it ended and what it cost. It outlives the object, so that
 * one that is applied again is known, and a status that was wiped can be written anew.
 */
export interface RunRow {
  readonly uid: string;
  readonly run: number;
  readonly namespace: string;
  readonly name: string;
  readonly specHash: string;
  readonly restartToken: string;
  readonly outcome: 'Running' | 'Succeeded' | 'Failed';
  /** Why it ended so; empty while it runs. */
  readonly reason: string;
  readonly firstAttempt: number;
  /** Number of its newest attempt. */
  readonly attempts: number;
  /** USD that its attempts, and those of earlier runs, cost; but for one that goes on. */
  readonly spentUsd: number;
  /** JSON of what the run is pinned to; null in rows from before there was such a thing. */
  readonly pinned: string | null;
  readonly outputUri: string | null;
  readonly manifestSHA256: string | null;
  /** JSON of where at the Hugging Face Hub the output is as well; null where it is not. */
  readonly published: string | null;
  /** Epoch milliseconds of its end; null while it runs. */
  readonly completedAt: number | null;
}

/** One accepted batch: its events as the JSON text that came. */
export interface BatchRow {
  readonly uid: string;
  readonly attempt: number;
  readonly session: string;
  readonly sequence: number;
  /** SHA-256 of the events, to tell a repetition from another batch of that number. */
  readonly hash: string;
  /** Epoch milliseconds of our clock. */
  readonly receivedAt: number;
  readonly payload: string;
}

export interface StoredBatch extends BatchRow {
  /** Grows with every batch; where a reader goes on. */
  readonly id: number;
}

export type AppendResult =
  | { readonly kind: 'stored' }
  /** The same batch is there already. */
  | { readonly kind: 'duplicate' }
  /** Another content under this number, or a number that is not the next; `expected` is. */
  | { readonly kind: 'conflict'; readonly expected: number };

/** Durable memory of what trainers reported. A promise that resolves means: it survives any crash (I7). */
export interface TelemetryStore {
  /**
   * Makes an attempt known and ends those before it. The same attempt again keeps its pod; one of the same number with
   * another nonce is another attempt.
   */
  putAttempt(row: AttemptRow): Promise<void>;
  pinPod(uid: string, attempt: number, podID: string): Promise<void>;
  closeAttempt(uid: string, attempt: number): Promise<void>;
  /** Writes what is known of a run now; (uid, run) is its key. */
  putRun(row: RunRow): Promise<void>;
  /** Every run, oldest first. */
  runs(): Promise<readonly RunRow[]>;
  append(row: BatchRow): Promise<AppendResult>;
  attempts(): Promise<readonly AttemptRow[]>;
  /**
   * Batches in the order of their acceptance, after `afterID`, at most `limit` and a few megabytes; of one job when `uid` is
   * given. None means that there are no more.
   */
  batches(afterID: number, limit: number, uid?: string): Promise<readonly StoredBatch[]>;
  /** Forgets attempts and batches of a job; its runs stay. */
  forgetJob(uid: string): Promise<void>;
  /** Resolves when something can be made durable; brings back what stood in the way, if that is possible. */
  check(): Promise<void>;
  close(): Promise<void>;
}
