import { resolve } from '../../controller/api/resolve.ts';
import pino from 'pino';
import { parsePodName } from '../../controller/api/identity.ts';
import {
  finalizer,
  keyOf,
  type TrainingJob,
  type TrainingJobSpec,
  type TrainingJobStatus,
} from '../../controller/api/trainingjob.ts';
import { KubeError } from '../../controller/kube/errors.ts';
import { reconcile, type LoopContext, type PassResult } from '../../controller/reconcile/loop.ts';
import { WriteMemory } from '../../controller/reconcile/memory.ts';
import { observe } from '../../controller/reconcile/observe.ts';
import type { CloudPod } from '../../controller/runpod/cloudpod.ts';
import { RunpodError } from '../../controller/runpod/errors.ts';
import { Inventory } from '../../controller/runpod/inventory.ts';
import { initialScorer } from '../../controller/scoring/best.ts';
import type { CheckpointSummary, FinalSummary, JobTelemetry } from '../../controller/telemetry/jobtelemetry.ts';
import { ManualClock } from '../unit/manualclock.ts';
import { final, installation, noRuntimes, policy, pod, snapshot, telemetry } from '../unit/snapshot.ts';

export const effects = ['finalizers', 'status', 'create', 'delete', 'open', 'expire'] as const;
export const mishaps = ['crashBefore', 'crashAfter', 'failBefore', 'failAfter'] as const;
/** What goes wrong in one pass; `create:refuse` is Runpod's own no. */
export type Fault = `${(typeof effects)[number]}:${(typeof mishaps)[number]}` | 'create:refuse' | 'none';

/** The fault strikes at the effect of its kind that follows after so many others. */
export interface Plot {
  readonly fault: Fault;
  readonly after: number;
}

const log = pino({ enabled: false });

const ends: Readonly<Record<string, FinalSummary>> = {
  succeeded: final(),
  failed: final({ outcome: 'Failed', exitCode: 1, reason: 'TrainerFailed' }),
  preempted: final({ outcome: 'Stopped', exitCode: 143, reason: 'Preempted' }),
};

function stored(attempt: number, time: number): CheckpointSummary {
  const uri = `file:///volume/${attempt}-${time}`;
  return { step: 10, uri, manifestSHA256: 'c'.repeat(64), verified: true, time, attempt, scorer: initialScorer };
}

/**
 * One job, its API server, its Runpod account and an operator that may die between any two of its effects: the product's own
 * loop over plain variables. Every write is held against the invariants when it happens.
 */
export class World {
  readonly clock = new ManualClock();
  /** Pods that bill, by id. */
  readonly live = new Map<string, CloudPod>();
  /** How long the account's list does not show a new pod. */
  lagMs = 0;
  report: JobTelemetry | undefined;
  /** As the API server has it; undefined once it is gone. */
  job: TrainingJob | undefined;
  /** All names that were ever asked for. */
  readonly asked: string[] = [];
  /** Invariants that an effect broke; kept aside, as the operator takes what a create throws for a lost answer. */
  readonly broken: string[] = [];
  #cached: TrainingJob | undefined;
  #memory = new WriteMemory(0);
  #inventory: Inventory;
  #ingestReadyAtMs = 0;
  #version = 10;
  #pods = 0;
  #fault: Fault = 'none';
  #after = 0;
  #crash: () => void = () => undefined;

  constructor() {
    const { status: _status, ...job } = snapshot({ status: null, metadata: { finalizers: [] } }).job;
    this.job = job;
    this.#inventory = this.#newInventory();
    this.boot();
  }

  /** A new process: all that the old one had in memory is lost. */
  boot(): void {
    this.#memory = new WriteMemory(this.clock.now());
    this.#ingestReadyAtMs = this.clock.now();
    this.#inventory = this.#newInventory();
    this.watch();
  }

  /** The operator's cache catches up with the API server. */
  watch(): void {
    this.#cached = this.job;
  }

  async list(fails = false): Promise<void> {
    this.#listFails = fails;
    await this.#inventory.look();
  }
  #listFails = false;

  deleteJob(): void {
    if (!this.job || this.job.metadata.deletionTimestamp !== undefined) return;
    if ((this.job.metadata.finalizers ?? []).length === 0) this.job = undefined;
    else
      this.#change({ metadata: { ...this.job.metadata, deletionTimestamp: new Date(this.clock.now()).toISOString() } });
  }

  wipeStatus(): void {
    if (!this.job) return;
    this.#change({ status: { observedGeneration: -1 } });
  }

