import { deepStrictEqual } from 'node:assert';
import pino from 'pino';
import { Account } from '../../controller/accounts/account.ts';
import { Trial } from '../../controller/accounts/trial.ts';
import { defaultAccount } from '../../controller/api/runpodaccount.ts';
import type { ResolvedJob } from '../../controller/api/resolve.ts';
import { keyOf, type TrainingJob } from '../../controller/api/trainingjob.ts';
import type { KubeClient } from '../../controller/kube/client.ts';
import { KubeError } from '../../controller/kube/errors.ts';
import { Reflector } from '../../controller/kube/reflector.ts';
import { trainingJobs } from '../../controller/kube/resources.ts';
import { Backoff } from '../../controller/queue/backoff.ts';
import { endingRateUsdPerHour } from '../../controller/reconcile/endingrate.ts';
import { priorities, WorkQueue } from '../../controller/queue/workqueue.ts';
import { Bookkeeping } from '../../controller/reconcile/bookkeeping.ts';
import { configFor } from '../../controller/reconcile/configfor.ts';
import { decide } from '../../controller/reconcile/decide.ts';
import { openAttempt } from '../../controller/reconcile/instruct.ts';
import { lastWords } from '../../controller/reconcile/lastwords.ts';
import { reconcile, type LoopContext } from '../../controller/reconcile/loop.ts';
import { WriteMemory } from '../../controller/reconcile/memory.ts';
import { observe } from '../../controller/reconcile/observe.ts';
import type { Snapshot } from '../../controller/reconcile/snapshot.ts';
import { work } from '../../controller/reconcile/work.ts';
import { RunpodError } from '../../controller/runpod/errors.ts';
import type { ConfigAnswer } from '../../controller/telemetry/dependencies.ts';
import { Telemetry } from '../../controller/telemetry/telemetry.ts';
import { installation, policy } from '../unit/snapshot.ts';
import { PodLeases } from '../../controller/reconcile/podleases.ts';
import { RunMemory } from '../../controller/reconcile/runmemory.ts';
import { memoryStore } from './memorystore.ts';
import type { WriteKind } from './seam.ts';
import { never, ProcessClock } from './virtualclock.ts';
import type { World } from './world.ts';

export const keyring = { current: 'k1', keys: { k1: Buffer.alloc(32, 7) } };
const travelMs = 10;

/**
 * One life of the operator: the product's own parts, wired as in `leader.ts`, over a simulated outside. When it is killed, no
 * promise or timer of it ever goes on; what it kept in memory is lost.
 */
export class OperatorProcess {
  dead = false;
  /** It does not lead any more: what it would send is not sent. */
  fenced = false;
  readonly #world: World;
  readonly #clock: ProcessClock;
  readonly #telemetry: Telemetry;
  readonly #start: () => Promise<void>;
  readonly #configure: (uid: string, attempt: number) => Promise<ConfigAnswer>;
  #ready = false;
  /** Writes of the pass that is under way, by the job's uid (I11). */
  readonly #acts = new Map<string, number>();

  /** What the pass that is under way goes by, by the job's uid. */
  readonly #snapshots = new Map<string, Snapshot>();

