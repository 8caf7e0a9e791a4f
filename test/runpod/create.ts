import { Problem } from './problem.ts';
import { flag, integer, list, map, matching, nullable, object, oneOf, text } from './shape.ts';

/** Body of POST /v2/pods as far as the simulator serves it. */
export interface CreateBody {
  readonly name: string;
  readonly image: string;
  readonly args: string;
  readonly disk: number;
  readonly cloud: 'SECURE' | 'COMMUNITY';
  readonly env: Readonly<Record<string, string>>;
  readonly ports: readonly string[];
  readonly registry?: string | null;
  readonly gpu?: { readonly id: string; readonly count: number };
  readonly cpu?: { readonly id: string; readonly vcpuCount: number };
  /** CUDA versions that the host may have; undefined: any. */
  readonly cuda?: { readonly least: string } | { readonly exactly: readonly string[] };
  readonly dataCenterIds: readonly string[];
  readonly network?: { readonly volumeId: string; readonly path: string };
  readonly persistent?: { readonly size: number; readonly path: string };
}

/** The body as it was sent, once its shape is right. */
interface Given {
  readonly name: string;
  readonly image?: string;
  readonly args?: string;
  readonly disk?: number;
  readonly cloud?: 'SECURE' | 'COMMUNITY';
  readonly env?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly registry?: string | null;
  readonly gpu?: {
    readonly id: string;
    readonly count?: number;
    readonly minCudaVersion?: string;
    readonly allowedCudaVersions?: readonly string[];
  };
  readonly cpu?: { readonly id: string; readonly vcpuCount: number };
  readonly dataCenterIds?: readonly string[];
  readonly mounts?: {
    readonly network?: readonly { readonly volumeId: string; readonly path: string }[];
    readonly persistent?: { readonly size: number; readonly path: string };
  };
  readonly templateId?: string;
}

const cudaVersion = matching(/^\d+\.\d+$/, 'a version such as 12.8');

const createShape = object(
  {
    name: text(1),
    image: text(),
    args: text(),
    disk: integer(1),
    env: map(text()),
    ports: list(text()),
    registry: nullable(text()),
    cloud: oneOf('SECURE', 'COMMUNITY'),
    gpu: object(
      { id: text(), count: integer(1), allowedCudaVersions: list(cudaVersion), minCudaVersion: cudaVersion },
      ['id'],
    ),
    cpu: object({ id: text(1), vcpuCount: integer(2) }, ['id', 'vcpuCount']),
    dataCenterIds: list(text()),
    mounts: object({
      persistent: object({ size: integer(10), path: text() }, ['size', 'path']),
      network: list(object({ volumeId: text(), path: text() }, ['volumeId', 'path']), 1),
    }),
    globalNetworking: flag,
    startJupyter: flag,
    startSsh: flag,
    templateId: text(1),
  },
  ['name'],
);

/** Checks a create as Runpod's description and rules do: 422 for a body of the wrong shape, 400 for a broken rule. */
export function parseCreate(value: unknown): CreateBody {
  const errors = [...createShape(value, '$')];
  const members = value !== null && typeof value === 'object' ? value : {};
  if (!Object.hasOwn(members, 'templateId') && !Object.hasOwn(members, 'image'))
    errors.push("$: missing property 'image'");
  if (errors.length > 0) throw new Problem(422, 'Request validation failed.', errors);
  const body = value as Given;
  // The account has no templates.
  if (body.templateId !== undefined) throw new Problem(404, 'resource not found');
  const broken = brokenRule(body);
  if (broken !== undefined) throw new Problem(400, broken);
  const { gpu, cpu, mounts } = body;
  const network = mounts?.network?.[0];
  const allowed = gpu?.allowedCudaVersions ?? [];
  return {
    name: body.name,
    image: body.image ?? '',
    args: body.args ?? '',
    disk: body.disk ?? 20,
    cloud: body.cloud ?? 'SECURE',
    env: body.env ?? {},
    ports: body.ports ?? [],
    registry: body.registry ?? null,
    ...(gpu && { gpu: { id: gpu.id, count: gpu.count ?? 1 } }),
    ...(cpu && { cpu }),
    ...(gpu?.minCudaVersion !== undefined && { cuda: { least: gpu.minCudaVersion } }),
    ...(allowed.length > 0 && { cuda: { exactly: allowed } }),
    dataCenterIds: body.dataCenterIds ?? [],
    ...(network && { network }),
    ...(mounts?.persistent && { persistent: mounts.persistent }),
  };
}

function brokenRule({ gpu, cpu, cloud, mounts, ports = [] }: Given): string | undefined {
  if ((gpu === undefined) === (cpu === undefined)) return 'exactly one of gpu and cpu is required';
  if (cpu && !Number.isInteger(Math.log2(cpu.vcpuCount))) return 'cpu.vcpuCount must be a power of two';
  if (cpu && cloud === 'COMMUNITY') return 'CPU pods are not allowed in COMMUNITY cloud';
  if (cpu && mounts?.persistent) return 'mounts.persistent is invalid for CPU pods';
  if (mounts?.persistent && mounts.network) return 'mounts.persistent and mounts.network are mutually exclusive';
  if (gpu?.minCudaVersion !== undefined && (gpu.allowedCudaVersions ?? []).length > 0)
    return 'gpu.minCudaVersion and gpu.allowedCudaVersions are mutually exclusive';
  const port = ports.find((entry) => !/^\d{1,5}\/(http|tcp)$/.test(entry));
  if (port !== undefined) return `ports: "${port}" must be a port and its protocol, such as 8888/http`;
  return undefined;
}
