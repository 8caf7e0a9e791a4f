import type { Scoring } from '../scoring/best.ts';
import type { Command } from './protocol.ts';
import type { AttemptRow } from './store/store.ts';

/** Until when a pod may go on without word of its operator, and when its run ends in any case; epoch milliseconds. */
export interface PodLease {
  readonly untilMs: number;
  readonly endsAtMs: number | undefined;
}

export interface KnownAttempt {
  readonly row: AttemptRow;
  readonly scoring: Scoring;
  /** What the trainer is to do, all of it. */
  readonly commands: readonly Command[];
  readonly lease: PodLease | undefined;
}

/** The attempts that may report, by job: no look-up may cost more because there are many jobs. */
export class Roster {
  readonly #jobs = new Map<string, Map<number, KnownAttempt>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  uids(): readonly string[] {
    return [...this.#jobs.keys()];
  }

  get(uid: string, attempt: number): KnownAttempt | undefined {
    return this.#jobs.get(uid)?.get(attempt);
  }

  attemptsOf(uid: string): readonly KnownAttempt[] {
    return [...(this.#jobs.get(uid)?.values() ?? [])];
  }

  put(row: AttemptRow, commands: readonly Command[] = []): void {
    const attempts = this.#jobs.get(row.uid) ?? new Map<number, KnownAttempt>();
    const old = attempts.get(row.attempt);
    if (!old) this.#size += 1;
    const scoring = old?.row.scoring === row.scoring ? old.scoring : (JSON.parse(row.scoring) as Scoring);
    attempts.set(row.attempt, { row, scoring, commands, lease: old?.lease });
    this.#jobs.set(row.uid, attempts);
  }

  setLease(uid: string, attempt: number, lease: PodLease): void {
    const attempts = this.#jobs.get(uid);
    const known = attempts?.get(attempt);
    if (known) attempts?.set(attempt, { ...known, lease });
  }

  forget(uid: string): void {
    this.#size -= this.#jobs.get(uid)?.size ?? 0;
    this.#jobs.delete(uid);
  }
}
