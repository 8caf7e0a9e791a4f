import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import { apiVersion, keyOf, kind, type TrainingJob } from './api/trainingjob.ts';
import type { Clock } from './clock.ts';
import { JobAuthorizer } from './kube/authorization.ts';
import type { KubeClient } from './kube/client.ts';
import { EventRecorder } from './kube/events.ts';
import type { Installation } from './kube/installation.ts';
import { Reflector } from './kube/reflector.ts';
import { trainingJobs } from './kube/resources.ts';
import { SecretReader } from './kube/secrets.ts';
import { JobMetrics } from './metrics/jobs.ts';
import { jobSeries } from './metrics/jobseries.ts';
import type { ProcessMetrics } from './metrics/registry.ts';
import { Backoff } from './queue/backoff.ts';
import { priorities, WorkQueue } from './queue/workqueue.ts';
import { Bookkeeping } from './reconcile/bookkeeping.ts';
import { ClockJumps } from './reconcile/clockjump.ts';
import { configFor } from './reconcile/configfor.ts';
import { jobCostUsd } from './reconcile/cost.ts';
import { endingRateUsdPerHour } from './reconcile/endingrate.ts';
import { openAttempt } from './reconcile/instruct.ts';
import { reconcile, type LoopContext } from './reconcile/loop.ts';
import { WriteMemory } from './reconcile/memory.ts';
import { observe } from './reconcile/observe.ts';
import type { Policy } from './reconcile/snapshot.ts';
import { PodLeases } from './reconcile/podleases.ts';
import { RunMemory } from './reconcile/runmemory.ts';
import { Sweeper } from './reconcile/sweeper.ts';
import { Waiting } from './reconcile/waiting.ts';
import { work } from './reconcile/work.ts';
import { CatalogCache } from './runpod/catalog.ts';
import { RunpodClient } from './runpod/client.ts';
import { Inventory } from './runpod/inventory.ts';
import { Quota } from './runpod/quota.ts';
import { listenAddress, type Settings } from './settings.ts';
import { buildServer } from './telemetry/server.ts';
import { openSqliteStore } from './telemetry/store/sqlite.ts';
import { Telemetry } from './telemetry/telemetry.ts';

export interface LeaderOptions {
  readonly settings: Settings;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: ProcessMetrics;
  readonly kube: KubeClient;
  readonly installation: Installation;
  readonly apiKey: () => string;
  /** Whether this process still leads; asked right before each write (I15). */
  readonly holds: () => boolean;
}

export interface Leader {
  /** The exposition of the jobs. */
  jobMetrics(): string;
  ready(): Readiness;
  /** Lets passes that are under way finish, and ends. */
  stop(): Promise<void>;
}

interface Readiness {
  readonly ready: boolean;
  readonly reasons: readonly string[];
}

const fieldManager = 'trainingjob-operator';

