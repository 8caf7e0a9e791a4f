import type { Clock } from '../clock.ts';

const mostKeys = 20_000;

/** Token buckets by key, bounded in number: how often each may ask. */
export class Buckets {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #levels = new Map<string, { readonly level: number; readonly atMs: number }>();

  constructor(clock: Clock, perSecond: number, burst: number) {
    this.#clock = clock;
    this.#perSecond = perSecond;
    this.#burst = burst;
  }

  /** Takes one token of the key's bucket; false when it is empty. Who asks too often still gets the rate, and no more. */
  take(key: string): boolean {
    const nowMs = this.#clock.monotonic();
    const old = this.#levels.get(key) ?? { level: this.#burst, atMs: nowMs };
    const level = Math.min(this.#burst, old.level + ((nowMs - old.atMs) / 1000) * this.#perSecond);
    if (this.#levels.size >= mostKeys && !this.#levels.has(key)) this.#levels.clear();
    this.#levels.set(key, { level: level >= 1 ? level - 1 : level, atMs: nowMs });
    return level >= 1;
  }
}
