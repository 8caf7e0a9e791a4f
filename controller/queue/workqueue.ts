import type { Clock } from '../clock.ts';

/** Higher is served first. Ends of pods before users' changes, users' changes before what a list repeats. */
export const priorities = { list: 0, change: 1, urgent: 2 } as const;

export type Priority = (typeof priorities)[keyof typeof priorities];

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
  readonly priority: Priority;
  readonly weight: number;
  readonly addedMs: number;
}

export interface WorkQueueOptions {
  readonly observe?: QueueObserver;
  /** Of the keys of one priority the heaviest is served first; those of equal weight in the order of their coming. */
  readonly weight?: (key: string) => number;
}

/**
 * Keys that wait for work: each is there once, and never with two workers. A key that is added while it is worked on comes
 * back when its worker is done.
 */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #observe: QueueObserver | undefined;
  readonly #weight: (key: string) => number;
  readonly #ready = new Map<string, Ready>();
  /** Keys that weigh anything, by priority. */
  readonly #heavy = new Map<number, Set<string>>(Object.values(priorities).map((priority) => [priority, new Set()]));
  /** Keys by priority, in the order of their coming. */
  readonly #lanes = new Map<number, Set<string>>(Object.values(priorities).map((priority) => [priority, new Set()]));
  readonly #waiting = new Map<string, Waiting>();
  readonly #working = new Map<string, number>();
  readonly #again = new Map<string, Priority>();
  readonly #takers: ((key: string | undefined) => void)[] = [];
  #closed = false;

  constructor(clock: Clock, { observe, weight }: WorkQueueOptions = {}) {
    this.#clock = clock;
    this.#observe = observe;
    this.#weight = weight ?? (() => 0);
  }

  add(key: string, priority: Priority = priorities.change): void {
    if (this.#closed) return;
    this.#cancelWait(key);
    if (this.#working.has(key)) {
      const before = this.#again.get(key);
      this.#again.set(key, before !== undefined && before > priority ? before : priority);
      return;
    }
    const old = this.#ready.get(key);
    if (old && old.priority >= priority) return;
    if (old) this.#leave(key, old.priority); // a raised key goes to the back of its new priority
    const weight = this.#weight(key);
    this.#lanes.get(priority)?.add(key);
    if (weight > 0) this.#heavy.get(priority)?.add(key);
    this.#ready.set(key, { priority, weight, addedMs: old?.addedMs ?? this.#clock.monotonic() });
    if (!old) this.#observe?.add();
    this.#serve();
  }

  /** Adds after `ms`; of several such adds the soonest counts. */
  addAfter(key: string, ms: number, priority: Priority = priorities.change): void {
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
    for (const lane of [...this.#lanes.values(), ...this.#heavy.values()]) lane.clear();
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
    for (const lane of [priorities.urgent, priorities.change, priorities.list]) {
      const [first] = this.#lanes.get(lane) ?? [];
      const key = this.#heaviest(lane) ?? first;
      const ready = key === undefined ? undefined : this.#ready.get(key);
      if (key === undefined || !ready) continue;
      const nowMs = this.#clock.monotonic();
      this.#leave(key, lane);
      this.#ready.delete(key);
      this.#working.set(key, nowMs);
      this.#observe?.latencySeconds((nowMs - ready.addedMs) / 1000);
      return key;
    }
    return undefined;
  }

  #leave(key: string, lane: number): void {
    this.#lanes.get(lane)?.delete(key);
    this.#heavy.get(lane)?.delete(key);
  }

  #heaviest(lane: number): string | undefined {
    let found: string | undefined;
    let most = 0;
    for (const key of this.#heavy.get(lane) ?? []) {
      const weight = this.#ready.get(key)?.weight ?? 0;
      if (weight > most) [found, most] = [key, weight];
    }
    return found;
  }

  #cancelWait(key: string): void {
    this.#waiting.get(key)?.cancel();
    this.#waiting.delete(key);
  }
}
