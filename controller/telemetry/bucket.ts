import type { Clock } from '../clock.ts';

/** Token buckets by key, bounded in number: how often each may ask. */
export class Buckets {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #levels = new Map<string, { level: number; atMs: number }>();

  constructor(clock: Clock, perSecond: number, burst: number) {
    this.#clock = clock;
    this.#perSecond = perSecond;
    this.#burst = burst;
  }

  /** Takes one token of the key's bucket; false when it is empty. */
  take(key: string): boolean {
    const nowMs = this.#clock.monotonic();
    const old = this.#levels.get(key) ?? { level: this.#burst, atMs: nowMs };
    const level = Math.min(this.#burst, old.level + ((nowMs - old.atMs) / 1000) * this.#perSecond);
    if (this.#levels.size > 20_000) this.#levels.clear();
    this.#levels.set(key, { level: Math.max(0, level - 1), atMs: nowMs });
    return level >= 1;
  }

  isEmpty(key: string): boolean {
    const old = this.#levels.get(key);
    return old !== undefined && old.level + ((this.#clock.monotonic() - old.atMs) / 1000) * this.#perSecond < 1;
  }
}
