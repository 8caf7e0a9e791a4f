export interface BackoffOptions {
  readonly minMs: number;
  readonly maxMs: number;
  /** Random part, 0 to 1: 0.2 spreads a wait over its last fifth. */
  readonly jitter: number;
  readonly random: () => number;
}

/** Waits that double with each failure of a key until it succeeds. */
export class Backoff {
  readonly #failures = new Map<string, number>();
  readonly #options: BackoffOptions;

  constructor(options: Partial<BackoffOptions> = {}) {
    this.#options = { minMs: 50, maxMs: 30_000, jitter: 0.2, random: Math.random, ...options };
  }

  /** Milliseconds until the next try. */
  next(key: string): number {
    const { minMs, maxMs, jitter, random } = this.#options;
    const failures = this.#failures.get(key) ?? 0;
    this.#failures.set(key, failures + 1);
    const full = Math.min(maxMs, minMs * 2 ** Math.min(failures, 40));
    return full * (1 - jitter * random());
  }

  forget(key: string): void {
    this.#failures.delete(key);
  }
}
