import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type { CloudPod } from './cloudpod.ts';
import { RunpodError } from './errors.ts';

/** One look at the account. Instants are epoch milliseconds. */
export interface ListRecord {
  readonly startedAt: number;
  readonly completedAt: number;
  /** False for a list that lacks so many expected pods that it is taken for Runpod's fault. */
  readonly believed: boolean;
  /** Ids and names of the pods in it that are not TERMINATED. */
  readonly live: ReadonlySet<string>;
}

export interface InventoryView {
  /** Pods of the newest believed list that carry this installation's name. */
  readonly pods: readonly CloudPod[];
  /** Recent lists, oldest first. */
  readonly lists: readonly ListRecord[];
  /** Why the newest try to list failed; undefined when it did not. */
  readonly error: RunpodError | undefined;
  /** The newest list was not believed. */
  readonly suspicious: boolean;
}

export interface InventoryOptions {
  readonly list: () => Promise<readonly CloudPod[]>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Names of our own pods begin so. */
  readonly namePrefix: string;
  readonly unsettledMs: number;
  readonly calmMs: number;
  /** A shortage that lasts so long is the truth. */
  readonly believeAfterMs?: number;
  /** Ids of pods that must be there: rented, and not asked to end. */
  readonly expected: () => ReadonlySet<string>;
  readonly onList: () => void;
}

const keptLists = 64;

/** The one shared list of the account's pods, taken again and again; everybody reads it, nobody asks for a single pod. */
export class Inventory {
  readonly #options: InventoryOptions;
  readonly #stopped = new AbortController();
  #view: InventoryView = { pods: [], lists: [], error: undefined, suspicious: false };
  #suspiciousSinceMs: number | undefined;
  #unsettled = true;
  #wake: (() => void) | undefined;
  #running: Promise<void> | undefined;
  /** Resolves after the first look, whether it succeeded or not. */
  readonly looked: Promise<void>;
  #resolveLooked: () => void = () => undefined;

  constructor(options: InventoryOptions) {
    this.#options = options;
    this.looked = new Promise((resolve) => {
      this.#resolveLooked = resolve;
    });
  }

  view(): InventoryView {
    return this.#view;
  }

  /** Whether any job waits for a list: then lists come more often. */
  setUnsettled(unsettled: boolean): void {
    const sooner = unsettled && !this.#unsettled;
    this.#unsettled = unsettled;
    if (sooner) this.#wake?.();
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#wake?.();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, unsettledMs, calmMs } = this.#options;
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      const startedMs = clock.monotonic();
      await this.look();
      // Becoming unsettled shortens a wait that is under way, but never below the shorter period.
      while (!signal.aborted) {
        const periodMs = this.#unsettled ? unsettledMs : calmMs;
        const leftMs = periodMs - (clock.monotonic() - startedMs);
        if (leftMs <= 0) break;
        await new Promise<void>((resolve) => {
          const cancel = clock.after(leftMs, resolve);
          this.#wake = () => {
            cancel();
            resolve();
          };
        });
      }
    }
  }

  /** Lists once. Never throws: a failure is part of the view. */
  async look(): Promise<void> {
    const { clock, list, log, onList } = this.#options;
    const startedAt = clock.now();
    const before = this.#options.expected();
    try {
      const all = await list();
      // A pod that was rented while the list was on its way need not be in it, nor one that was ended meanwhile.
      const after = this.#options.expected();
      this.#take(all, startedAt, before.intersection(after));
    } catch (error) {
      const failure = error instanceof RunpodError ? error : new RunpodError('transient', String(error));
      if (failure.message !== this.#view.error?.message)
        log.warn({ kind: failure.kind, error: failure.message }, 'list of pods failed');
      this.#view = { ...this.#view, error: failure };
    }
    this.#resolveLooked();
    onList();
  }

  #take(all: readonly CloudPod[], startedAt: number, expected: ReadonlySet<string>): void {
    const { clock, namePrefix, log } = this.#options;
    const completedAt = clock.now();
    const live = new Set(all.flatMap((pod) => (pod.status === 'TERMINATED' ? [] : [pod.id, pod.name])));
    const believed = this.#believes(live, expected);
    if (!believed)
      log.warn({ pods: all.length }, 'a list of pods lacks half or more of the expected ones and is not believed');
    this.#view = {
      pods: believed ? Object.freeze(all.filter((pod) => pod.name.startsWith(namePrefix))) : this.#view.pods,
      lists: [...this.#view.lists, { startedAt, completedAt, believed, live }].slice(-keptLists),
      error: undefined,
      suspicious: !believed,
    };
  }

  /** A list without half or more (and at least two) of the expected pods is not believed, until that stays so for long. */
  #believes(live: ReadonlySet<string>, expected: ReadonlySet<string>): boolean {
    const { clock, believeAfterMs = 600_000 } = this.#options;
    const missing = expected.difference(live).size;
    if (missing < 2 || missing * 2 < expected.size) {
      this.#suspiciousSinceMs = undefined;
      return true;
    }
    this.#suspiciousSinceMs ??= clock.monotonic();
    return clock.monotonic() - this.#suspiciousSinceMs >= believeAfterMs;
  }
}
