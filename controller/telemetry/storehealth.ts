import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type { TelemetryStore } from './store/store.ts';

const probeMs = 1000;

/** Whether reports can be made durable at the moment, and the watch over a store that failed until it is back. */
export class StoreHealth {
  readonly #store: TelemetryStore;
  readonly #clock: Clock;
  readonly #log: Logger;
  #error: string | undefined;

  constructor(store: TelemetryStore, clock: Clock, log: Logger) {
    this.#store = store;
    this.#clock = clock;
    this.#log = log;
  }

  /** What went wrong with the last write; undefined when it went well. */
  get error(): string | undefined {
    return this.#error;
  }

  /** Passes a write's end on, and learns from it. */
  async durable<T>(write: Promise<T>): Promise<T> {
    try {
      const value = await write;
      this.#error = undefined;
      return value;
    } catch (error) {
      if (this.#error === undefined) this.#probe();
      this.#error = error instanceof Error ? error.message : String(error);
      this.#log.error({ error: this.#error }, 'telemetry store failed');
      throw error;
    }
  }

  /** Looks until the store is back: who is not ready gets no traffic, and would not learn it from the next batch. */
  #probe(): void {
    this.#clock.after(probeMs, () => {
      this.#store
        .check()
        .then(() => (this.#error = undefined))
        .catch(() => this.#probe());
    });
  }
}
