import type { Logger } from 'pino';
import { keyOf, type ObjectMeta, type TrainingJob, type TrainingJobStatus } from '../api/trainingjob.ts';
import type { InventoryView } from '../runpod/inventory.ts';
import type { Pulls } from '../telemetry/pull/pulls.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { instruct } from './instruct.ts';
import type { WriteMemory } from './memory.ts';
import type { Plan } from './plan.ts';
import type { PodLeases } from './podleases.ts';
import type { RunMemory } from './runmemory.ts';
import type { Snapshot } from './snapshot.ts';

export type JobReference = Pick<ObjectMeta, 'uid' | 'namespace' | 'name'>;

export interface BookkeepingOptions {
  readonly jobs: { get(key: string): TrainingJob | undefined; byUid(uid: string): TrainingJob | undefined };
  readonly telemetry: Telemetry;
  readonly pulls: Pick<Pulls, 'begin' | 'end'>;
  readonly memory: WriteMemory;
  readonly leases: PodLeases;
  readonly runs: RunMemory;
  readonly accounts: { all(): Iterable<ListedAccount> };
  /** Whether the API server itself says that this object is gone. Fails when it cannot be asked. */
  readonly isGone: (job: JobReference) => Promise<boolean>;
  readonly log: Logger;
}

/** An account as far as its list of pods concerns jobs. */
export interface ListedAccount {
  readonly name: string;
  view(): InventoryView;
  /** Jobs that rent, or would rent, in it. */
  jobs(): readonly TrainingJob[];
  /** Whether the job of that key waits for a list of its pods. */
  waits(key: string, forList: boolean): void;
}

/** What is kept of each job in memory besides its status, and brought up to date by passes and lists. */
export class Bookkeeping {
  readonly #options: BookkeepingOptions;
  readonly #known = new Map<string, JobReference>();

  constructor(options: BookkeepingOptions) {
    this.#options = options;
  }

  /**
   * Before a pass: forgets what was kept of an object that is gone, or whose name another took (I17). A list may be older than what
   * was reported since, and what is forgotten is lost, so the API server is asked first.
   */
  async begin(key: string): Promise<void> {
    const { jobs, telemetry, pulls, memory, leases, isGone } = this.#options;
    const job = jobs.get(key)?.metadata;
    const before = this.#known.get(key);
    if (before && before.uid !== job?.uid) {
      if (!(await isGone(before))) return;
      pulls.end(before.uid);
      telemetry.forgetJob(before.uid);
      memory.forget(before.uid);
      leases.forget(before.uid);
      this.#waits(key, undefined);
    }
    if (job) this.#known.set(key, job);
    else this.#known.delete(key);
  }

  /** Forgets the jobs that went while no process of ours was there. What the API server does not answer for stays for the next. */
  async forgetGone(): Promise<void> {
    const { jobs, telemetry, isGone, log } = this.#options;
    for (const job of telemetry.jobs()) {
      if (jobs.byUid(job.uid)) continue;
      try {
        if (await isGone(job)) telemetry.forgetJob(job.uid);
      } catch (error) {
        log.warn({ uid: job.uid, error: String(error) }, 'not known whether this job is gone; it is remembered');
      }
    }
  }

  /** After a pass: what the trainer is to do, how long its pod may go on, what the store remembers. Level-triggered. */
  async passed(snapshot: Snapshot, plan: Plan, status: TrainingJobStatus): Promise<void> {
    const { telemetry, pulls, leases, runs } = this.#options;
    const { job } = snapshot;
    this.#waits(keyOf(job), plan.wantsList === true ? snapshot.account.name : undefined);
    await instruct(telemetry, pulls, job, status);
    leases.passed(snapshot, status);
    await runs.remember(job, status);
  }

  /** After a list of an account's pods: they may go on. */
  listed(account: ListedAccount): void {
    this.#options.leases.listed(account.jobs(), account.view());
  }

  /** In which account's list the job waits for its pods; in none when undefined. */
  #waits(key: string, account: string | undefined): void {
    for (const entry of this.#options.accounts.all()) entry.waits(key, entry.name === account);
  }
}
