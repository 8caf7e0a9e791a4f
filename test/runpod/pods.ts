import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { dataCenters, hostCuda, mostOf, type Catalog, type CpuOffer, type GpuOffer } from './catalog.ts';
import { giveBack, hostPort } from './hostports.ts';
import { runContainer, splitArgs, type Container } from './container.ts';
import type { CreateBody } from './create.ts';
import type { Faults } from './faults.ts';
import { firstAccount } from './keys.ts';
import { PodLog } from './podlog.ts';
import { Problem } from './problem.ts';
import { runStub, stubImageProblem } from './stub.ts';

export interface Volume {
  readonly id: string;
  readonly name: string;
  readonly dataCenter: string;
  readonly size: number;
}

export type PodState = 'PROVISIONING' | 'STARTING' | 'RUNNING' | 'EXITED' | 'ERROR' | 'TERMINATED';

export interface SimulatedPod {
  readonly id: string;
  readonly account: string;
  readonly body: CreateBody;
  readonly key: string;
  /** Where the pod says that it is, and whose stock it was taken from. */
  readonly dataCenter: string;
  readonly takenFrom: string;
  readonly costUsdPerHour: number;
  readonly gpuCount: number;
  readonly createdMs: number;
  /** Ports of this machine by the container's that they stand for. */
  readonly hostPorts: Map<number, number>;
  readonly log: PodLog;
  state: PodState;
  startedMs: number | undefined;
  /** A stopped pod is there, but costs nothing. */
  stoppedMs: number | undefined;
  endedMs: number | undefined;
  container: Container | undefined;
  timers: NodeJS.Timeout[];
}

export interface PodsOptions {
  readonly folder: string;
  /** Command of each image's entry point. */
  readonly images: Readonly<Record<string, readonly string[]>>;
  readonly catalog: Catalog;
  readonly faults: Faults;
  readonly volumes: readonly Volume[];
  /** Time from create to STARTING, as for pulling an image, and from there to RUNNING. */
  readonly provisionMs: number;
  readonly startMs: number;
  readonly restartMs: number;
  readonly url: () => string;
  /** Tells whoever ends the processes when the simulator cannot. */
  readonly guard: (line: string) => void;
}

/** The pods of all accounts: rented, running as processes here, and billed until they are deleted. */
export class Pods {
  readonly #options: PodsOptions;
  readonly #pods = new Map<string, SimulatedPod>();
  readonly #byKey = new Map<string, SimulatedPod>();

  constructor(options: PodsOptions) {
    this.#options = options;
  }

