import type { Clock } from '../../controller/clock.ts';
import { nowMs as startMs } from './snapshot.ts';

interface Timer {
  readonly dueMs: number;
  readonly run: () => void;
}

/** A clock that stands still until it is told to go on. */
export class ManualClock implements Clock {
  #elapsedMs = 0;
  #wallMs = startMs;
  readonly #timers = new Set<Timer>();

  now(): number {
    return this.#wallMs + this.#elapsedMs;
  }

  monotonic(): number {
    return this.#elapsedMs;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { dueMs: this.#elapsedMs + ms, run };
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
    const untilMs = this.#elapsedMs + ms;
    for (let next = this.#due(untilMs); next; next = this.#due(untilMs)) this.#run(next);
    this.#elapsedMs = untilMs;
  }

  /** As `advance`, and what a timer sets off goes on before the next one runs. */
  async pass(ms: number): Promise<void> {
    const untilMs = this.#elapsedMs + ms;
    await settle();
    for (let next = this.#due(untilMs); next; next = this.#due(untilMs)) {
      this.#run(next);
      await settle();
    }
    this.#elapsedMs = untilMs;
    await settle();
  }

  /** Sets the wall clock forward or back, as an administrator does; no time passes. */
  setWall(byMs: number): void {
    this.#wallMs += byMs;
  }

  #due(untilMs: number): Timer | undefined {
    return [...this.#timers].filter((timer) => timer.dueMs <= untilMs).toSorted((a, b) => a.dueMs - b.dueMs)[0];
  }

  #run(timer: Timer): void {
    this.#timers.delete(timer);
    this.#elapsedMs = Math.max(this.#elapsedMs, timer.dueMs);
    timer.run();
  }
}

/** Resolves when every promise that could go on has gone on. */
export function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
