import { keyOf, type TrainingJob, type TrainingJobStatus } from '../api/trainingjob.ts';
import type { InventoryView } from '../runpod/inventory.ts';
import type { Pulls } from '../telemetry/pull/pulls.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { instruct } from './instruct.ts';
import type { WriteMemory } from './memory.ts';
import type { Plan } from './plan.ts';
import type { PodLeases } from './podleases.ts';
import type { RunMemory } from './runmemory.ts';
import type { Snapshot } from './snapshot.ts';

export interface BookkeepingOptions {
  readonly jobs: { get(key: string): TrainingJob | undefined };
  readonly telemetry: Telemetry;
  readonly pulls: Pick<Pulls, 'begin' | 'end'>;
  readonly memory: WriteMemory;
  readonly leases: PodLeases;
  readonly runs: RunMemory;
  readonly accounts: { all(): Iterable<ListedAccount> };
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
  readonly #uidByKey = new Map<string, string>();

  constructor(options: BookkeepingOptions) {
    this.#options = options;
  }

  /** Before a pass: forgets what was kept of an object that is gone, or whose name another took (I17). */
  begin(key: string): void {
    const { jobs, telemetry, pulls, memory, leases } = this.#options;
    const uid = jobs.get(key)?.metadata.uid;
    const before = this.#uidByKey.get(key);
    if (before !== undefined && before !== uid) {
      pulls.end(before);
      telemetry.forgetJob(before);
      memory.forget(before);
      leases.forget(before);
      this.#waits(key, undefined);
    }
    if (uid === undefined) this.#uidByKey.delete(key);
    else this.#uidByKey.set(key, uid);
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