  /** As `kubectl patch` does it. */
  patch(change: Partial<TrainingJobSpec>): void {
    if (!this.job) return;
    const { metadata, spec } = this.job;
    this.#change({ metadata: { ...metadata, generation: metadata.generation + 1 }, spec: { ...spec, ...change } });
  }

  /** The trainers of all pods that run make contact, store a checkpoint, or report their end. */
  hear(word: 'contact' | 'checkpoint' | 'succeeded' | 'failed' | 'preempted'): void {
    const nowMs = this.clock.now();
    for (const { id, name } of this.live.values()) {
      const attempt = parsePodName(name)?.attempt ?? 0;
      if ((this.report?.attempt ?? 0) > attempt) continue;
      const same = this.report?.attempt === attempt ? this.report : undefined;
      const end = ends[word];
      const checkpoints = this.report?.checkpoints ?? [];
      this.report = telemetry({
        attempt,
        podID: id,
        firstContactAt: same?.firstContactAt ?? nowMs,
        lastReportAt: nowMs,
        // The first final report of an attempt stands.
        finals: { ...(end && { [attempt]: end }), ...this.report?.finals },
        checkpoints: word === 'checkpoint' ? [...checkpoints, stored(attempt, nowMs)] : checkpoints,
      });
    }
  }

  /** Passes over the job until one of them waits. */
  async passes({ fault, after }: Plot): Promise<void> {
    this.#fault = fault;
    this.#after = after;
    for (let count = 0; count < 60; count += 1) {
      const result = await this.#pass();
      if (result === 'crashed') this.boot();
      else if (result.kind !== 'wait' || result.ms > 0) return;
    }
    throw new Error('passes follow each other without end');
  }

