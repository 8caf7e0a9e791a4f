import { isDeepStrictEqual } from 'node:util';
import type { ObjectMeta, TrainingJob, TrainingJobSpec, TrainingJobStatus } from '../../controller/api/trainingjob.ts';
import { apiVersion, keyOf, kind } from '../../controller/api/trainingjob.ts';
import type { WatchEvent } from '../../controller/kube/client.ts';
import { KubeError } from '../../controller/kube/errors.ts';
import type { VirtualClock } from './virtualclock.ts';

interface Change {
  readonly version: number;
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly job: TrainingJob;
}

/** What a watch does to one change on its way. */
export type WatchFault = 'drop' | 'duplicate' | 'swap';

const eventMs = 20;
const bookmarkMs = 60_000;
const streamMs = 300_000;

/**
 * TrainingJobs as an API server keeps them: one version counter, writes refused unless they know the newest version, lists
 * and watches by version, an object with finalizers that stays until the last one is off.
 */
export class Cluster {
  readonly #clock: VirtualClock;
  readonly #jobs = new Map<string, TrainingJob>();
  readonly #history: Change[] = [];
  readonly #wakes = new Set<() => void>();
  /** Told of every change, after it. */
  readonly #changed: (before: TrainingJob | undefined, after: TrainingJob | undefined) => void;
  #version = 100;
  #applied = 0;
  /** Index of the change that meets this fault on its way to a watcher. */
  watchFault: { readonly index: number; readonly fault: WatchFault } | undefined;
  #frozenAt: number | undefined;

  constructor(clock: VirtualClock, changed: (before: TrainingJob | undefined, after: TrainingJob | undefined) => void) {
    this.#clock = clock;
    this.#changed = changed;
  }

  get version(): number {
    return this.#version;
  }

  /** How many changes there were. */
  get changes(): number {
    return this.#history.length;
  }