/** Builds all that only a leader has, wires it, and starts it in the order in which the parts need each other. */
export async function lead(options: LeaderOptions): Promise<Leader> {
  const { settings, clock, log, metrics, kube, apiKey, holds } = options;
  const { installation, keyring } = options.installation;
  const fenced = <T>(write: () => Promise<T>): Promise<T> =>
    holds() ? write() : Promise.reject(new Error('not written: this process does not lead any more'));

  const store = openSqliteStore(settings.storePath);
  const queue: WorkQueue = new WorkQueue(clock, {
    observe: metrics.queue,
    weight: (key) => endingRateUsdPerHour(reflector.store.get(key)),
  });

  const reflector = new Reflector<TrainingJob>({
    client: kube,
    type: trainingJobs,
    clock,
    log,
    onKey: (key, priority) => queue.add(key, priority === 'event' ? priorities.change : priorities.list),
    onMiss: metrics.cacheMiss,
  });
  const jobs = reflector.store;

  const telemetry = new Telemetry({
    store,
    keyring,
    clock,
    log,
    observe: metrics.telemetry,
    onChange(uid, urgent) {
      const job = jobs.byUid(uid);
      if (!job) return;
      if (urgent) queue.add(keyOf(job), priorities.urgent);
      else queue.addAfter(keyOf(job), 1000);
    },
  });

  const runpod = new RunpodClient({
    baseUrl: settings.runpodUrl,
    apiKey,
    mayWrite: holds,
    quota: new Quota(clock, metrics.runpod),
    clock,
    timeoutMs: settings.createTimeout * 1000,
    observe: metrics.runpod,
  });
  const memory = new WriteMemory(clock.now());
  const runs = new RunMemory(store);
  const secrets = new SecretReader(kube, clock);
  const catalog = new CatalogCache({
    gpus: () => runpod.listGpuPrices(),
    cpus: () => runpod.listCpuPrices(),
    clock,
    log,
    keepMs: settings.catalog * 1000,
  });
  const sweeper = new Sweeper({
    installation,
    gapMs: settings.sweepGap * 1000,
    jobs: () => jobs.list(),
    liveUids: () => liveUids(kube),
    deleteCloudPod: (podID) => runpod.deleteCloudPod(podID),
    log,
    swept: metrics.swept,
  });
  const waiting = new Waiting(jobs, (key) => queue.add(key));
  const inventory: Inventory = new Inventory({
    list: () => runpod.listCloudPods(),
    clock,
    log,
    namePrefix: `tj-${installation}-`,
    unsettledMs: settings.inventoryUnsettled * 1000,
    calmMs: settings.inventoryCalm * 1000,
    expected: () => waiting.expectedPods(),
    onList() {
      books.listed(inventory.view());
    },
  });
  const books = new Bookkeeping({
    jobs,
    telemetry,
    memory,
    leases: new PodLeases(telemetry),
    runs,
    waiting,
    sweeper,
    setUnsettled: (unsettled) => inventory.setUnsettled(unsettled),
  });
  const recorder = new EventRecorder({
    client: kube,
    clock,
    log,
    component: fieldManager,
    instance: `${fieldManager}-${randomBytes(3).toString('hex')}`,
    subjectKind: { apiVersion, kind },
  });
  const policy = policyOf(settings);
  const jumps = new ClockJumps(clock);
  const heard = {
    summary: (uid: string) => telemetry.summary(uid),
    get ingestReadyAtMs() {
      const { ingestReadyAtMs } = telemetry;
      return ingestReadyAtMs === undefined ? undefined : Math.max(ingestReadyAtMs, jumps.lastAtMs());
    },
  };
  const observed = { clock, memory, inventory, telemetry: heard, secrets, catalog, installation, policy, runs };
  const context: LoopContext = {
    clock,
    memory,
    installation,
    log,
    telemetryUrl: settings.telemetryUrl.replace(/\/+$/, ''),
    trainerImage: settings.trainerImage,
    effects: {
      setFinalizers: (job, finalizers) =>
        fenced(() => kube.patchFinalizers<TrainingJob>(trainingJobs, job, finalizers)),
      createCloudPod: (body) => runpod.createCloudPod(body),
      deleteCloudPod: (podID) => runpod.deleteCloudPod(podID),
      deleteResource: (job) => fenced(() => kube.deleteVersion(trainingJobs, job)),
      openAttempt: (job, attempt) => openAttempt(telemetry, job, attempt),
    },
    job: (key) => jobs.get(key),
    observe: (job) => observe(observed, job),
    writeStatus: (job, status) => {
      const { name, namespace, uid, resourceVersion } = job.metadata;
      const metadata = { name, namespace, uid, resourceVersion };
      return fenced(() =>
        kube.applyStatus<TrainingJob>(trainingJobs, { apiVersion, kind, metadata, status }, fieldManager),
      );
    },
    remember: (job) => void jobs.remember(job),
    refresh: (job) =>
      jobs.reread(job, () => kube.find<TrainingJob>(trainingJobs, job.metadata.namespace, job.metadata.name)),
    emit: (job, event) => recorder.emit(job, event),
    passed: (snapshot, plan, status) => books.passed(snapshot, plan, status),
  };
  const pass = (key: string): ReturnType<typeof reconcile> => {
    books.begin(key);
    return reconcile(context, key);
  };

  const jobMetrics = new JobMetrics();
  const authorizer = new JobAuthorizer(kube, clock);
  const durations = {
    heartbeatSeconds: settings.heartbeat,
    holdSeconds: settings.hold,
    stopGraceSeconds: settings.stopGrace,
  };
  const server = await buildServer({
    telemetry,
    store,
    clock,
    // Before the first list a job that is not in the cache is no job that is gone: its pod must not be sent away.
    configFor: async (uid, attempt) =>
      reflector.lastSyncAgeMs() === undefined
        ? { status: 'wait', reason: 'the operator is starting' }
        : configFor(jobs.byUid(uid), attempt, secrets, durations, telemetry.summary(uid)),
    authorize: (token, job) => authorizer.authorize(token, job),
    ready: () => readiness(reflector, inventory, telemetry, holds),
  });

  await Promise.all([telemetry.start(), runs.load()]);
  await server.listen(listenAddress(settings.telemetryListen) ?? { host: '0.0.0.0', port: 8080 });
  reflector.start();
  await reflector.synced;
  telemetry.forgetOthers(new Set(jobs.list().map((job) => job.metadata.uid)));
  inventory.start();
  // Neither a slow Runpod nor one that refuses us may keep the operator from telling so in the jobs' status.
  await Promise.race([Promise.all([inventory.looked, catalog.refresh()]), clock.sleep(10_000)]);
  const backoff = new Backoff();
  const { reconciled } = metrics;
  const workers = Array.from({ length: settings.workers }, () =>
    work({ queue, backoff, pass, clock, log, reconciled, retried: () => metrics.queue.retry() }),
  );
  log.info({ installation, jobs: jobs.size }, 'operator started');

  return {
    jobMetrics() {
      const nowMs = clock.now();
      jobMetrics.replace(
        jobs.list().map((job) => {
          const { uid } = job.metadata;
          return [uid, jobSeries(job, telemetry.summary(uid), jobCostUsd(job.status, nowMs))] as const;
        }),
      );
      return jobMetrics.render();
    },
    ready: () => readiness(reflector, inventory, telemetry, holds),
    async stop() {
      queue.close();
      await Promise.race([Promise.all(workers), clock.sleep(20_000)]);
      await Promise.all([reflector.stop(), inventory.stop(), sweeper.stop(), server.close(), recorder.close()]);
      await Promise.all([store.close(), runpod.close()]);
    },
  };
}

