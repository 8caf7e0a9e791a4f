import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { apiVersion, kind, type TrainingJob, type TrainingJobSpec } from '../../controller/api/trainingjob.ts';
import { systemClock } from '../../controller/clock.ts';
import { KubeClient } from '../../controller/kube/client.ts';
import { kubeConnection } from '../../controller/kube/config.ts';
import { Reflector } from '../../controller/kube/reflector.ts';
import { trainingJobs } from '../../controller/kube/resources.ts';
import { applyCrds, kubectl } from '../controlplane/crds.ts';
import { startControlPlane, type ControlPlane } from '../controlplane/controlplane.ts';
import { freePorts, startOperatorProcess, untilAnswers, type OperatorProcess } from './process.ts';
import { startSimulator, type Simulator, type SimulatorOptions } from '../runpod/simulator.ts';

/** A control plane, a simulator and an operator as a process of its own, so that it can be killed for real. */
export interface Rig {
  readonly plane: ControlPlane;
  readonly simulator: Simulator;
  readonly kube: KubeClient;
  readonly telemetryUrl: string;
  readonly metricsUrl: string;
  readonly keyFile: string;
  /** Starts the operator; resolves when it leads. */
  start(extra?: Readonly<Record<string, string>>): Promise<void>;
  /** Starts one more operator on the same cluster, account, store and telemetry address; the caller ends it. */
  another(extra?: Readonly<Record<string, string>>): Promise<OperatorProcess & { readonly metricsUrl: string }>;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
  /** Resolves when the operator's process ends by itself. */
  readonly exited: () => Promise<void>;
  namespace(): Promise<string>;
  create(namespace: string, name: string, spec: DeepPartial): Promise<TrainingJob>;
  /** A merge patch, as kubectl patch sends it. */
  patch(namespace: string, name: string, change: object): Promise<void>;
  get(namespace: string, name: string): TrainingJob | undefined;
  /** Resolves with the first version of the job that fits; rejects with what it was instead. */
  until(namespace: string, name: string, fits: (job: TrainingJob) => boolean, ms?: number): Promise<TrainingJob>;
  untilGone(namespace: string, name: string, ms?: number): Promise<void>;
  log(): string;
  stop(): Promise<void>;
}

export type DeepPartial = { readonly [Key in keyof TrainingJobSpec]?: unknown };

/** Durations short enough for tests; every one of them is a setting. */
const shortened: Readonly<Record<string, string>> = {
  INVENTORY_UNSETTLED_SECONDS: '0.3',
  INVENTORY_CALM_SECONDS: '2',
  GONE_GAP_SECONDS: '0.5',
  CREATE_GRACE_SECONDS: '2',
  RUNPOD_TIMEOUT_SECONDS: '3',
  STOP_GRACE_SECONDS: '5',
  HOLD_SECONDS: '20',
  HEARTBEAT_SECONDS: '0.5',
  REFUSAL_BACKOFF_SECONDS: '0.5',
  REFUSAL_BACKOFF_MAX_SECONDS: '2',
  RETRY_BACKOFF_SECONDS: '0.5',
  RETRY_BACKOFF_MAX_SECONDS: '2',
  RECHECK_SECONDS: '0.5',
  PROGRESS_WRITE_SECONDS: '1',
  SWEEP_GAP_SECONDS: '1',
  LEASE_DURATION_SECONDS: '4',
  LEASE_RENEW_DEADLINE_SECONDS: '3',
  LEASE_RETRY_SECONDS: '0.3',
  LOG_LEVEL: 'debug',
};

/** A control plane that the project's resource definitions are applied to. */
export async function startPlane(): Promise<ControlPlane> {
  const plane = await startControlPlane();
  await applyCrds(plane);
  return plane;
}

