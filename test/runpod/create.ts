import { Problem } from './problem.ts';

/** Body of POST /v2/pods as far as the simulator serves it. */
export interface CreateBody {
  readonly name: string;
  readonly image: string;
  readonly args: string;
  readonly disk: number;
  readonly cloud: 'SECURE' | 'COMMUNITY';
  readonly env: Readonly<Record<string, string>>;
  readonly ports: readonly string[];
  readonly gpu?: { readonly id: string; readonly count: number };
  readonly cpu?: { readonly id: string; readonly vcpuCount: number };
  readonly dataCenterIds: readonly string[];
  readonly network?: { readonly volumeId: string; readonly path: string };
}

const known = new Set(
  'name image args disk cloud env ports gpu cpu dataCenterIds mounts registry globalNetworking startJupyter startSsh templateId'.split(
    ' ',
  ),
);

/** Checks a create as Runpod's description and rules do: 422 for a body of the wrong shape, 400 for a broken rule. */
export function parseCreate(value: unknown): CreateBody {
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw new Problem(422, 'Request validation failed.', ['body must be an object']);
  const body = value as Record<string, unknown>;
  const errors: string[] = [];
  for (const name of Object.keys(body)) if (!known.has(name)) errors.push(`${name}: unexpected property`);
  const text = (name: string): string => {
    const given = body[name];
    if (typeof given === 'string' && given !== '') return given;
    errors.push(`${name}: required, must be a non-empty string`);
    return '';
  };
  const name = text('name');
  const image = text('image');
  const env = (body['env'] ?? {}) as Record<string, string>;
  if (Object.values(env).some((entry) => typeof entry !== 'string')) errors.push('env: values must be strings');
  const disk = body['disk'] ?? 20;
  if (!Number.isInteger(disk) || (disk as number) < 1) errors.push('disk: must be an integer of at least 1');
  const cloud = body['cloud'] ?? 'SECURE';
  if (cloud !== 'SECURE' && cloud !== 'COMMUNITY') errors.push('cloud: must be SECURE or COMMUNITY');
  const gpu = body['gpu'] as { id?: unknown; count?: unknown } | undefined;
  if (gpu && (typeof gpu.id !== 'string' || !Number.isInteger(gpu.count ?? 1) || ((gpu.count ?? 1) as number) < 1))
    errors.push('gpu: needs id and a count of at least 1');
  const cpu = body['cpu'] as { id?: unknown; vcpuCount?: unknown } | undefined;
  if (cpu && (typeof cpu.id !== 'string' || !Number.isInteger(cpu.vcpuCount) || (cpu.vcpuCount as number) < 2))
    errors.push('cpu: needs id and vcpuCount of at least 2');
  const network = ((body['mounts'] ?? {}) as { network?: { volumeId?: unknown; path?: unknown }[] }).network;
  if (
    network &&
    (network.length !== 1 || typeof network[0]?.volumeId !== 'string' || typeof network[0].path !== 'string')
  )
    errors.push('mounts.network: needs one entry with volumeId and path');
  if (errors.length > 0) throw new Problem(422, 'Request validation failed.', errors);
  if ((gpu === undefined) === (cpu === undefined)) throw new Problem(400, 'exactly one of gpu and cpu is required');
  if (cpu && !Number.isInteger(Math.log2(cpu.vcpuCount as number)))
    throw new Problem(400, 'cpu.vcpuCount must be a power of two');
  if (cpu && cloud === 'COMMUNITY') throw new Problem(400, 'CPU pods are not allowed in COMMUNITY cloud');
  const mount = network?.[0];
  return {
    name,
    image,
    args: typeof body['args'] === 'string' ? body['args'] : '',
    disk: disk as number,
    cloud: cloud as CreateBody['cloud'],
    env,
    ports: (body['ports'] ?? []) as string[],
    ...(gpu && { gpu: { id: gpu.id as string, count: (gpu.count ?? 1) as number } }),
    ...(cpu && { cpu: { id: cpu.id as string, vcpuCount: cpu.vcpuCount as number } }),
    dataCenterIds: (body['dataCenterIds'] ?? []) as string[],
    ...(mount && { network: { volumeId: mount.volumeId as string, path: mount.path as string } }),
  };
}