async function liveUids(kube: KubeClient): Promise<ReadonlySet<string>> {
  const uids = new Set<string>();
  let continueToken: string | undefined;
  do {
    const page = await kube.list<TrainingJob>(trainingJobs, { limit: 500, continueToken });
    for (const job of page.items) uids.add(job.metadata.uid);
    ({ continueToken } = page);
  } while (continueToken !== undefined);
  return uids;
}

function readiness(
  reflector: Reflector<TrainingJob>,
  inventory: Inventory,
  telemetry: Telemetry,
  holds: () => boolean,
): Readiness {
  const reasons: string[] = [];
  if (!holds()) reasons.push('this process does not lead any more');
  if (telemetry.ingestReadyAtMs === undefined) reasons.push('the telemetry store is not replayed yet');
  if (telemetry.storeError !== undefined) reasons.push(telemetry.storeError);
  if (reflector.lastSyncAgeMs() === undefined) reasons.push('TrainingJobs are not listed yet');
  if (inventory.view().lists.length === 0) reasons.push(inventory.view().error?.message ?? 'pods are not listed yet');
  return { ready: reasons.length === 0, reasons };
}

function policyOf(settings: Settings): Policy {
  return {
    goneGapMs: settings.goneGap * 1000,
    createGraceMs: settings.createGrace * 1000,
    stopGraceMs: settings.stopGrace * 1000,
    refusalBackoffMs: settings.refusalBackoff * 1000,
    refusalBackoffMaxMs: settings.refusalBackoffMax * 1000,
    retryBackoffMs: settings.retryBackoff * 1000,
    retryBackoffMaxMs: settings.retryBackoffMax * 1000,
    excludeMs: settings.exclude * 1000,
    recheckMs: settings.recheck * 1000,
    progressWriteMs: settings.progressWrite * 1000,
  };
}
