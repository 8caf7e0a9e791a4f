import { parsePodName } from '../../controller/api/identity.ts';
import type { CloudPod, CreateCloudPodBody } from '../../controller/runpod/cloudpod.ts';
import { RunpodError } from '../../controller/runpod/errors.ts';
import { installation } from '../unit/snapshot.ts';
import type { VirtualClock } from './virtualclock.ts';

/** What Runpod makes of one create: a refusal, or a pod that differs from what was asked. */
export type Placement = RunpodError | (Partial<CloudPod> & { readonly lagMs?: number; readonly replyLost?: boolean });

export interface RentedPod {
  readonly pod: CloudPod;
  readonly body: CreateCloudPodBody;
  /** Not in lists before this. */
  readonly listedFromMs: number;
  readonly billedFromMs: number;
  billedToMs: number | undefined;
  /** What its host made of it: its container is dead, and it is there until it is ended. */
  stands?: 'EXITED' | 'ERROR';
}

/** How long a pod goes on, and bills, after its delete was accepted. */
const endingMs = 3000;
const bootMs = 20_000;
const listLagMs = 2000;

/** A Runpod account: what it rents out, what its lists show and when, and what all of it costs. */
export class Account {
  readonly #clock: VirtualClock;
  readonly rented: RentedPod[] = [];
  readonly created = new Map<string, number>();
  readonly deleted = new Map<string, number>();
  /** Decides over a create; by default each one makes the pod that was asked for. */
  place: (body: CreateCloudPodBody, count: number) => Placement = () => ({});
  /** False while the key of the operator is refused. */
  keyGood = true;
  /** So many deletes are answered with "no such pod", and nothing is done. */
  denies = 0;
  /** A word that every pod's container prints. */
  printed = '';
  /** Logs of pods get no answer. */
  logsHang = false;
  /** Lists show the account as it was at this instant; undefined: as it is. */
  frozenAtMs: number | undefined;
  readonly #started: (pod: RentedPod) => void;

  constructor(clock: VirtualClock, started: (pod: RentedPod) => void) {
    this.#clock = clock;
    this.#started = started;
  }

  billing(): readonly RentedPod[] {
    return this.rented.filter((pod) => pod.billedToMs === undefined);
  }

  /** Of those, the pods of this installation. */
  ours(): readonly RentedPod[] {
    return this.billing().filter(({ pod }) => parsePodName(pod.name)?.installation === installation);
  }

  billedSeconds(): number {
    return this.rented.reduce((sum, pod) => sum + this.#seconds(pod), 0);
  }

  billedUsd(pods: readonly RentedPod[]): number {
    return pods.reduce((sum, pod) => sum + (this.#seconds(pod) / 3600) * pod.pod.costUsdPerHour, 0);
  }

  create(body: CreateCloudPodBody): CloudPod {
    this.#authorize();
    const count = [...this.created.values()].reduce((sum, times) => sum + times, 0);
    this.created.set(body.name, (this.created.get(body.name) ?? 0) + 1);
    const placed = this.place(body, count);
    if (placed instanceof RunpodError) throw placed;
    const { lagMs = listLagMs, replyLost = false, ...changes } = placed;
    const nowMs = this.#clock.now();
    const pod: CloudPod = {
      id: `pod${this.rented.length + 1}`,
      name: body.name,
      status: 'PROVISIONING',
      costUsdPerHour: 0.12,
      dataCenterId: 'EU-RO-1',
      createdAt: nowMs,
      ...(body.gpu && { gpuType: body.gpu.id, gpuCount: body.gpu.count }),
      ...(body.cpu && { cpuFlavor: body.cpu.id, vcpuCount: body.cpu.vcpuCount }),
      ...changes,
    };
    const rented: RentedPod = { pod, body, listedFromMs: nowMs + lagMs, billedFromMs: nowMs, billedToMs: undefined };
    this.rented.push(rented);
    this.#clock.after(bootMs, () => this.#started(rented));
    if (replyLost) throw new RunpodError('unknownOutcome', 'the connection was cut');
    return pod;
  }

  delete(id: string): void {
    this.#authorize();
    this.deleted.set(id, (this.deleted.get(id) ?? 0) + 1);
    const pod = this.billing().find((entry) => entry.pod.id === id);
    if (!pod || this.denies > 0) {
      this.denies -= 1;
      throw new RunpodError('notFound', 'there is no such pod', { status: 404 });
    }
    this.end(pod);
  }

  /** The stream of a pod's log: what was said, and then nothing more. */
  async *log(id: string, signal: AbortSignal): AsyncGenerator<string> {
    if (!this.logsHang) {
      this.#authorize();
      if (!this.billing().some(({ pod }) => pod.id === id))
        throw new RunpodError('notFound', 'there is no such pod', { status: 404 });
      yield '';
      const ts = new Date(this.#clock.now()).toISOString();
      for (const line of ['starting', `the key is ${this.printed}`])
        yield `id: ${ts}\ndata: ${JSON.stringify({ ts, source: 'container', line })}\n\n`;
    }
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  }

  /** The job whose pod this is. */
  ownerOf(id: string): string {
    return this.rented.find(({ pod }) => pod.id === id)?.body.env['TRAININGJOB_UID'] ?? '';
  }

  /** A pod that somebody else rented. */
  addStranger(pod: Pick<CloudPod, 'id' | 'name'> & Partial<CloudPod>): void {
    const nowMs = this.#clock.now();
    const body = { name: pod.name, image: 'theirs', disk: 10, cloud: 'SECURE' as const, env: {} };
    this.rented.push({
      pod: { status: 'RUNNING', costUsdPerHour: 1, createdAt: nowMs, ...pod },
      body,
      listedFromMs: nowMs,
      billedFromMs: nowMs,
      billedToMs: undefined,
    });
  }

  /** Ends a pod by its own key, or by the host's. */
  end(pod: RentedPod, afterMs = endingMs): void {
    this.#clock.after(afterMs, () => {
      pod.billedToMs ??= this.#clock.now();
    });
  }

  /** What a list shows that was started now. */
  list(): readonly CloudPod[] {
    this.#authorize();
    const atMs = Math.min(this.#clock.now(), this.frozenAtMs ?? Number.POSITIVE_INFINITY);
    return this.rented.flatMap((entry) => {
      const { pod, billedToMs, listedFromMs } = entry;
      if (atMs < listedFromMs || (billedToMs !== undefined && billedToMs <= atMs)) return [];
      if (entry.stands)
        return [{ ...pod, status: entry.stands, costUsdPerHour: entry.stands === 'EXITED' ? 0 : pod.costUsdPerHour }];
      const booted = atMs >= pod.createdAt + bootMs && pod.status === 'PROVISIONING';
      return [booted ? { ...pod, status: 'RUNNING' as const } : pod];
    });
  }

  #authorize(): void {
    if (!this.keyGood) throw new RunpodError('unauthorized', 'the API key is not valid', { status: 401 });
  }

  #seconds({ billedFromMs, billedToMs }: RentedPod): number {
    return ((billedToMs ?? this.#clock.now()) - billedFromMs) / 1000;
  }
}
