import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import type { Account } from './accounts/account.ts';
import { AccountController } from './accounts/accountcontroller.ts';
import type { ResolvedJob } from './api/resolve.ts';
import { apiVersion, keyOf, kind, type TrainingJob } from './api/trainingjob.ts';
import type { Clock } from './clock.ts';
import { JobAuthorizer } from './kube/authorization.ts';
import type { KubeClient } from './kube/client.ts';
import { EventRecorder } from './kube/events.ts';
import type { Installation } from './kube/installation.ts';
import { Reflector } from './kube/reflector.ts';
import { trainingJobs } from './kube/resources.ts';
import { RuntimeCache } from './kube/runtimes.ts';
import { SecretReader } from './kube/secrets.ts';
import { JobMetrics } from './metrics/jobs.ts';
import { jobSeries } from './metrics/jobseries.ts';
import type { ProcessMetrics } from './metrics/registry.ts';
import { policyOf } from './policy.ts';
import { Backoff } from './queue/backoff.ts';
import { priorities, WorkQueue } from './queue/workqueue.ts';
import { readiness, type Readiness } from './readiness.ts';
import { accountOf } from './reconcile/attempts.ts';
import { Bookkeeping } from './reconcile/bookkeeping.ts';
import { ClockJumps } from './reconcile/clockjump.ts';
import { configFor } from './reconcile/configfor.ts';
import { jobCostUsd } from './reconcile/cost.ts';
import { endingRateUsdPerHour } from './reconcile/endingrate.ts';
import { openAttempt } from './reconcile/instruct.ts';
import { lastWords } from './reconcile/lastwords.ts';
import { reconcile, type LoopContext } from './reconcile/loop.ts';
import { WriteMemory } from './reconcile/memory.ts';
import { observe } from './reconcile/observe.ts';
import { PodLeases } from './reconcile/podleases.ts';
import { RunMemory } from './reconcile/runmemory.ts';
import { work } from './reconcile/work.ts';
import { RunpodClient } from './runpod/client.ts';
import { RunpodError } from './runpod/errors.ts';
import { proxyAddress } from './runpod/proxyaddress.ts';
import { Quota } from './runpod/quota.ts';
import { agentPort } from './runpod/request.ts';
import { listenAddress, type Settings } from './settings.ts';
import { Pulls } from './telemetry/pull/pulls.ts';
import { servedBy } from './telemetry/pull/served.ts';
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
  /** The key of the account `default`; undefined when there is no key file. */
  readonly apiKey: (() => string) | undefined;
  /** Whether this process still leads; asked right before each write (I15). */
  readonly holds: () => boolean;
}

export interface Leader {
  /** The exposition of jobs and accounts. */
  metrics(): Promise<string>;
  ready(): Readiness;
  /** Lets passes that are under way finish, and ends. */
  stop(): Promise<void>;
}

const fieldManager = 'trainingjob-operator';