  all(): readonly SimulatedPod[] {
    return [...this.#pods.values()];
  }

  /** Those of one account. */
  of(account: string): readonly SimulatedPod[] {
    return this.all().filter((pod) => pod.account === account);
  }

  /** The pod, unless it was deleted. */
  live(id: string): SimulatedPod | undefined {
    const pod = this.#pods.get(id);
    return pod?.endedMs === undefined ? pod : undefined;
  }

  /** The pod whose own key this is, unless it was deleted. */
  byKey(key: string): SimulatedPod | undefined {
    const pod = this.#byKey.get(key);
    return pod?.endedMs === undefined ? pod : undefined;
  }

  create(body: CreateBody, account = firstAccount): SimulatedPod {
    const { catalog, faults, volumes, images } = this.#options;
    const problem = body.image.startsWith('stub:')
      ? stubImageProblem(body.image)
      : Object.hasOwn(images, body.image)
        ? undefined
        : `image "${body.image}" is unknown to this simulator; map it with --image ${body.image}=COMMAND`;
    if (problem !== undefined) throw new Problem(400, problem);
    const type = body.gpu?.id ?? body.cpu?.id ?? '';
    const offer = catalog.offer(type);
    if (!offer) throw new Problem(400, `${body.gpu ? 'gpu' : 'cpu'}.id "${type}" is invalid`);
    const most = mostOf(offer, body.cloud);
    if ((body.gpu?.count ?? body.cpu?.vcpuCount ?? 1) > most)
      throw new Problem(400, `${body.gpu ? 'gpu.count' : 'cpu.vcpuCount'} must be at most ${most} for "${type}"`);
    const volume = body.network && volumes.find((entry) => entry.id === body.network?.volumeId);
    if (body.network && !volume) throw new Problem(400, `network volume "${body.network.volumeId}" does not exist`);
    if (volume && body.dataCenterIds.length > 0 && !body.dataCenterIds.includes(volume.dataCenter)) {
      throw new Problem(
        400,
        `network volume "${volume.id}" must be in the data center of the pod; it is in ${volume.dataCenter}`,
      );
    }
    const unknown = body.dataCenterIds.find((id) => !dataCenters.some((entry) => entry.id === id));
    if (unknown !== undefined) throw new Problem(400, `data center "${unknown}" is invalid`);
    const place = !hasCuda(body.cuda)
      ? undefined
      : catalog.take(type, volume ? [volume.dataCenter] : body.dataCenterIds);
    if (place === undefined)
      throw new Problem(
        400,
        'There are no longer any instances available with the requested specifications. Please refresh and try again.',
      );
    const gpuCount = body.gpu ? (faults.take('otherGpuCount', body.name)?.count ?? body.gpu.count) : 0;
    const pod: SimulatedPod = {
      id: randomBytes(7).toString('hex'),
      account,
      body,
      key: `pod_${randomBytes(16).toString('hex')}`,
      dataCenter: faults.take('otherDataCenter', body.name)?.dataCenterId ?? place,
      takenFrom: place,
      costUsdPerHour: faults.take('chargedRate', body.name)?.costUsdPerHour ?? listPrice(offer, body),
      gpuCount,
      createdMs: Date.now(),
      hostPorts: new Map(),
      log: new PodLog(),
      state: 'PROVISIONING',
      startedMs: undefined,
      stoppedMs: undefined,
      endedMs: undefined,
      container: undefined,
      timers: [],
    };
    this.#pods.set(pod.id, pod);
    this.#byKey.set(pod.key, pod);
    pod.log.system(`pulling image ${body.image}`);
    const pullMs = faults.take('slowPull', body.name)?.ms ?? this.#options.provisionMs;
    this.#later(pod, pullMs, () => {
      pod.state = 'STARTING';
      this.#later(pod, this.#options.startMs, () => void this.#run(pod));
    });
    return pod;
  }

  /** Ends a pod: no longer listed, no longer billed, its processes gone. */
  async delete(id: string): Promise<void> {
    const pod = this.live(id);
    if (!pod) return;
    this.#ended(pod);
    for (const timer of pod.timers) clearTimeout(timer);
    await pod.container?.stop();
    for (const port of pod.hostPorts.values()) giveBack(port);
    // The log stays, for whoever looks for what went wrong.
    for (const part of ['root', 'disk'])
      rmSync(join(this.#options.folder, 'pods', pod.id, part), { recursive: true, force: true });
  }

  /** The host fails: `vanish` also takes the pod out of every list, `error` shows it as broken, `exit` as stopped. */
  lose(id: string, how: 'vanish' | 'error' | 'exit'): void {
    const pod = this.live(id);
    if (!pod) return;
    for (const timer of pod.timers) clearTimeout(timer);
    pod.container?.kill();
    if (how === 'vanish') this.#ended(pod);
    else pod.state = how === 'error' ? 'ERROR' : 'EXITED';
    if (how === 'exit') pod.stoppedMs = Date.now();
  }

  #ended(pod: SimulatedPod): void {
    pod.endedMs = Date.now();
    pod.state = 'TERMINATED';
    this.#options.catalog.putBack(pod.body.gpu?.id ?? pod.body.cpu?.id ?? '', pod.takenFrom);
  }

  async stop(): Promise<void> {
    await Promise.all(this.all().map((pod) => this.delete(pod.id)));
    for (const pod of this.all()) await pod.container?.stop();
  }

  #later(pod: SimulatedPod, ms: number, run: () => void): void {
    pod.timers.push(setTimeout(run, ms));
  }

  async #run(pod: SimulatedPod): Promise<void> {
    for (const port of pod.body.ports) {
      const [number = '', protocol] = port.split('/');
      if (protocol === 'http') pod.hostPorts.set(Number(number), await hostPort());
    }
    if (pod.endedMs !== undefined) return;
    const { images, folder, restartMs, guard } = this.#options;
    pod.state = 'RUNNING';
    pod.startedMs = Date.now();
    pod.log.system('starting container');
    const env = this.#env(pod);
    if (pod.body.image.startsWith('stub:')) {
      pod.container = runStub(pod.body.image, env);
      return;
    }
    const { network, persistent } = pod.body;
    // Wherever a mount path leads, it stays below the pod's own root.
    const mountPoint = (path: string): string => join(this.#root(pod), join('/', path));
    if (persistent) mkdirSync(mountPoint(persistent.path), { recursive: true });
    if (network) {
      const target = join(folder, 'volumes', network.volumeId);
      const link = mountPoint(network.path);
      mkdirSync(target, { recursive: true });
      mkdirSync(dirname(link), { recursive: true });
      symlinkSync(target, link);
    }
    const command = [...(images[pod.body.image] ?? []), ...splitArgs(pod.body.args)];
    pod.container = runContainer({
      podID: pod.id,
      command,
      env,
      folder: join(folder, 'pods', pod.id),
      log: pod.log,
      restartMs,
      guard,
    });
  }

  #root(pod: SimulatedPod): string {
    return join(this.#options.folder, 'pods', pod.id, 'root');
  }

  /** What Runpod sets in a pod, and what stands for a real machine: a small clean base and where its mounts are. */
  #env(pod: SimulatedPod): Record<string, string> {
    return {
      PATH: process.env['PATH'] ?? '/usr/bin:/bin',
      LANG: 'C.UTF-8',
      ...pod.body.env,
      RUNPOD_POD_ID: pod.id,
      RUNPOD_API_KEY: pod.key,
      RUNPOD_DC_ID: pod.dataCenter,
      RUNPOD_API_URL: this.#options.url(),
      TRAININGJOB_FILE_ROOT: this.#root(pod),
      ...Object.fromEntries(
        [...pod.hostPorts].map(([port, here]) => [`TRAININGJOB_LISTEN_${port}`, `127.0.0.1:${here}`]),
      ),
    };
  }
}

