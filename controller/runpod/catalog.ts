import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type { CpuPrice, GpuPrice } from './client.ts';

export interface Catalog {
  /** USD per hour for one GPU of each type, by cloud. */
  readonly gpus: ReadonlyMap<string, { readonly secure: number; readonly community: number }>;
  /** USD per hour for one vCPU of each flavor. */
  readonly cpus: ReadonlyMap<string, number>;
}

export interface CatalogOptions {
  readonly gpus: () => Promise<readonly GpuPrice[]>;
  readonly cpus: () => Promise<readonly CpuPrice[]>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly keepMs: number;
}

const retryMs = 30_000;

/** Runpod's price list, shared by all jobs. While it cannot be had the last one stands; without any, Runpod itself judges. */
export class CatalogCache {
  readonly #options: CatalogOptions;
  #catalog: Catalog | undefined;
  #nextAtMs = Number.NEGATIVE_INFINITY;
  #loading: Promise<void> | undefined;

  constructor(options: CatalogOptions) {
    this.#options = options;
  }

  /**
   * The newest list at hand. One that is out of date is refreshed in the background: no pass may wait for it, because looks at
   * prices are the first to be held back when Runpod's rate limit is short.
   */
  current(): Catalog | undefined {
    if (this.#options.clock.monotonic() >= this.#nextAtMs) void this.refresh();
    return this.#catalog;
  }

  /** Reads the list. Never rejects: a failure leaves what was there. */
  refresh(): Promise<void> {
    this.#loading ??= this.#load().finally(() => {
      this.#loading = undefined;
    });
    return this.#loading;
  }

  async #load(): Promise<void> {
    const { gpus, cpus, clock, log, keepMs } = this.#options;
    try {
      const [gpuPrices, cpuPrices] = await Promise.all([gpus(), cpus()]);
      this.#catalog = {
        gpus: new Map(gpuPrices.map(({ id, secure, community }) => [id, { secure, community }])),
        cpus: new Map(cpuPrices.map(({ id, perVcpu }) => [id, perVcpu])),
      };
      this.#nextAtMs = clock.monotonic() + keepMs;
    } catch (error) {
      this.#nextAtMs = clock.monotonic() + Math.min(retryMs, keepMs);
      log.warn({ error: String(error) }, "Runpod's price list could not be read");
    }
  }
}