/** Builds all that only a leader has, wires it, and starts it in the order in which the parts need each other. */
export async function lead(options: LeaderOptions): Promise<Leader> {
  const { settings, clock, log, metrics, kube, holds } = options;
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
  const runtimes = new RuntimeCache({
    client: kube,
    clock,
    log,
    onChange(kindOfRuntime, namespace, name) {
      for (const job of jobs.list()) {
        const ref = job.spec.runtimeRef;
        const itsOwn = namespace === '' || namespace === job.metadata.namespace;
        if (ref?.kind === kindOfRuntime && ref.name === name && itsOwn) queue.add(keyOf(job), priorities.list);
      }
    },
  });

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

  const memory = new WriteMemory(clock.now());
  const runs = new RunMemory(store);
  const secrets = new SecretReader(kube, clock);
  const runpod = (account: string, apiKey: () => string | Promise<string>): RunpodClient => {
    const observe = metrics.runpod(account);
    return new RunpodClient({
      baseUrl: settings.runpodUrl,
      apiKey,
      mayWrite: holds,
      quota: new Quota(clock, observe),
      clock,
      timeoutMs: settings.createTimeout * 1000,
      observe,
    });
  };
  const accountController = new AccountController({
    clock,
    log,
    kube,
    namespace: settings.namespace,
    fieldManager,
    connectPause: { firstMs: settings.connectPause * 1000, maxMs: settings.connectPauseMax * 1000 },
    keyFile: options.apiKey,
    runpod,
    fenced,
    onNews: (account) => books.listed(account),
    surroundings: {
      installation,
      jobs,
      enqueue: (key) => queue.add(key),
      liveUids: () => liveUids(kube),
      swept: metrics.swept,
      inventoryUnsettledMs: settings.inventoryUnsettled * 1000,
      inventoryCalmMs: settings.inventoryCalm * 1000,
      sweepGapMs: settings.sweepGap * 1000,
      catalogMs: settings.catalog * 1000,
    },
  });
  const { accounts } = accountController;
  const pulls = new Pulls({
    address: (podID) => proxyAddress(settings.runpodProxyUrl, podID, agentPort),
    keyring,
    clock,
    log,
    serve: (question, asker) => served(question, asker),
    leads: holds,
    observe: metrics.pulled,
  });
  const books = new Bookkeeping({
    jobs,
    telemetry,
    pulls,
    memory,
    leases: new PodLeases(telemetry),
    runs,
    accounts,
    isGone: async ({ uid, namespace, name }) =>
      (await kube.find<TrainingJob>(trainingJobs, namespace, name))?.metadata.uid !== uid,
    log,
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
  const read = { accounts, secrets, runtimes, runs };
  const observed = {
    clock,
    memory,
    telemetry: heard,
    installation,
    policy,
    ...read,
    lastWords: (job: ResolvedJob, podID: string) =>
      lastWords({ clock, account: accounts.get(accountOf(job)), secrets }, job, podID),
  };
  const inAccount = <T>(name: string, call: (account: Account) => Promise<T>): Promise<T> => {
    const account = accounts.get(name);
    return account
      ? call(account)
      : Promise.reject(new RunpodError('unauthorized', `there is no RunpodAccount ${name}`));
  };
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
      createCloudPod: (name, body) => inAccount(name, (account) => account.createCloudPod(body)),
      deleteCloudPod: (name, podID) => inAccount(name, (account) => account.deleteCloudPod(podID)),
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
  const pass = async (key: string): ReturnType<typeof reconcile> => {
    await books.begin(key);
    return reconcile(context, key);
  };

  const ready = (): Readiness => readiness(reflector, accounts, telemetry, holds);

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
    configFor: (uid, attempt) => configFor(jobs.byUid(uid), attempt, secrets, durations, telemetry.summary(uid)),
    authorize: (token, job) => authorizer.authorize(token, job),
    ready,
  });
  const served = servedBy(server);

  await Promise.all([telemetry.start(), runs.load()]);
  await server.listen(listenAddress(settings.telemetryListen) ?? { host: '0.0.0.0', port: 8080 });
  reflector.start();
  runtimes.start();
  await Promise.all([reflector.synced, accountController.start()]);
  void books.forgetGone();
  await settledSoon(clock, accountController.openDefault());
  // Jobs that name no runtime must not wait for a cluster that has none of their definitions.
  await settledSoon(clock, runtimes.listed);
  const backoff = new Backoff();
  const { reconciled } = metrics;
  const workers = Array.from({ length: settings.workers }, () =>
    work({ queue, backoff, pass, clock, log, reconciled, retried: () => metrics.queue.retry() }),
  );
  log.info({ installation, jobs: jobs.size }, 'operator started');

  return {
    async metrics() {
      const nowMs = clock.now();
      jobMetrics.replace(
        jobs.list().map((job) => {
          const { uid } = job.metadata;
          return [uid, jobSeries(job, telemetry.summary(uid), jobCostUsd(job.status, nowMs))] as const;
        }),
      );
      return jobMetrics.render() + (await accountController.metrics());
    },
    ready,
    async stop() {
      queue.close();
      await Promise.race([Promise.all([...workers, accountController.settle()]), clock.sleep(20_000)]);
      await pulls.close();
      await Promise.all([reflector.stop(), runtimes.stop(), server.close(), recorder.close()]);
      await accountController.stop();
      await store.close();
    },
  };
}

/** Neither a slow Runpod nor one that refuses us may keep the operator from telling so in the jobs' status. */
async function settledSoon(clock: Clock, looked: Promise<unknown>): Promise<void> {
  await Promise.race([looked, clock.sleep(10_000)]);
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
