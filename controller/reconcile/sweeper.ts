import type { Logger } from 'pino';
import type { TrainingJob } from '../api/trainingjob.ts';
import type { InventoryView } from '../runpod/inventory.ts';
import { orphans, Sightings, type Orphan } from './sweep.ts';

export interface SweeperOptions {
  readonly installation: string;
  readonly gapMs: number;
  readonly jobs: () => readonly TrainingJob[];
  /** Uids of all jobs by a list that is asked for now, not by the cache. */
  readonly liveUids: () => Promise<ReadonlySet<string>>;
  readonly deleteCloudPod: (podID: string) => Promise<void>;
  readonly log: Logger;
  readonly swept: (reason: string) => void;
}

/** Ends pods of this installation that belong to no live attempt: what no pass over a job can see any more (I1). */
export class Sweeper {
  readonly #options: SweeperOptions;
  readonly #sightings = new Sightings();
  #sweeping: Promise<void> | undefined;

  constructor(options: SweeperOptions) {
    this.#options = options;
  }

  /** Looks at a new list. Returns whether there is anything that needs further lists. */
  look(view: InventoryView): boolean {
    const listedAtMs = view.lists.at(-1)?.startedAt;
    if (view.error || view.suspicious || listedAtMs === undefined) return false;
    const found = orphans(view.pods, this.#options.jobs(), this.#options.installation);
    const ripe = this.#sightings.ripe(found, listedAtMs, this.#options.gapMs);
    if (ripe.length > 0) {
      this.#sweeping ??= this.#sweep(ripe).finally(() => {
        this.#sweeping = undefined;
      });
    }
    return found.length > 0;
  }

  async stop(): Promise<void> {
    await this.#sweeping;
  }

  async #sweep(ripe: readonly Orphan[]): Promise<void> {
    const { log, liveUids, deleteCloudPod, swept, jobs, installation } = this.#options;
    try {
      // A cache that is empty by mistake would make every pod an orphan; the API server itself is asked before anything ends.
      const live = await liveUids();
      const uids = new Set(jobs().map((job) => job.metadata.uid));
      if ([...live].some((uid) => !uids.has(uid))) return;
    } catch (error) {
      log.warn({ error: String(error) }, 'sweep put off: the API server could not be asked');
      return;
    }
    for (const { podID, podName, reason } of ripe) {
      try {
        await deleteCloudPod(podID);
        swept(reason);
        log.warn({ podID, podName, reason, installation }, 'ended an orphaned pod');
      } catch (error) {
        log.warn({ podID, podName, error: String(error) }, 'an orphaned pod could not be ended; tried again');
      }
    }
  }
}
