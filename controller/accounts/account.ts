import type { Logger } from 'pino';
import { keyOf, type TrainingJob } from '../api/trainingjob.ts';
import type { Clock } from '../clock.ts';
import { accountOf } from '../reconcile/attempts.ts';
import { Sweeper } from '../reconcile/sweeper.ts';
import { Waiting } from '../reconcile/waiting.ts';
import { CatalogCache, type Catalog } from '../runpod/catalog.ts';
import type { RunpodClient } from '../runpod/client.ts';
import type { CloudPod, CreateCloudPodBody } from '../runpod/cloudpod.ts';
import { RunpodError } from '../runpod/errors.ts';
import { Inventory, type InventoryView } from '../runpod/inventory.ts';
import { LogTail } from '../runpod/logtail.ts';

/** The calls that an account's own key opens. */
export type RunpodCalls = Pick<
  RunpodClient,
  'createCloudPod' | 'listCloudPods' | 'deleteCloudPod' | 'podLog' | 'listGpuPrices' | 'listCpuPrices' | 'close'
>;

/** What is the same for all accounts of an operator. */
export interface AccountSurroundings {
  readonly clock: Clock;
  readonly log: Logger;
  readonly installation: string;
  readonly jobs: { list(): readonly TrainingJob[] };
  readonly enqueue: (key: string) => void;
  /** Uids of all jobs by a list that is asked for now, not by the cache. */
  readonly liveUids: () => Promise<ReadonlySet<string>>;
  readonly swept: (reason: string) => void;
  readonly inventoryUnsettledMs: number;
  readonly inventoryCalmMs: number;
  readonly sweepGapMs: number;
  readonly catalogMs: number;
  /** A new list of pods, or an answer to a create that tells of the account itself. */
  readonly onNews: (account: Account) => void;
}

export interface AccountOptions extends AccountSurroundings {
  readonly name: string;
  /** Where a person puts a working key, as told in messages. */
  readonly keyPlace: () => string;
  readonly runpod: RunpodCalls;
}

/** What the last create told of the account's balance; undefined before any did. */
export type Balance = { readonly sufficient: boolean; readonly message: string } | undefined;

const sweeperKey = '(sweeper)';

/**
 * One Runpod account: what the jobs that rent in it share, and no job of another account sees. Its list of pods, its rate limit,
 * its prices, and the sweep of what belongs to nobody.
 */
export class Account {
  readonly name: string;
  readonly inventory: Inventory;
  readonly waiting: Waiting;
  readonly #options: AccountOptions;
  readonly #catalog: CatalogCache;
  readonly #sweeper: Sweeper;
  readonly #logs: LogTail;
  #balance: Balance;

  constructor(options: AccountOptions) {
    const { name, clock, log, runpod, installation, jobs, onNews } = options;
    this.name = name;
    this.#options = options;
    const ours = { list: () => jobs.list().filter((job) => accountOf(job) === name) };
    this.waiting = new Waiting(ours, options.enqueue);
    this.#catalog = new CatalogCache({
      gpus: () => runpod.listGpuPrices(),
      cpus: () => runpod.listCpuPrices(),
      clock,
      log: log.child({ account: name }),
      keepMs: options.catalogMs,
    });
    this.#sweeper = new Sweeper({
      installation,
      gapMs: options.sweepGapMs,
      jobs: () => jobs.list(),
      liveUids: options.liveUids,
      deleteCloudPod: (podID) => runpod.deleteCloudPod(podID),
      log: log.child({ account: name }),
      swept: options.swept,
    });
    this.#logs = new LogTail({
      open: (podID, lines, signal) => runpod.podLog(podID, lines, signal),
      clock,
      log: log.child({ account: name }),
    });
    this.inventory = new Inventory({
      list: () => runpod.listCloudPods(),
      clock,
      log: log.child({ account: name }),
      namePrefix: `tj-${installation}-`,
      unsettledMs: options.inventoryUnsettledMs,
      calmMs: options.inventoryCalmMs,
      expected: () => this.waiting.expectedPods(),
      onList: () => {
        this.waiting.listed(this.view());
        this.waits(sweeperKey, this.#sweeper.look(this.view()));
        onNews(this);
      },
    });
  }

  get keyPlace(): string {
    return this.#options.keyPlace();
  }

  /** Jobs that rent, or would rent, in this account. */
  jobs(): readonly TrainingJob[] {
    return this.#options.jobs.list().filter((job) => accountOf(job) === this.name);
  }

  view(): InventoryView {
    return this.inventory.view();
  }

  prices(): Catalog | undefined {
    return this.#catalog.current();
  }

  get balance(): Balance {
    return this.#balance;
  }

  /** Whether a job waits for a list of pods: then lists come more often. */
  waits(key: string, forList: boolean): void {
    this.waiting.set(key, forList);
    this.inventory.setUnsettled(this.waiting.any);
  }

  async createCloudPod(body: CreateCloudPodBody): Promise<CloudPod> {
    try {
      const pod = await this.#options.runpod.createCloudPod(body);
      this.#learn({ sufficient: true, message: '' });
      return pod;
    } catch (error) {
      if (error instanceof RunpodError && error.kind === 'balance')
        this.#learn({ sufficient: false, message: error.message });
      throw error;
    }
  }

  deleteCloudPod(podID: string): Promise<void> {
    return this.#options.runpod.deleteCloudPod(podID);
  }

  /** The last lines of a pod's log; see LogTail. */
  lastLines(podID: string): Promise<readonly string[]> {
    return this.#logs.read(podID);
  }

  /** Makes every job of the account due, since something changed for all of them. */
  stir(): void {
    for (const job of this.jobs()) if (job.status?.completionTime === undefined) this.#options.enqueue(keyOf(job));
  }

  /** Looks at the account from now on. Resolves after the first looks at pods and prices, whether they succeeded or not. */
  async start(): Promise<void> {
    this.inventory.start();
    await Promise.all([this.inventory.looked, this.#catalog.refresh()]);
  }

  async stop(): Promise<void> {
    await Promise.all([this.inventory.stop(), this.#sweeper.stop()]);
    await this.#options.runpod.close();
  }

  #learn(balance: NonNullable<Balance>): void {
    const news = this.#balance?.sufficient !== balance.sufficient || this.#balance.message !== balance.message;
    this.#balance = balance;
    if (news) this.#options.onNews(this);
  }
}
