import { keyOf, type TrainingJob, type TrainingJobStatus } from '../api/trainingjob.ts';
import type { InventoryView } from '../runpod/inventory.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { instruct } from './instruct.ts';
import type { WriteMemory } from './memory.ts';
import type { Plan } from './plan.ts';
import type { PodLeases } from './podleases.ts';
import type { RunMemory } from './runmemory.ts';
import type { Snapshot } from './snapshot.ts';
import type { Sweeper } from './sweeper.ts';
import type { Waiting } from './waiting.ts';

export interface BookkeepingOptions {
  readonly jobs: { get(key: string): TrainingJob | undefined; list(): readonly TrainingJob[] };
  readonly telemetry: Telemetry;
  readonly memory: WriteMemory;
  readonly leases: PodLeases;
  readonly runs: RunMemory;
  readonly waiting: Waiting;
  readonly sweeper: Sweeper;
  /** Whether anyone waits for a list of pods. */
  readonly setUnsettled: (unsettled: boolean) => void;
}

const sweeperKey = '(sweeper)';

/** What is kept of each job in memory besides its status, and brought up to date by passes and lists. */
export class Bookkeeping {
  readonly #options: BookkeepingOptions;
  readonly #uidByKey = new Map<string, string>();

  constructor(options: BookkeepingOptions) {
    this.#options = options;
  }

  /** Before a pass: forgets what was kept of an object that is gone, or whose name another took (I17). */
  begin(key: string): void {
    const { jobs, telemetry, memory, leases, waiting } = this.#options;
    const uid = jobs.get(key)?.metadata.uid;
    const before = this.#uidByKey.get(key);
    if (before !== undefined && before !== uid) {
      telemetry.forgetJob(before);
      memory.forget(before);
      leases.forget(before);
      waiting.set(key, false);
    }
    if (uid === undefined) this.#uidByKey.delete(key);
    else this.#uidByKey.set(key, uid);
  }

  /** After a pass: what the trainer is to do, how long its pod may go on, what the store remembers. Level-triggered. */
  async passed(snapshot: Snapshot, plan: Plan, status: TrainingJobStatus): Promise<void> {
    const { telemetry, leases, runs, waiting, setUnsettled } = this.#options;
    const { job } = snapshot;
    waiting.set(keyOf(job), plan.wantsList === true);
    setUnsettled(waiting.any);
    await instruct(telemetry, job, status);
    leases.passed(snapshot, status);
    await runs.remember(job, status);
  }

  /** After a list of pods: who is due, which pods may go on, and which belong to nobody. */
  listed(view: InventoryView): void {
    const { jobs, leases, waiting, sweeper, setUnsettled } = this.#options;
    waiting.listed(view);
    leases.listed(jobs.list(), view);
    waiting.set(sweeperKey, sweeper.look(view));
    setUnsettled(waiting.any);
  }
}
