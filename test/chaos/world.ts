import { parsePodName, uid12 } from '../../controller/api/identity.ts';
import type { CloudPod, CreateCloudPodBody } from '../../controller/runpod/cloudpod.ts';
import { Account, type RentedPod } from './account.ts';
import { Gate } from './gate.ts';
import { Cluster, type WatchFault } from './cluster.ts';
import { Rows } from './memorystore.ts';
import { Monitors } from './monitors.ts';
import { OperatorProcess } from './operator.ts';
import type { Scenario } from './scenario.ts';
import { Seam, type Strike } from './seam.ts';
import { Trainer, trainsWell } from './trainer.ts';
import { VirtualClock } from './virtualclock.ts';

/** What goes wrong in one run. */
export interface Disturbance {
  readonly strikes?: readonly Strike[];
  readonly watchFault?: { readonly index: number; readonly fault: WatchFault };
}

const downMs = 5000;
const longestLifeMs = 3 * 3_600_000;
const quietMs = 300_000;
/** A watch that swallowed a change is found out by the list that audits it, every ten minutes. */
const auditMs = 700_000;
const watchOverMs = 10_000;
/** How long a process may go on that does not lead any more, and does not know it. */
const overlapMs = 30_000;

/** An API server, a Runpod account, trainers in its pods, a user, and an operator that may die at any write. */
export class World {
  readonly clock = new VirtualClock();
  readonly monitors: Monitors = new Monitors(this);
  readonly cluster: Cluster;
  readonly account: Account;
  readonly rows = new Rows();
  readonly seam: Seam;
  readonly trainers: Trainer[] = [];
  readonly scenario: Scenario;
  /** What stands between the operator and its account. */
  readonly gate: Gate;
  workers = 1;
  /** How long the operator was kept from ending anything, all in all: by so much may pods end, and money be spent, too late. */
  lateSeconds = 0;
  operator: OperatorProcess | undefined;
  passes = 0;
  readonly #unclaimedSinceMs = new Map<RentedPod, number>();
  #nonces = 0;

  constructor(scenario: Scenario, disturbance: Disturbance = {}) {
    this.scenario = scenario;
    this.cluster = new Cluster(this.clock, (before, after) => {
      this.monitors.changed(before, after);
      if (after) scenario.user?.(this, after);
    });
    this.cluster.watchFault = disturbance.watchFault;
    this.account = new Account(this.clock, (pod) => this.#boot(pod));
    this.account.printed = this.monitors.secret;
    this.seam = new Seam(
      {
        clock: this.clock,
        cluster: this.cluster,
        account: this.account,
        crash: (process) => this.crash(process),
        replace: (process) => this.replace(process),
      },
      disturbance.strikes ?? [],
    );
    this.gate = new Gate(this.clock);
  }

  /** Runs the scenario until nothing happens any more. */
  async live(): Promise<this> {
    this.begin();
    return this.rest(() => this.#settled());
  }

  /** Goes on until nothing happens any more, which must begin with every job's being settled. */
  async rest(settled: () => boolean): Promise<this> {
    const { clock } = this;
    await clock.pass(longestLifeMs, settled);
    if (!settled()) this.monitors.broke('I13: the job came to no end');
    await clock.pass(this.cluster.watchFault ? auditMs : quietMs);
    const before = this.seam.writes.length;
    await clock.pass(quietMs);
    const idle = this.seam.writes.slice(before);
    if (idle.length > 0) this.monitors.broke(`I12: ${idle.length} writes at rest, such as ${idle[0]?.kind}`);
    // What the store could not forget is forgotten by the next process at the latest.
    if (this.monitors.remembers() && this.operator) {
      this.crash(this.operator);
      await clock.pass(quietMs);
    }
    this.monitors.atRest();
    this.operator?.kill();
    return this;
  }

  begin(): void {
    this.scenario.prepare?.(this);
    if (this.scenario.ends !== 'Nothing') this.cluster.apply('fit', this.scenario.spec);
    this.#startOperator();
    this.#watchOver();
  }

  /** Another process begins to lead, and this one does not know it yet. */
  replace(process: OperatorProcess): void {
    this.#startOperator();
    this.clock.after(overlapMs, () => process.kill());
  }

  /** The process is gone; another one starts a little later. */
  crash(process: OperatorProcess, awayMs = downMs): void {
    if (process.dead) return;
    process.kill();
    if (process !== this.operator) return;
    this.operator = undefined;
    this.clock.after(awayMs, () => this.#startOperator());
  }

  create(body: CreateCloudPodBody): CloudPod {
    this.monitors.creating(body);
    return this.account.create(body);
  }

  nonce(): string {
    this.#nonces += 1;
    return this.#nonces.toString(36).padStart(4, '0');
  }

  byHand(act: () => void): void {
    this.monitors.byHand = true;
    act();
    this.monitors.byHand = false;
  }

  #startOperator(): void {
    this.operator = new OperatorProcess(this);
    this.operator.start();
  }

  #boot(pod: RentedPod): void {
    if (pod.billedToMs !== undefined) return;
    const trainer = new Trainer(this, pod, this.scenario.trainer?.(this.trainers.length + 1) ?? trainsWell);
    this.trainers.push(trainer);
    trainer.start();
  }

  #settled(): boolean {
    const jobs = this.cluster.jobs();
    const over = jobs.every((job) => job.status?.completionTime !== undefined);
    const deleted = this.scenario.ends === 'Deleted' ? jobs.length === 0 : jobs.length > 0;
    const rented = this.account.rented.length >= (this.scenario.pods ?? 0);
    return over && deleted && rented && this.account.ours().length === 0;
  }

  /** No pod may bill for long without a job that claims it (I1). */
  #watchOver(): void {
    this.clock.after(watchOverMs, () => {
      const nowMs = this.clock.monotonic();
      for (const pod of this.account.ours()) {
        if (!this.operator || !this.account.keyGood || this.#claims(pod)) this.#unclaimedSinceMs.delete(pod);
        else if (!this.#unclaimedSinceMs.has(pod)) this.#unclaimedSinceMs.set(pod, nowMs);
        const sinceMs = this.#unclaimedSinceMs.get(pod);
        if (sinceMs !== undefined) this.monitors.leaked(pod, sinceMs, nowMs);
      }
      this.#watchOver();
    });
  }

  #claims({ pod, listedFromMs }: RentedPod): boolean {
    const identity = parsePodName(pod.name);
    if (!identity || this.clock.now() < listedFromMs) return true;
    const job = this.cluster.jobs().find(({ metadata }) => uid12(metadata.uid) === identity.uid12);
    const ends = !job || job.metadata.deletionTimestamp !== undefined || job.status?.outcome !== undefined;
    return !ends && (job.status?.attempt?.number ?? 0) <= identity.attempt;
  }
}
