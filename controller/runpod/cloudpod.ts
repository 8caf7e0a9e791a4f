import { RunpodError } from './errors.ts';

/** `UNKNOWN` stands for a word that is not Runpod's today: the pod is there, and billed for all we know. */
export type CloudPodStatus = 'PROVISIONING' | 'STARTING' | 'RUNNING' | 'EXITED' | 'ERROR' | 'TERMINATED' | 'UNKNOWN';

/** A Runpod pod as far as the operator looks at it. */
export interface CloudPod {
  readonly id: string;
  readonly name: string;
  readonly status: CloudPodStatus;
  /** What is charged now, rounded to a hundredth of a cent; 0 while stopped. */
  readonly costUsdPerHour: number;
  readonly dataCenterId?: string;
  readonly gpuType?: string;
  readonly gpuCount?: number;
  readonly cpuFlavor?: string;
  readonly vcpuCount?: number;
  /** Exposed ports, such as `8477/http`. */
  readonly ports?: readonly string[];
  /** Milliseconds since the Unix epoch. */
  readonly createdAt: number;
}

/** Body of POST /v2/pods, as far as the operator uses it. */
export interface CreateCloudPodBody {
  readonly name: string;
  readonly image: string;
  readonly disk: number;
  readonly cloud: 'SECURE' | 'COMMUNITY';
  readonly env: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly gpu?: { readonly id: string; readonly count: number; readonly minCudaVersion?: string };
  readonly cpu?: { readonly id: string; readonly vcpuCount: number };
  readonly dataCenterIds?: readonly string[];
  readonly mounts?: { readonly network: readonly { readonly volumeId: string; readonly path: string }[] };
}

const statuses: readonly string[] = ['PROVISIONING', 'STARTING', 'RUNNING', 'EXITED', 'ERROR', 'TERMINATED'];

/**
 * From Runpod's JSON; unknown members are ignored, a missing or wrong one that is needed is a `malformed` error naming it.
 * A list has other people's pods too, so what Runpod allows is never an error: a name may be empty, a state new.
 */
export function parseCloudPod(value: unknown): CloudPod {
  const pod = record(value, 'pod');
  const id = text(pod, 'id');
  if (id === '') throw wrong('a pod has an empty "id"');
  const status = text(pod, 'status');
  const cost = pod['cost'];
  if (typeof cost !== 'number' || !Number.isFinite(cost)) throw wrong(`pod ${id} has no number "cost"`);
  const createdAt = Date.parse(text(pod, 'createdAt'));
  if (Number.isNaN(createdAt)) throw wrong(`pod ${id} has no date "createdAt"`);
  const gpu = pod['gpu'] === undefined || pod['gpu'] === null ? undefined : record(pod['gpu'], 'gpu');
  const cpu = pod['cpu'] === undefined || pod['cpu'] === null ? undefined : record(pod['cpu'], 'cpu');
  const { dataCenterId, ports } = pod;
  return {
    id,
    name: text(pod, 'name'),
    status: statuses.includes(status) ? (status as CloudPodStatus) : 'UNKNOWN',
    costUsdPerHour: Math.round(cost * 1e4) / 1e4,
    createdAt,
    ...(Array.isArray(ports) &&
      ports.length > 0 && { ports: ports.filter((port) => typeof port === 'string').slice(0, 64) }),
    ...(typeof dataCenterId === 'string' && { dataCenterId }),
    ...(gpu && { gpuType: text(gpu, 'id'), gpuCount: typeof gpu['count'] === 'number' ? gpu['count'] : 1 }),
    ...(cpu && {
      cpuFlavor: text(cpu, 'id'),
      ...(typeof cpu['vcpuCount'] === 'number' && { vcpuCount: cpu['vcpuCount'] }),
    }),
  };
}

function record(value: unknown, what: string): Record<string, unknown> {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw wrong(`${what} is no object`);
  return value as Record<string, unknown>;
}

function text(object: Record<string, unknown>, member: string): string {
  const value = object[member];
  if (typeof value !== 'string') throw wrong(`a pod has no text "${member}"`);
  return value;
}

function wrong(message: string): RunpodError {
  return new RunpodError('malformed', message);
}
