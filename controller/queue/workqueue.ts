import type { Clock } from '../clock.ts';

/** Higher is served first. Ends of pods before users' changes, users' changes before what a list repeats. */
export const priorities = { list: 0, change: 1, urgent: 2 } as const;

export interface QueueObserver {
  add(): void;
  depth(items: number): void;
  latencySeconds(seconds: number): void;
  workSeconds(seconds: number): void;
  retry(): void;
}

interface Waiting {
  readonly dueMs: number;
  readonly cancel: () => void;
}

interface Ready {
  readonly priority: number;
  readonly addedMs: number;
}

/**
 * Keys that wait for work: each is there once, and never with two workers. A key that is added while it is worked on comes
 * back when its worker is done.
 */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #observe: QueueObserver | undefined;
  readonly #ready = new Map<string, Ready>();
  readonly #waiting = new Map<string, Waiting>();
  readonly #working = new Map<string, number>();
  readonly #again = new Map<string, number>();
  readonly #takers: ((key: string | undefined) => void)[] = [];
  #closed = false;

  constructor(clock: Clock, observe?: QueueObserver) {
    this.#clock = clock;
    this.#observe = observe;
  }

  add(key: string, priority: number = priorities.change): void {
    if (this.#closed) return;
    this.#cancelWait(key);
    if (this.#working.has(key)) {
      this.#again.set(key, Math.max(priority, this.#again.get(key) ?? priority));
      return;
    }
    const old = this.#ready.get(key);
    if (old && old.priority >= priority) return;
    this.#ready.delete(key); // a raised key goes to the back of its new priority
    this.#ready.set(key, { priority, addedMs: old?.addedMs ?? this.#clock.monotonic() });
    if (!old) this.#observe?.add();
    this.#serve();
  }

  /** Adds after `ms`; of several such adds the soonest counts. */
  addAfter(key: string, ms: number, priority: number = priorities.change): void {
    if (this.#closed) return;
    if (ms <= 0) return this.add(key, priority);
    const dueMs = this.#clock.monotonic() + ms;
    const old = this.#waiting.get(key);
    if (old && old.dueMs <= dueMs) return;
    this.#cancelWait(key);
    const cancel = this.#clock.after(ms, () => {
      this.#waiting.delete(key);
      this.add(key, priority);
    });
    this.#waiting.set(key, { dueMs, cancel });
  }

  /** The next key, as soon as there is one; undefined once the queue is closed. The taker must call `done`. */
  take(): Promise<string | undefined> {
    if (this.#closed) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#takers.push(resolve);
      this.#serve();
    });
  }

  done(key: string): void {
    const startedMs = this.#working.get(key);
    if (startedMs === undefined) return;
    this.#working.delete(key);
    this.#observe?.workSeconds((this.#clock.monotonic() - startedMs) / 1000);
    const again = this.#again.get(key);
    this.#again.delete(key);
    if (again !== undefined) this.add(key, again);
  }

  /** No more keys are given out; waiting takers get undefined. */
  close(): void {
    this.#closed = true;
    for (const { cancel } of this.#waiting.values()) cancel();
    this.#waiting.clear();
    this.#ready.clear();
    for (const taker of this.#takers.splice(0)) taker(undefined);
  }

  get size(): number {
    return this.#ready.size;
  }

  #serve(): void {
    while (this.#takers.length > 0) {
      const next = this.#pop();
      if (next === undefined) break;
      this.#takers.shift()?.(next);
    }
    this.#observe?.depth(this.#ready.size);
  }

  #pop(): string | undefined {
    let best: { readonly key: string; readonly ready: Ready } | undefined;
    for (const [key, ready] of this.#ready) {
      if (!best || ready.priority > best.ready.priority) best = { key, ready };
      if (ready.priority >= priorities.urgent) break;
    }
    if (!best) return undefined;
    const nowMs = this.#clock.monotonic();
    this.#ready.delete(best.key);
    this.#working.set(best.key, nowMs);
    this.#observe?.latencySeconds((nowMs - best.ready.addedMs) / 1000);
    return best.key;
  }

  #cancelWait(key: string): void {
    this.#waiting.get(key)?.cancel();
    this.#waiting.delete(key);
  }
}
