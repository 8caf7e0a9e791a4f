import type { TrainingJob } from '../api/trainingjob.ts';
import { keyOf } from '../api/trainingjob.ts';
import type { Clock } from '../clock.ts';
import { mayHavePod } from '../reconcile/attempts.ts';
import { iso, type Say } from '../reconcile/plan.ts';
import { neverReached, pausedUntilMs, unconnected } from './unconnected.ts';

export interface TrialOptions {
  readonly account: string;
  readonly clock: Clock;
  readonly jobs: () => readonly TrainingJob[];
  readonly pause: { readonly firstMs: number; readonly maxMs: number };
}

/** A job that was let through writes its intent within this time, or another has its turn. */
const turnMs = 30_000;

/**
 * Stops an account's creates after three pods in a row that never connected: an address that pods cannot reach would otherwise be
 * paid for by every job, again and again. After a pause one pod is tried at a time; the first that connects opens the account.
 */
export class Trial {
  readonly #options: TrialOptions;
  #turn: { readonly uid: string; readonly atMs: number } | undefined;

  constructor(options: TrialOptions) {
    this.#options = options;
  }

  /** Why this job may not rent now; undefined when it may. */
  closedTo(job: TrainingJob): Say | undefined {
    const { account, clock, jobs, pause } = this.#options;
    const all = jobs();
    const silent = unconnected(all, account);
    const untilMs = pausedUntilMs(silent, pause);
    if (untilMs === undefined) return undefined;
    const why = `Account ${account}: ${neverReached(silent)}`;
    const nowMs = clock.now();
    if (nowMs < untilMs)
      return {
        reason: 'PodsNeverConnect',
        message: `${why} Nothing is rented until ${iso(untilMs)}; then one pod is tried.`,
      };
    const { uid } = job.metadata;
    const trying = all.find(
      ({ metadata, status }) =>
        metadata.uid !== uid && mayHavePod(status?.attempt) && status.attempt.connectedTime === undefined,
    );
    if (trying)
      return {
        reason: 'PodsNeverConnect',
        message: `${why} One pod is tried at a time, now that of ${keyOf(trying)}.`,
      };
    if (this.#turn && this.#turn.uid !== uid && nowMs - this.#turn.atMs < turnMs)
      return { reason: 'PodsNeverConnect', message: `${why} One pod is tried at a time.` };
    this.#turn = { uid, atMs: nowMs };
    return undefined;
  }
}