function hasCuda(wanted: CreateBody['cuda']): boolean {
  if (!wanted) return true;
  if ('exactly' in wanted) return wanted.exactly.includes(hostCuda);
  const [major = 0, minor = 0] = wanted.least.split('.').map(Number);
  const [hostMajor = 0, hostMinor = 0] = hostCuda.split('.').map(Number);
  return hostMajor > major || (hostMajor === major && hostMinor >= minor);
}

function listPrice(offer: GpuOffer | CpuOffer, body: CreateBody): number {
  if ('perVcpu' in offer) return offer.perVcpu * (body.cpu?.vcpuCount ?? 2);
  return (body.cloud === 'COMMUNITY' ? offer.community : offer.secure) * (body.gpu?.count ?? 1);
}

/** The pod in the published form. */
export function podJson(pod: SimulatedPod): object {
  const { body } = pod;
  return {
    id: pod.id,
    name: body.name,
    image: body.image,
    args: body.args,
    disk: body.disk,
    ports: body.ports,
    env: body.env,
    registry: body.registry ?? null,
    status: pod.state,
    actions: pod.state === 'RUNNING' ? ['stop', 'restart', 'terminate'] : ['start', 'terminate'],
    mounts: {
      ...(body.network && { network: [body.network] }),
      ...(body.persistent && { persistent: body.persistent }),
    },
    ...(body.gpu && pod.gpuCount > 0 && { gpu: { id: body.gpu.id, count: pod.gpuCount } }),
    ...(body.cpu && { cpu: { ...body.cpu, memory: body.cpu.vcpuCount * 2 } }),
    cloud: body.cloud,
    dataCenterId: pod.dataCenter,
    cudaVersion: body.gpu ? hostCuda : null,
    ssh: { proxy: null, direct: null },
    template: null,
    cost: pod.state === 'EXITED' ? 0 : pod.costUsdPerHour,
    locked: false,
    globalNetworking: { enabled: false },
    runtime:
      pod.state === 'RUNNING' ? { uptime: Math.floor((Date.now() - (pod.startedMs ?? Date.now())) / 1000) } : null,
    createdAt: new Date(pod.createdMs).toISOString(),
    startedAt: pod.startedMs === undefined ? null : new Date(pod.startedMs).toISOString(),
  };
}
