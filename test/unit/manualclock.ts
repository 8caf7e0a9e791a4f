import type { Clock } from '../../controller/clock.ts';
import { nowMs } from './snapshot.ts';

/** A clock that goes on when it is told to. */
export class ManualClock implements Clock {
  #nowMs = nowMs;
  readonly #timers = new Set<{ readonly dueMs: number; readonly run: () => void }>();

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#nowMs - nowMs;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { dueMs: this.#nowMs + ms, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(ms, resolve);
    });
  }

  /** Timers that have yet to run. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Runs what becomes due, each at its own time. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const [next] = [...this.#timers].filter((timer) => timer.dueMs <= untilMs).toSorted((a, b) => a.dueMs - b.dueMs);
      if (!next) break;
      this.#timers.delete(next);
      this.#nowMs = next.dueMs;
      next.run();
    }
    this.#nowMs = untilMs;
  }
}
