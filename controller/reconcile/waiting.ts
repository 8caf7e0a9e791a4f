import { uid12 } from '../api/identity.ts';
import { keyOf, type TrainingJob } from '../api/trainingjob.ts';
import type { CloudPod } from '../runpod/cloudpod.ts';
import type { InventoryView } from '../runpod/inventory.ts';
import { podsByUid12 } from './observe.ts';

/** What the shared list of pods means for jobs: who waits for one, whom a new one concerns, and which pods must be in it. */
export class Waiting {
  readonly #jobs: { list(): readonly TrainingJob[] };
  readonly #enqueue: (key: string) => void;
  readonly #keys = new Set<string>();
  /** By uid: what the list before said of the job's pods. */
  #seen = new Map<string, string>();
  #account = '';

  constructor(jobs: { list(): readonly TrainingJob[] }, enqueue: (key: string) => void) {
    this.#jobs = jobs;
    this.#enqueue = enqueue;
  }

  set(key: string, waits: boolean): void {
    if (waits) this.#keys.add(key);
    else this.#keys.delete(key);
  }

  /** Whether anyone waits for a list. */
  get any(): boolean {
    return this.#keys.size > 0;
  }

  /**
   * Makes due every job that waited for a list, whose pods changed in it, whose pod is not in it, or whom the account's state
   * concerns. Not in it is no change where a pod came and went between two lists.
   */
  listed(view: InventoryView): void {
    for (const key of this.#keys) if (key.includes('/')) this.#enqueue(key);
    const account = `${view.error?.kind ?? ''}/${view.suspicious}`;
    const all = account !== this.#account;
    this.#account = account;
    const byUid = podsByUid12(view.pods);
    const seen = new Map<string, string>();
    for (const job of this.#jobs.list()) {
      const { uid } = job.metadata;
      const pods = byUid.get(uid12(uid)) ?? [];
      const now = pods.map(described).join();
      seen.set(uid, now);
      const unfinished = job.status?.completionTime === undefined;
      const podID = expectedPod(job);
      const missing = podID !== undefined && !pods.some(({ id }) => id === podID);
      if (this.#seen.get(uid) !== now || missing || (all && unfinished)) this.#enqueue(keyOf(job));
    }
    this.#seen = seen;
  }

  /** Ids of pods that are rented and that nobody asked to end. */
  expectedPods(): ReadonlySet<string> {
    return new Set(this.#jobs.list().flatMap((job) => expectedPod(job) ?? []));
  }
}

function expectedPod({ metadata, status }: TrainingJob): string | undefined {
  const { attempt, outcome } = status ?? {};
  const ending = metadata.deletionTimestamp !== undefined || outcome !== undefined || attempt?.end !== undefined;
  return attempt?.state === 'Observed' && attempt.billedTo === undefined && !ending ? attempt.podID : undefined;
}

function described(pod: CloudPod): string {
  return `${pod.id} ${pod.status} ${pod.costUsdPerHour} ${pod.dataCenterId ?? ''} ${pod.gpuType ?? ''}x${pod.gpuCount ?? 0}`;
}