  constructor(world: World) {
    this.#world = world;
    const clock = new ProcessClock(world.clock);
    this.#clock = clock;
    const log = pino({ level: 'info' }, { write: (line: string) => world.monitors.said(line) });
    const queue: WorkQueue = new WorkQueue(clock, { weight: (key) => endingRateUsdPerHour(reflector.store.get(key)) });
    const memory = new WriteMemory(clock.now());
    const reflector = new Reflector<TrainingJob>({
      client: this.#kube(),
      type: trainingJobs,
      clock,
      log,
      onKey: (key, priority) => queue.add(key, priority === 'event' ? priorities.change : priorities.list),
    });
    const jobs = reflector.store;
    const store = memoryStore(world.rows, (target, commit) =>
      this.#write('store', target, commit, () => new Error('the disk is away')),
    );
    const runs = new RunMemory(store);
    const telemetry = new Telemetry({
      store,
      keyring,
      clock,
      log,
      onChange(uid, urgent) {
        const job = jobs.byUid(uid);
        if (!job) return;
        if (urgent) queue.add(keyOf(job), priorities.urgent);
        else queue.addAfter(keyOf(job), 1000);
      },
    });
    this.#telemetry = telemetry;
    const terminate = (podID: string): Promise<void> =>
      world.gate.call('terminate', () =>
        this.#write(
          'terminate',
          podID,
          () => world.account.delete(podID),
          () => new RunpodError('transient', 'cut'),
        ),
      );
    const account: Account = new Account({
      name: defaultAccount,
      keyPlace: () => "the operator's key file",
      clock,
      log,
      installation,
      jobs,
      enqueue: (key) => queue.add(key),
      liveUids: () => this.#answer(() => new Set(world.cluster.jobs().map((job) => job.metadata.uid))),
      swept: () => undefined,
      inventoryUnsettledMs: 10_000,
      inventoryCalmMs: 60_000,
      sweepGapMs: 30_000,
      catalogMs: 600_000,
      onNews: () => books.listed(account),
      runpod: {
        listCloudPods: () => world.gate.call('list', () => this.#answer(() => world.account.list())),
        createCloudPod: (body) => {
          const attempt = `a${body.env['TRAININGJOB_ATTEMPT'] ?? ''}`;
          const cut = (): Error => new RunpodError('unknownOutcome', 'cut');
          return world.gate.call('create', () => this.#write('create', attempt, () => world.create(body), cut));
        },
        deleteCloudPod: terminate,
        podLog: (podID, _lines, signal) => world.account.log(podID, signal),
        listGpuPrices: () => Promise.reject(new RunpodError('transient', 'no price list here')),
        listCpuPrices: () => Promise.reject(new RunpodError('transient', 'no price list here')),
        close: () => Promise.resolve(),
      },
    });
    const trial = new Trial({
      account: account.name,
      clock,
      jobs: () => account.jobs(),
      pause: { firstMs: 900_000, maxMs: 14_400_000 },
    });
    const books = new Bookkeeping({
      jobs,
      telemetry,
      // No trainer of the matrix is called; that needs real processes.
      pulls: { begin: () => undefined, end: () => undefined },
      memory,
      leases: new PodLeases(telemetry),
      runs,
      accounts: { all: () => [account] },
      isGone: ({ uid, name }) => this.#answer(() => world.cluster.job(name)?.metadata.uid !== uid),
      log,
    });
    const secrets = {
      readSecretKey: () => this.#answer(() => ({ kind: 'value' as const, value: world.monitors.secret })),
    };
    const renting = {
      name: account.name,
      keyPlace: account.keyPlace,
      view: () => account.view(),
      prices: () => undefined,
      closedTo: (job: TrainingJob) => trial.closedTo(job),
    };
    const accounts = { of: () => renting };
    const read = { accounts, secrets, runs, runtimes: { find: () => 'absent' as const, names: () => [] } };
    const durations = { heartbeatSeconds: 5, holdSeconds: 120, stopGraceSeconds: policy.stopGraceMs / 1000 };
    this.#configure = (uid, attempt) => configFor(jobs.byUid(uid), attempt, secrets, durations, telemetry.summary(uid));
    const observed = {
      clock,
      memory,
      telemetry,
      installation,
      policy,
      ...read,
      lastWords: (job: ResolvedJob, podID: string) => lastWords({ clock, account, secrets }, job, podID),
    };
    const refused = (): Error => new KubeError('transient', 'the connection was cut');
    const context: LoopContext = {
      clock,
      memory,
      installation,
      log,
      telemetryUrl: 'https://telemetry.example.com',
      trainerImage: 'trainer',
      effects: {
        setFinalizers: (job, finalizers) => {
          this.#acted(job.metadata.uid);
          return this.#write(
            'finalizers',
            finalizers.length > 0 ? 'add' : 'remove',
            () => world.cluster.setFinalizers(job, finalizers),
            refused,
          );
        },
        createCloudPod: (_account, body) => {
          const uid = body.env['TRAININGJOB_UID'] ?? '';
          this.#acted(uid);
          const { job } = this.#snapshots.get(uid) ?? {};
          if (job?.spec.suspend) world.monitors.broke('I2: a create while the job is suspended');
          if (job?.status?.outcome) world.monitors.broke('I5: a create after the end');
          return account.createCloudPod(body);
        },
        deleteCloudPod: (_account, podID) => {
          this.#acted(world.account.ownerOf(podID));
          return account.deleteCloudPod(podID);
        },
        deleteResource: (job) => {
          this.#acted(job.metadata.uid);
          return this.#write('delete', job.metadata.name, () => world.cluster.deleteVersion(job), refused);
        },
        openAttempt: (job, attempt) => openAttempt(telemetry, job, attempt),
      },
      job: (key) => jobs.get(key),
      observe: async (job) => this.#checked({ ...(await observe(observed, job)), nonce: world.nonce() }),
      writeStatus: (job, status) => {
        this.#acted(`${job.metadata.uid} status`);
        world.monitors.said(JSON.stringify(status));
        return this.#write(
          'status',
          status.attempt?.state ?? status.phase ?? '',
          () => world.cluster.applyStatus(job.metadata, status),
          refused,
        );
      },
      remember: (job) => void jobs.remember(job),
      refresh: (job) => jobs.reread(job, () => this.#answer(() => world.cluster.job(job.metadata.name))),
      emit: (_job, event) => {
        world.monitors.said(JSON.stringify(event));
        world.seam.tell(this, { kind: 'event', target: event.reason });
      },
      async passed(snapshot, plan, status) {
        world.passes += 1;
        world.seam.passed();
        await books.passed(snapshot, plan, status);
      },
    };
    const pass = async (key: string): ReturnType<typeof reconcile> => {
      const uid = jobs.get(key)?.metadata.uid;
      this.#acts.delete(uid ?? '');
      this.#acts.delete(`${uid} status`);
      await books.begin(key);
      return reconcile(context, key);
    };
    this.#start = async () => {
      await Promise.all([telemetry.start(), runs.load()]);
      this.#ready = true;
      reflector.start();
      await reflector.synced;
      void books.forgetGone();
      await Promise.race([account.start(), clock.sleep(10_000)]);
      const backoff = new Backoff({ random: () => 0.5 });
      const worker = { queue, backoff, pass, clock, log, reconciled: () => undefined, retried: () => undefined };
      await Promise.all(Array.from({ length: world.workers }, () => work(worker)));
    };
  }

  start(): void {
    this.#start().catch((error: unknown) => this.#world.monitors.broke(`the operator ended: ${String(error)}`));
  }

  kill(): void {
    this.dead = true;
    this.#clock.kill();
  }

  /** What an agent's post meets; undefined while nobody listens. */
  async accept(
    ...post: Parameters<Telemetry['accept']>
  ): Promise<Awaited<ReturnType<Telemetry['accept']>> | undefined> {
    if (this.dead || !this.#ready) return undefined;
    const answer = await this.#telemetry.accept(...post);
    return this.dead ? undefined : answer;
  }

  /** What an agent gets that asks for its configuration; undefined while nobody listens. */
  async configuration(uid: string, attempt: number): Promise<ConfigAnswer | undefined> {
    if (this.dead || !this.#ready) return undefined;
    const answer = await this.#configure(uid, attempt);
    return this.dead ? undefined : answer;
  }

  #kube(): KubeClient {
    const { cluster } = this.#world;
    const client = {
      list: () => this.#answer(() => cluster.list()),
      watch: (_type: unknown, { resourceVersion, signal }: { resourceVersion: string; signal: AbortSignal }) =>
        cluster.watch(resourceVersion, signal),
    };
    return client as unknown as KubeClient;
  }

  #write<T>(kind: WriteKind, target: string, commit: () => T, cut: () => Error): Promise<T> {
    return this.#world.seam.write(this, { kind, target }, commit, cut);
  }

  /** A read: what is true when the question arrives, told a little later. */
  async #answer<T>(read: () => T): Promise<T> {
    await this.#clock.sleep(travelMs);
    const value = read();
    await this.#clock.sleep(travelMs);
    return this.dead ? never() : value;
  }

  #acted(what: string): void {
    const times = (this.#acts.get(what) ?? 0) + 1;
    this.#acts.set(what, times);
    if (times > 1) this.#world.monitors.broke(`I11: ${times} writes of one kind in one pass`);
  }

  /** decide has an answer to every snapshot, and the same one twice (I10). */
  #checked(snapshot: Snapshot): Snapshot {
    try {
      deepStrictEqual(decide(snapshot), decide(snapshot));
    } catch (error) {
      this.#world.monitors.broke(`I10: ${String(error)}`);
    }
    this.#snapshots.set(snapshot.job.metadata.uid, snapshot);
    return Object.freeze(snapshot);
  }
}