  async #pass(): Promise<PassResult | 'crashed'> {
    const cached = this.#cached;
    if (!cached) return { kind: 'done' };
    const crashed = new Promise<'crashed'>((resolve) => {
      this.#crash = () => resolve('crashed');
    });
    const pass = reconcile(this.#context(), keyOf(cached)).catch((error: unknown): PassResult => {
      if (error instanceof KubeError || error instanceof RunpodError) return { kind: 'retry', why: error.message };
      throw error;
    });
    return Promise.race([pass, crashed]);
  }

  #context(): LoopContext {
    const memory = this.#memory;
    const { clock } = this;
    const inventory = this.#inventory;
    const heard = { summary: () => this.report, ingestReadyAtMs: this.#ingestReadyAtMs };
    const secrets = { readSecretKey: () => Promise.reject(new Error('no Secret is named')) };
    const renting = {
      name: 'default',
      keyPlace: "the operator's key file",
      view: () => inventory.view(),
      prices: () => undefined,
      closedTo: () => undefined,
    };
    const accounts = { of: () => renting };
    const runs = { ofJob: () => undefined, succeededBefore: () => undefined };
    const observed = { clock, memory, accounts, installation, policy };
    return {
      clock,
      memory,
      installation,
      log,
      telemetryUrl: 'https://telemetry.example.com',
      trainerImage: 'trainer',
      effects: {
        setFinalizers: (job, finalizers) => this.#effect('finalizers', () => this.#setFinalizers(job, finalizers)),
        createCloudPod: (_account, body) => this.#effect('create', () => this.#create(body.name)),
        deleteCloudPod: (_account, id) => this.#effect('delete', () => this.#delete(id)),
        openAttempt: () => this.#effect('open', () => ({ token: 't', keyID: 'k' })),
        deleteResource: (job) =>
          this.#effect('expire', () => {
            this.#current(job);
            this.deleteJob();
          }),
      },
      job: () => this.#cached,
      observe: (job) =>
        observe({ ...observed, telemetry: heard, secrets, runs, runtimes: noRuntimes, lastWords: async () => [] }, job),
      writeStatus: (job, status) => this.#effect('status', () => this.#writeStatus(job, status)),
      remember: (job) => {
        this.#cached = this.job && job;
      },
      refresh: () => {
        this.#cached = this.job;
        return Promise.resolve();
      },
      emit: () => undefined,
      passed: () => Promise.resolve(),
    };
  }

  async #effect<T>(name: (typeof effects)[number], run: () => T): Promise<T> {
    const fault = this.#struck(name);
    const broken = name === 'create' ? new RunpodError('unknownOutcome', 'cut') : new RunpodError('transient', 'cut');
    const error = name === 'create' || name === 'delete' ? broken : new KubeError('transient', 'cut');
    if (name === 'create' && fault === 'create:refuse') throw new RunpodError('capacity', 'none left');
    if (fault === `${name}:failBefore`) throw error;
    if (fault === `${name}:crashBefore`) return this.#die();
    const result = run();
    if (fault === `${name}:failAfter`) throw error;
    if (fault === `${name}:crashAfter`) return this.#die();
    await Promise.resolve();
    return result;
  }

  #struck(name: (typeof effects)[number]): Fault {
    const fault = this.#fault;
    if (!fault.startsWith(`${name}:`)) return 'none';
    this.#after -= 1;
    if (this.#after >= 0) return 'none';
    this.#fault = 'none';
    return fault;
  }

  /** The process ends here: nothing after this point of the pass ever happens. */
  #die(): Promise<never> {
    this.#crash();
    return new Promise(() => undefined);
  }

  #change(change: Partial<TrainingJob>): TrainingJob {
    if (!this.job) throw new KubeError('notFound', 'gone');
    this.#version += 1;
    const changed = { ...this.job, ...change };
    this.job = { ...changed, metadata: { ...changed.metadata, resourceVersion: String(this.#version) } };
    return this.job;
  }

  #current(job: TrainingJob): TrainingJob {
    if (!this.job) throw new KubeError('notFound', 'gone');
    if (job.metadata.resourceVersion !== this.job.metadata.resourceVersion) throw new KubeError('conflict', 'changed');
    return this.job;
  }

  #setFinalizers(job: TrainingJob, finalizers: readonly string[]): TrainingJob {
    const { metadata } = this.#current(job);
    const removed = metadata.finalizers?.includes(finalizer) === true && !finalizers.includes(finalizer);
    if (removed && this.live.size > 0) this.broken.push('I4: the finalizer goes while a pod bills');
    const changed = this.#change({ metadata: { ...metadata, finalizers } });
    if (metadata.deletionTimestamp !== undefined && finalizers.length === 0) this.job = undefined;
    return changed;
  }

  #writeStatus(job: TrainingJob, written: TrainingJobStatus): TrainingJob {
    const before = this.#current(job).status ?? {};
    const status = JSON.parse(JSON.stringify(written)) as TrainingJobStatus;
    const runs = (status.run?.number ?? 1) - (before.run?.number ?? 1);
    if (runs === 0 && before.outcome && JSON.stringify(before.outcome) !== JSON.stringify(status.outcome))
      this.broken.push('I5: outcome');
    if (runs !== 0 && status.run?.restartToken === before.run?.restartToken)
      this.broken.push('a run that nobody asked for');
    if (runs !== 0 && this.live.size > 0) this.broken.push('a new run while a pod of the old one bills');
    if (Number(status.cost?.accrued ?? 0) < Number(before.cost?.accrued ?? 0))
      this.broken.push('spent money comes back');
    const { runPolicy } = resolve(job.spec);
    if ((status.retries?.user ?? 0) > runPolicy.backoffLimit) this.broken.push('too many retries');
    if ((status.retries?.host ?? 0) > runPolicy.hostFaultLimit) this.broken.push('too many retries of a host');
    if ((status.attempt?.number ?? 0) < (before.attempt?.number ?? 0)) this.broken.push('I5: attempt falls');
    if (status.completionTime !== undefined && this.live.size > 0) this.broken.push('finished while a pod bills');
    return this.#change({ status });
  }

  #create(name: string): CloudPod {
    const attempt = this.job?.status?.attempt;
    if (!this.job?.metadata.finalizers?.includes(finalizer)) this.broken.push('I3: a create without the finalizer');
    if (attempt?.podName !== name || attempt.state !== 'Intent') this.broken.push('I3: a create without its intent');
    if (this.asked.includes(name)) this.broken.push('I2: two creates of one attempt');
    if (this.live.size > 0) this.broken.push('I2: a create while a pod bills');
    if (this.#cached?.spec.suspend) this.broken.push('a create while the job is suspended');
    if (this.#cached?.status?.outcome) this.broken.push('a create after the end');
    this.asked.push(name);
    this.#pods += 1;
    const made = pod({ id: `pod${this.#pods}`, name, createdAt: this.clock.now() });
    this.live.set(made.id, made);
    return made;
  }

  #delete(id: string): void {
    if (!this.live.delete(id)) throw new RunpodError('notFound', 'no such pod');
  }

  #newInventory(): Inventory {
    const { clock } = this;
    return new Inventory({
      list: () => {
        if (this.#listFails) return Promise.reject(new RunpodError('transient', '502'));
        return Promise.resolve(
          [...this.live.values()].filter(({ createdAt }) => clock.now() - createdAt >= this.lagMs),
        );
      },
      clock,
      log,
      namePrefix: `tj-${installation}-`,
      unsettledMs: 10_000,
      calmMs: 60_000,
      expected: () => new Set(),
      onList: () => undefined,
    });
  }
}