  jobs(): readonly TrainingJob[] {
    return [...this.#jobs.values()];
  }

  job(name: string): TrainingJob | undefined {
    return this.jobs().find((job) => job.metadata.name === name);
  }

  apply(name: string, spec: TrainingJobSpec): void {
    this.#applied += 1;
    const metadata: ObjectMeta = {
      name,
      namespace: 'team',
      uid: `${String(this.#applied).padStart(8, '0')}-4567-4890-abcd-ef0123456789`,
      resourceVersion: '',
      generation: 1,
      creationTimestamp: new Date(this.#clock.now()).toISOString(),
    };
    this.#put(undefined, { apiVersion, kind, metadata, spec });
  }

  delete(name: string): void {
    const job = this.job(name);
    if (!job || job.metadata.deletionTimestamp !== undefined) return;
    if ((job.metadata.finalizers ?? []).length === 0) return this.#remove(job);
    const deletionTimestamp = new Date(this.#clock.now()).toISOString();
    this.#put(job, { ...job, metadata: { ...job.metadata, deletionTimestamp } });
  }

  /** Deletes exactly the version that was read. */
  deleteVersion(known: TrainingJob): void {
    this.delete(this.#current(known.metadata).metadata.name);
  }

  /** Somebody writes the status by hand. */
  wipeStatus(name: string): void {
    const job = this.job(name);
    if (!job) return;
    const { status: _status, ...rest } = job;
    this.#put(job, rest);
  }

  edit(name: string, change: (spec: TrainingJobSpec) => TrainingJobSpec): void {
    const job = this.job(name);
    if (!job) return;
    const generation = job.metadata.generation + 1;
    this.#put(job, { ...job, spec: change(job.spec), metadata: { ...job.metadata, generation } });
  }

  setFinalizers(known: TrainingJob, finalizers: readonly string[]): TrainingJob {
    const job = this.#current(known.metadata);
    return this.#put(job, { ...job, metadata: { ...job.metadata, finalizers: [...finalizers] } });
  }

  applyStatus(known: Pick<ObjectMeta, 'name' | 'namespace' | 'uid' | 'resourceVersion'>, status: unknown): TrainingJob {
    const job = this.#current(known);
    return this.#put(job, { ...job, status: JSON.parse(JSON.stringify(status)) as TrainingJobStatus });
  }

  /** From now on a list tells what was true at this version, and watches are silent; undefined: all is told again. */
  freeze(version: number | undefined): void {
    this.#frozenAt = version;
    this.#wake();
  }

  get frozen(): boolean {
    return this.#frozenAt !== undefined;
  }

  list(): { readonly items: TrainingJob[]; readonly resourceVersion: string } {
    const version = this.#frozenAt ?? this.#version;
    const items = new Map<string, TrainingJob>();
    for (const change of this.#history) {
      if (change.version > version) break;
      if (change.type === 'DELETED') items.delete(keyOf(change.job));
      else items.set(keyOf(change.job), change.job);
    }
    return { items: structuredClone([...items.values()]), resourceVersion: String(version) };
  }

  /** Changes after a version, each a little later than it happened, with bookmarks between; closed by the server in time. */
  async *watch(resourceVersion: string, signal: AbortSignal): AsyncGenerator<WatchEvent> {
    let reached = Number(resourceVersion);
    const endMs = this.#clock.monotonic() + streamMs;
    while (!signal.aborted && this.#clock.monotonic() < endMs) {
      await this.#awaitChange(reached, signal);
      if (signal.aborted) return;
      await this.#clock.sleep(eventMs, signal);
      if (this.#frozenAt !== undefined) continue;
      const untold = this.#history.filter((change) => change.version > reached);
      for (const change of this.#onTheWay(untold)) yield event(change);
      reached = this.#version;
      if (untold.length === 0)
        yield { type: 'BOOKMARK', object: { metadata: { resourceVersion: String(reached) } } } as unknown as WatchEvent;
    }
  }

  #onTheWay(untold: readonly Change[]): readonly Change[] {
    const plan = this.watchFault;
    const struck = plan && this.#history[plan.index];
    const at = struck ? untold.indexOf(struck) : -1;
    if (!plan || !struck || at < 0) return untold;
    if (plan.fault === 'drop') return untold.toSpliced(at, 1);
    if (plan.fault === 'duplicate') return [...untold, struck];
    // The change before arrives once more, after the newer one: what a watch that was restarted from an old version does.
    const older = this.#history[plan.index - 1];
    return older ? untold.toSpliced(at + 1, 0, older) : untold;
  }

  async #awaitChange(reached: number, signal: AbortSignal): Promise<void> {
    if (this.#version > reached && this.#frozenAt === undefined) return;
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        cancel();
        this.#wakes.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      const cancel = this.#clock.after(bookmarkMs, wake);
      this.#wakes.add(wake);
      signal.addEventListener('abort', wake);
    });
  }

  #wake(): void {
    for (const wake of this.#wakes) wake();
  }

  #current(known: Pick<ObjectMeta, 'name' | 'namespace' | 'uid' | 'resourceVersion'>): TrainingJob {
    const job = this.#jobs.get(`${known.namespace}/${known.name}`);
    if (!job) throw new KubeError('notFound', 'there is no such object', { status: 404 });
    if (known.uid !== job.metadata.uid || known.resourceVersion !== job.metadata.resourceVersion)
      throw new KubeError('conflict', 'the object has been modified', { status: 409 });
    return job;
  }

  #put(before: TrainingJob | undefined, after: TrainingJob): TrainingJob {
    // A write that changes nothing makes no version.
    if (before && isDeepStrictEqual(JSON.parse(JSON.stringify(before)), JSON.parse(JSON.stringify(after))))
      return before;
    const { deletionTimestamp, finalizers = [] } = after.metadata;
    if (deletionTimestamp !== undefined && finalizers.length === 0) {
      this.#remove(after);
      return after;
    }
    this.#version += 1;
    const job = { ...after, metadata: { ...after.metadata, resourceVersion: String(this.#version) } };
    this.#jobs.set(keyOf(job), job);
    this.#history.push({ version: this.#version, type: before ? 'MODIFIED' : 'ADDED', job });
    this.#wake();
    this.#changed(before, job);
    return structuredClone(job);
  }

  #remove(before: TrainingJob): void {
    this.#version += 1;
    this.#jobs.delete(keyOf(before));
    const job = { ...before, metadata: { ...before.metadata, resourceVersion: String(this.#version) } };
    this.#history.push({ version: this.#version, type: 'DELETED', job });
    this.#wake();
    this.#changed(before, undefined);
  }
}

function event({ type, job }: Change): WatchEvent {
  return { type, object: structuredClone(job) };
}