/** `lent`: a control plane that outlives this rig, for one rig after the other; no job of it is left behind. */
export async function startRig(options: Partial<SimulatorOptions> = {}, lent?: ControlPlane): Promise<Rig> {
  const folder = mkdtempSync(join(tmpdir(), 'trainingjob-rig-'));
  const plane = lent ?? (await startPlane());
  const simulator = await startSimulator({
    folder: join(folder, 'runpod'),
    limits: [{ name: 'minute', requests: 100_000 }],
    provisionMs: 50,
    startMs: 50,
    ...options,
  });
  const keyFile = join(folder, 'key');
  writeFileSync(keyFile, simulator.apiKey);
  const [telemetryPort, metricsPort] = await freePorts(2);
  const environment = {
    ...process.env,
    KUBECONFIG: plane.kubeconfigPath,
    RUNPOD_API_URL: simulator.url,
    RUNPOD_API_KEY_FILE: keyFile,
    RUNPOD_PROXY_URL: simulator.proxyUrl,
    TRAINER_IMAGE: 'stub:heartbeat',
    TELEMETRY_URL: `http://127.0.0.1:${telemetryPort}`,
    TELEMETRY_LISTEN: `127.0.0.1:${telemetryPort}`,
    METRICS_LISTEN: `127.0.0.1:${metricsPort}`,
    STORE_PATH: join(folder, 'store', 'telemetry.sqlite'),
    ...shortened,
  };
  const kube = new KubeClient({ connection: kubeConnection(plane.kubeconfigPath), clock: systemClock });
  const listeners = new Set<() => void>();
  const reflector = new Reflector<TrainingJob>({
    client: kube,
    type: trainingJobs,
    clock: systemClock,
    log: pino({ enabled: false }),
    onKey: () => {
      for (const listener of listeners) listener();
    },
  });
  reflector.start();
  await reflector.synced;
  const logPath = join(folder, 'operator.log');
  let operator: OperatorProcess | undefined;

  const settled = <T>(look: () => T | undefined, ms: number, otherwise: () => string): Promise<T> =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => end(() => reject(new Error(otherwise()))), ms);
      function end(result: () => void): void {
        clearTimeout(timer);
        listeners.delete(check);
        result();
      }
      function check(): void {
        const found = look();
        if (found !== undefined) end(() => resolve(found));
      }
      listeners.add(check);
      check();
    });

  const rig: Rig = {
    plane,
    simulator,
    kube,
    keyFile,
    telemetryUrl: environment.TELEMETRY_URL,
    metricsUrl: `http://127.0.0.1:${metricsPort}/metrics`,
    exited: () => operator?.exited ?? Promise.resolve(),
    log: () => readFileSync(logPath, 'utf8'),
    async start(extra = {}) {
      operator = await startOperatorProcess({ ...environment, ...extra }, logPath);
      // The lease of one that was killed has to end first.
      await untilAnswers(`${environment.TELEMETRY_URL}/healthz`, operator.child, logPath);
    },
    async another(extra = {}) {
      const [port] = await freePorts(1);
      const address = `127.0.0.1:${port}`;
      const process = await startOperatorProcess({ ...environment, ...extra, METRICS_LISTEN: address }, logPath);
      return { ...process, metricsUrl: `http://${address}` };
    },
    async kill() {
      operator?.child.kill('SIGKILL');
      await operator?.exited;
    },
    async namespace() {
      const name = `t-${Math.random().toString(36).slice(2, 10)}`;
      await kubectl(plane, ['create', 'namespace', name]);
      return name;
    },
    create: (namespace, name, spec) =>
      kube.create<TrainingJob>(trainingJobs, namespace, { apiVersion, kind, metadata: { name, namespace }, spec }),
    async patch(namespace, name, change) {
      await kubectl(plane, ['patch', 'tj', '-n', namespace, name, '--type=merge', '-p', JSON.stringify(change)]);
    },
    get: (namespace, name) => reflector.store.get(`${namespace}/${name}`),
    until: (namespace, name, fits, ms = 20_000) =>
      settled(
        () => {
          const job = reflector.store.get(`${namespace}/${name}`);
          return job && fits(job) ? job : undefined;
        },
        ms,
        () =>
          `after ${ms} ms ${name} is ${JSON.stringify(reflector.store.get(`${namespace}/${name}`)?.status, null, 1)}\n${rig.log().slice(-3000)}`,
      ),
    untilGone: async (namespace, name, ms = 20_000) => {
      await settled(
        () => (reflector.store.get(`${namespace}/${name}`) ? undefined : true),
        ms,
        () =>
          `after ${ms} ms ${name} is still there: ${JSON.stringify(reflector.store.get(`${namespace}/${name}`), null, 1)}\n${rig.log().slice(-3000)}`,
      );
    },
    async stop() {
      await operator?.end();
      if (lent)
        for (const { metadata } of reflector.store.list()) {
          // Nobody is there to give them up.
          await rig.patch(metadata.namespace, metadata.name, { metadata: { finalizers: null } });
          await kubectl(plane, ['delete', 'tj', '-n', metadata.namespace, metadata.name, '--ignore-not-found']);
        }
      await reflector.stop();
      await Promise.all([simulator.stop(), lent ? undefined : plane.stop(), kube.close()]);
      await rm(folder, { recursive: true, force: true });
    },
  };
  return rig;
}

/** A job whose pod is a stub that behaves as `behaviour` says. */
export function stubSpec(behaviour: string, more: DeepPartial = {}): DeepPartial {
  return {
    trainer: { custom: { image: `stub:${behaviour}`, command: ['stub'] } },
    compute: { candidates: [{ name: 'cpu', cpu: { flavor: 'cpu3c', vcpus: 2 } }] },
    scoring: { strategy: 'MultiMetric' },
    ...more,
  };
}

export function condition(
  job: TrainingJob,
  type: string,
): { status: string; reason: string; message: string } | undefined {
  return job.status?.conditions?.find((entry) => entry.type === type);
}
