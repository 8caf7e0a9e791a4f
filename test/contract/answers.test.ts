import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { parseCreate } from '../runpod/create.ts';
import type { Fault } from '../runpod/faults.ts';
import { Problem } from '../runpod/problem.ts';
import { startSimulator, type Simulator } from '../runpod/simulator.ts';
import { describedApi } from './description.ts';
import { brokenAnswer, type Exchange } from './exchange.ts';
import { startRecorder, type Recorder } from './recorder.ts';
import { temporaryFolder, type TemporaryFolder } from './temporary.ts';

const description = describedApi();

const gpuPod = { name: 'gpu', image: 'stub:never', gpu: { id: 'NVIDIA L40S', count: 2 } };
const cpuPod = { name: 'cpu', image: 'stub:never', cpu: { id: 'cpu3c', vcpuCount: 4 } };
const volume = { id: 'data', name: 'data', dataCenter: 'EU-RO-1', size: 10 };

const others: readonly unknown[] = [null, '', 'x', '12', true, 0, 1, 1.5, 9, -1, [], [1], {}, { x: 1 }];

/** The value with one thing in it, or itself, replaced, left out, added or doubled: everything that can be done once. */
function changedOnce(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) {
    const inside = value.flatMap((item, index) => changedOnce(item).map((other) => value.with(index, other)));
    return [...others, [...value, ...value], ...inside];
  }
  if (value === null || typeof value !== 'object') return others;
  const inside = Object.entries(value).flatMap(([name, item]) => [
    Object.fromEntries(Object.entries(value).filter(([kept]) => kept !== name)),
    ...changedOnce(item).map((other) => ({ ...value, [name]: other })),
  ]);
  return [...others, { ...value, unheardOf: 'x' }, ...inside];
}

describe.skipIf(description === undefined)("the simulator's answers keep to Runpod's description", () => {
  const api = description!;
  let folder: TemporaryFolder;
  let simulator: Simulator;
  let recorder: Recorder;

  beforeAll(async () => {
    folder = temporaryFolder();
    simulator = await startSimulator({
      folder: folder.path,
      limits: [
        { name: 'minute', requests: 100_000 },
        { name: 'hour', requests: 200_000 },
        { name: 'day', requests: 300_000 },
      ],
      volumes: [volume],
      provisionMs: 0,
      startMs: 0,
    });
    recorder = await startRecorder(simulator.url);
  });
  afterEach(async () => {
    simulator.faults.clear();
    await Promise.all(simulator.live().map((pod) => simulator.pods.delete(pod.id)));
  });
  afterAll(async () => {
    await recorder.stop();
    await simulator.stop();
    folder.remove();
  });

  async function send(method: string, path: string, body?: unknown, key = simulator.apiKey): Promise<Exchange> {
    await fetch(`${recorder.url}${path}`, {
      method,
      headers: { ...(key !== '' && { authorization: `Bearer ${key}` }), 'content-type': 'application/json' },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    return recorder.exchanges.at(-1)!;
  }

  /** A stream that is left after so many pieces of it. */
  async function listened(path: string, pieces: number): Promise<Exchange> {
    const before = recorder.exchanges.length;
    const end = new AbortController();
    const { body } = await fetch(`${recorder.url}${path}`, {
      headers: { authorization: `Bearer ${simulator.apiKey}` },
      signal: end.signal,
    });
    const reader = body!.getReader();
    for (let piece = 0; piece < pieces; piece += 1) await reader.read();
    end.abort();
    await vi.waitUntil(() => recorder.exchanges.length > before);
    return recorder.exchanges.at(-1)!;
  }

  const podID = ({ body }: Exchange): string => (JSON.parse(body) as { id: string }).id;

  test.each<[string, object]>([
    ['a GPU pod', gpuPod],
    ['a CPU pod', cpuPod],
    ['a community pod', { ...gpuPod, cloud: 'COMMUNITY' }],
    [
      'a pod with everything',
      {
        ...gpuPod,
        args: '--epochs 3',
        disk: 50,
        ports: ['8888/http', '22/tcp'],
        env: { A: 'b' },
        registry: 'credential',
        dataCenterIds: ['EU-RO-1'],
        mounts: { network: [{ volumeId: 'data', path: '/volume' }] },
        globalNetworking: false,
        startJupyter: false,
        startSsh: true,
        gpu: { id: 'NVIDIA L40S', minCudaVersion: '12.1', allowedCudaVersions: [] },
      },
    ],
    ['a pod with a disk of its own', { ...gpuPod, mounts: { persistent: { size: 10, path: '/workspace' } } }],
    ['a pod with null for its registry', { ...cpuPod, registry: null, mounts: {} }],
  ])('%s, created, looked at, listed, billed and ended', async (_, body) => {
    const created = await send('POST', '/v2/pods', body);
    const id = podID(created);
    const exchanges = [
      created,
      await send('GET', `/v2/pods/${id}`),
      await send('GET', '/v2/pods'),
      await send('GET', `/v2/billing/pods?podId=${id}`),
      await send('DELETE', `/v2/pods/${id}`),
      await send('GET', '/v2/billing/pods'),
      await send('GET', `/v2/pods/${id}`),
    ];
    expect(exchanges.map(({ status }) => status)).toEqual([201, 200, 200, 200, 204, 200, 404]);
    for (const exchange of exchanges) expect(brokenAnswer(api, exchange)).toEqual([]);
  });

  test('a pod in every state that it can be seen in', async () => {
    const states = new Set<string>();
    const look = async (id: string): Promise<void> => {
      const exchange = await send('GET', `/v2/pods/${id}`);
      expect(brokenAnswer(api, exchange)).toEqual([]);
      states.add((JSON.parse(exchange.body) as { status: string }).status);
    };
    simulator.fault({ kind: 'slowPull', ms: 60_000, match: 'waits' });
    await look(podID(await send('POST', '/v2/pods', { ...gpuPod, name: 'waits' })));
    for (const how of ['exit', 'error'] as const) {
      const id = podID(await send('POST', '/v2/pods', gpuPod));
      while (simulator.pods.live(id)?.state !== 'RUNNING') await look(id);
      await look(id);
      simulator.pods.lose(id, how);
      await look(id);
    }
    expect([...states]).toEqual(expect.arrayContaining(['PROVISIONING', 'RUNNING', 'EXITED', 'ERROR']));
  });

  test.each<[string, number]>([
    ['/v2/catalog/gpus', 200],
    ['/v2/catalog/gpus?include=AVAILABILITY&product=POD,CLUSTER', 200],
    ['/v2/catalog/gpus?include=AVAILABILITY', 400],
    ['/v2/catalog/gpus?product=POD', 400],
    ['/v2/catalog/gpus?include=STOCK&product=POD', 422],
    ['/v2/catalog/cpus', 200],
    ['/v2/catalog/cpus?include=AVAILABILITY&product=SERVERLESS', 200],
    ['/v2/catalog/cpus?include=AVAILABILITY&product=CLUSTER', 422],
    ['/v2/network-volumes', 200],
    ['/v2/pods?includeClusterPods=true', 200],
    ['/v2/nothing', 404],
    ['/v2/pods/%ff', 404],
    ['/v2/pods/nobody/logs', 404],
  ])('GET %s is answered %d', async (path, status) => {
    simulator.catalog.offer('NVIDIA H200')!.stock.forEach((_, place, stock) => stock.set(place, 0));
    simulator.catalog.offer('cpu5c')!.stock.set('EU-RO-1', 3).set('EU-SE-1', 20);
    const exchange = await send('GET', path);
    expect(exchange.status).toBe(status);
    expect(brokenAnswer(api, exchange)).toEqual([]);
  });

  test('stock is told to those who ask for it, and to nobody else', async () => {
    const first = async (query: string): Promise<Record<string, unknown>> => {
      const { body } = await send('GET', `/v2/catalog/gpus${query}`);
      return (JSON.parse(body) as { gpus: Record<string, unknown>[] }).gpus[0]!;
    };
    expect(await first('')).not.toHaveProperty('availability');
    expect(await first('')).not.toHaveProperty('dataCenters');
    expect(await first('?include=AVAILABILITY&product=POD')).toMatchObject({ availability: 'HIGH' });
  });

  test.each<[string, number, unknown]>([
    ['no JSON', 400, '{"name":'],
    ['neither GPU nor CPU', 400, { name: 'a', image: 'stub:never' }],
    ['both', 400, { ...gpuPod, ...cpuPod }],
    ['vCPUs that are no power of two', 400, { ...cpuPod, cpu: { id: 'cpu3c', vcpuCount: 6 } }],
    ['more vCPUs than there are', 400, { ...cpuPod, cpu: { id: 'cpu3c', vcpuCount: 64 } }],
    ['more GPUs than there are', 400, { ...gpuPod, gpu: { id: 'NVIDIA L40S', count: 9 } }],
    ['a CPU of the community', 400, { ...cpuPod, cloud: 'COMMUNITY' }],
    ['an unknown GPU', 400, { ...gpuPod, gpu: { id: 'GTX 9', count: 1 } }],
    ['an unknown image', 400, { ...gpuPod, image: 'nobody/knows:1' }],
    ['an unknown stub', 400, { ...gpuPod, image: 'stub:dance' }],
    ['an unknown data center', 400, { ...gpuPod, dataCenterIds: ['MOON-1'] }],
    ['an unknown volume', 400, { ...gpuPod, mounts: { network: [{ volumeId: 'no', path: '/v' }] } }],
    [
      'a volume elsewhere',
      400,
      { ...gpuPod, dataCenterIds: ['US-TX-3'], mounts: { network: [{ volumeId: 'data', path: '/v' }] } },
    ],
    ['a CPU with a disk of its own', 400, { ...cpuPod, mounts: { persistent: { size: 10, path: '/w' } } }],
    ['two kinds of mounts', 400, { ...gpuPod, mounts: { persistent: { size: 10, path: '/w' }, network: [] } }],
    [
      'two rules for CUDA',
      400,
      { ...gpuPod, gpu: { id: 'NVIDIA L40S', minCudaVersion: '12.1', allowedCudaVersions: ['12.8'] } },
    ],
    ['a CUDA version that no host has', 400, { ...gpuPod, gpu: { id: 'NVIDIA L40S', minCudaVersion: '12.11' } }],
    ['CUDA versions that no host has', 400, { ...gpuPod, gpu: { id: 'NVIDIA L40S', allowedCudaVersions: ['11.8'] } }],
    ['a template that is not there', 404, { name: 'a', templateId: 'none', gpu: gpuPod.gpu }],
    ['no name', 422, { image: 'stub:never', gpu: gpuPod.gpu }],
    ['no object', 422, []],
    ['null', 422, 'null'],
    ['null for a GPU', 422, { ...gpuPod, gpu: null }],
    ['a list for mounts', 422, { ...gpuPod, mounts: [] }],
    ['an unknown member', 422, { ...gpuPod, volumeInGb: 20 }],
  ])('a create with %s is refused with %d', async (_, status, body) => {
    const exchange = await send('POST', '/v2/pods', body);
    expect(exchange.status).toBe(status);
    expect(brokenAnswer(api, exchange)).toEqual([]);
    expect(simulator.live()).toEqual([]);
  });

  test('a create when nothing is in stock is refused with 400', async () => {
    const { stock } = simulator.catalog.offer('NVIDIA A100 80GB PCIe')!;
    stock.forEach((_, place) => stock.set(place, 0));
    const exchange = await send('POST', '/v2/pods', { ...gpuPod, gpu: { id: 'NVIDIA A100 80GB PCIe' } });
    expect(exchange.status).toBe(400);
    expect(exchange.body).toContain('no longer any instances available');
    expect(brokenAnswer(api, exchange)).toEqual([]);
  });

  test('exactly the bodies whose shape the description refuses are answered 422', () => {
    const operation = api.operation('POST', '/v2/pods');
    const schema = typeof operation === 'string' ? {} : operation.requestBody!.content['application/json']!.schema;
    const refused = (body: unknown): boolean => {
      try {
        parseCreate(body);
        return false;
      } catch (error) {
        if (error instanceof Problem) return error.status === 422;
        throw error;
      }
    };
    const common = { name: 'a', image: 'i', args: '', disk: 1, cloud: 'SECURE', env: { A: 'b' }, ports: ['22/tcp'] };
    const flags = { startSsh: true, startJupyter: false, globalNetworking: true };
    const right = [
      {
        ...common,
        ...flags,
        registry: 'r',
        gpu: { id: 'x', count: 1, minCudaVersion: '12.8', allowedCudaVersions: ['12.8'] },
        dataCenterIds: ['EU-RO-1'],
        mounts: { persistent: { size: 10, path: '/w' } },
      },
      { ...common, cpu: { id: 'c', vcpuCount: 2 }, mounts: { network: [{ volumeId: 'v', path: '/v' }] } },
      { name: 'a', templateId: 't', gpu: { id: 'x' } },
    ];
    const variants = right.flatMap((body) => [body, ...changedOnce(body)]);
    const differences = variants.filter((body) => refused(body) !== api.broken(schema, body).length > 0);
    expect(differences).toEqual([]);
    expect(variants.filter(refused).length).toBeGreaterThan(300);
    expect(variants.filter((body) => !refused(body)).length).toBeGreaterThan(30);
  });

  test.each<[string, string, number, string]>([
    ['PUT', '/v2/pods', 405, 'GET, POST'],
    ['PUT', '/v2/pods/any', 404, ''],
    ['POST', '/v2/catalog/gpus', 405, 'GET'],
    ['DELETE', '/v2/catalog/cpus', 405, 'GET'],
    ['POST', '/v2/billing/pods', 405, 'GET'],
  ])('%s %s is answered %d', async (method, path, status, allow) => {
    const exchange = await send(method, path);
    expect(exchange.status).toBe(status);
    expect(exchange.headers['allow'] ?? '').toBe(allow);
    expect(brokenAnswer(api, exchange)).toEqual([]);
  });

  test('a method that a pod does not have is answered 405', async () => {
    const id = podID(await send('POST', '/v2/pods', gpuPod));
    const exchange = await send('PUT', `/v2/pods/${id}`);
    expect(exchange).toMatchObject({ status: 405, headers: { allow: 'GET, DELETE' } });
    expect(brokenAnswer(api, exchange)).toEqual([]);
  });

  test('a missing and a wrong key are answered 401', async () => {
    for (const key of ['', 'wrong']) {
      const exchange = await send('GET', '/v2/pods', undefined, key);
      expect(exchange.status).toBe(401);
      expect(brokenAnswer(api, exchange)).toEqual([]);
    }
  });

  test("a pod's own key opens that pod alone", async () => {
    const [own, other] = [await send('POST', '/v2/pods', gpuPod), await send('POST', '/v2/pods', cpuPod)].map(podID);
    const { key } = simulator.pods.live(own!)!;
    const exchanges = [
      await send('GET', `/v2/pods/${own}`, undefined, key),
      await send('GET', `/v2/pods/${other}`, undefined, key),
      await send('DELETE', `/v2/pods/${other}`, undefined, key),
      await send('GET', '/v2/pods', undefined, key),
      await send('POST', '/v2/pods', gpuPod, key),
      await send('DELETE', `/v2/pods/${own}`, undefined, key),
    ];
    expect(exchanges.map(({ status }) => status)).toEqual([200, 403, 403, 403, 403, 204]);
    for (const exchange of exchanges) expect(brokenAnswer(api, exchange, 'exempt')).toEqual([]);
    const after = await send('GET', `/v2/pods/${own}`, undefined, key);
    expect(after.status).toBe(401);
    expect(brokenAnswer(api, after)).toEqual([]);
    expect(simulator.live().map(({ id }) => id)).toEqual([other]);
  });

  test.each(['', '?tail=0', '?source=system', '?source=container&tail=5', '?since=2026-01-01T00:00:00Z'])(
    "a pod's log%s is a stream of events",
    async (query) => {
      const id = podID(await send('POST', '/v2/pods', gpuPod));
      simulator.pods.live(id)!.log.write('one\ntwo\n');
      const exchange = await listened(`/v2/pods/${id}/logs${query}`, query === '?tail=0' ? 0 : 1);
      expect(exchange.status).toBe(200);
      expect(brokenAnswer(api, exchange)).toEqual([]);
      expect(exchange.body.includes('"line":"two"')).toBe(!/tail=0|system/.test(query));
    },
  );

  test.each(['?source=nobody', '?tail=5001', '?tail=some', '?since=yesterday'])(
    "a pod's log%s is refused",
    async (query) => {
      const id = podID(await send('POST', '/v2/pods', gpuPod));
      const exchange = await send('GET', `/v2/pods/${id}/logs${query}`);
      expect(exchange.status).toBe(422);
      expect(brokenAnswer(api, exchange)).toEqual([]);
    },
  );

  test("a pod's log that is refused", async () => {
    const id = podID(await send('POST', '/v2/pods', gpuPod));
    simulator.fault({ kind: 'refuseLogs', status: 503, detail: 'words' });
    const exchange = await send('GET', `/v2/pods/${id}/logs`);
    expect(exchange.status).toBe(503);
    expect(brokenAnswer(api, exchange)).toEqual([]);
  });

  test('a rate limit that is used up is answered 429, and the headers say so', async () => {
    const limitedFolder = temporaryFolder();
    const limited = await startSimulator({
      folder: limitedFolder.path,
      limits: [
        { name: 'minute', requests: 2 },
        { name: 'hour', requests: 50 },
        { name: 'day', requests: 60 },
      ],
    });
    const front = await startRecorder(limited.url);
    for (let count = 0; count < 3; count += 1)
      await fetch(`${front.url}/v2/pods`, { headers: { authorization: `Bearer ${limited.apiKey}` } });
    expect(front.exchanges.map(({ status }) => status)).toEqual([200, 200, 429]);
    for (const exchange of front.exchanges) expect(brokenAnswer(api, exchange)).toEqual([]);
    expect(front.exchanges.map(({ headers }) => headers['ratelimit']?.split(';t=')[0])).toEqual([
      '"minute";r=1',
      '"minute";r=0',
      '"minute";r=0',
    ]);
    expect(Number(front.exchanges[2]!.headers['retry-after'])).toBeLessThanOrEqual(60);
    await front.stop();
    await limited.stop();
    limitedFolder.remove();
  });

  describe('faults that Runpod describes', () => {
    test.each<[string, Fault, string, number]>([
      ...[400, 401, 402, 403, 404, 422, 500, 503].map((status): [string, Fault, string, number] => [
        `a create refused with ${status}`,
        { kind: 'refuseCreate', status, detail: 'words' },
        'POST',
        status,
      ]),
      [
        'a create refused with 429',
        { kind: 'refuseCreate', status: 429, detail: 'words', retryAfterSeconds: 3 },
        'POST',
        429,
      ],
      ['every call refused with 401', { kind: 'refuseAll', status: 401, detail: 'words' }, 'GET', 401],
      ['every call refused with 500', { kind: 'refuseAll', status: 500, detail: 'words' }, 'GET', 500],
      ['a create that makes a pod and is answered 500', { kind: 'createThen500' }, 'POST', 500],
      ['an empty list', { kind: 'emptyList' }, 'GET', 200],
      ['a list that lacks a pod', { kind: 'listLacks' }, 'GET', 200],
      ['a list that lags', { kind: 'listLag', ms: 60_000 }, 'GET', 200],
      ['another data center', { kind: 'otherDataCenter', dataCenterId: 'US-TX-3' }, 'POST', 201],
      ['another rate', { kind: 'chargedRate', costUsdPerHour: 9 }, 'POST', 201],
      ['no GPUs', { kind: 'otherGpuCount', count: 0 }, 'POST', 201],
      ['a slow answer', { kind: 'slowCreateReply', ms: 50 }, 'POST', 201],
    ])('%s', async (_, fault, method, status) => {
      simulator.fault(fault);
      const exchange = await send(method, '/v2/pods', method === 'POST' ? gpuPod : undefined);
      expect(exchange.status).toBe(status);
      expect(brokenAnswer(api, exchange)).toEqual([]);
    });

    test.each<[string, Fault, number]>([
      ['refused with 409', { kind: 'refuseDelete', status: 409, detail: 'words' }, 409],
      ['refused with 403', { kind: 'refuseDelete', status: 403, detail: 'words' }, 403],
      ['answered 404 though the pod stays', { kind: 'deleteNotFound' }, 404],
      ['accepted though the pod stays', { kind: 'deleteIgnored' }, 204],
      ['answered late', { kind: 'slowDeleteReply', ms: 50 }, 204],
    ])('a delete that is %s', async (_, fault, status) => {
      const id = podID(await send('POST', '/v2/pods', gpuPod));
      simulator.fault(fault);
      const exchange = await send('DELETE', `/v2/pods/${id}`);
      expect(exchange.status).toBe(status);
      expect(brokenAnswer(api, exchange)).toEqual([]);
      expect(simulator.live()).toHaveLength(fault.kind === 'slowDeleteReply' ? 0 : 1);
    });

    test("a pod's own key that is refused", async () => {
      const id = podID(await send('POST', '/v2/pods', gpuPod));
      simulator.fault({ kind: 'podKeyRefused' });
      const exchange = await send('GET', `/v2/pods/${id}`, undefined, simulator.pods.live(id)!.key);
      expect(exchange.status).toBe(401);
      expect(brokenAnswer(api, exchange)).toEqual([]);
    });
  });

  /** What no description has: a client must live through it all the same. Nothing else may be exempt. */
  describe('faults that Runpod does not describe', () => {
    test.each<[string, Fault, RegExp]>([
      ['a page instead of an answer', { kind: 'htmlError', status: 502 }, /content type text\/html is not described/],
      ['a created pod without its id', { kind: 'createWithoutId' }, /required property 'id'/],
      ['429 without Retry-After', { kind: 'refuseCreate', status: 429, detail: 'words' }, /Retry-After is missing/],
    ])('%s', async (_, fault, sentence) => {
      simulator.fault(fault);
      const problems = brokenAnswer(api, await send('POST', '/v2/pods', gpuPod));
      expect(problems.join('\n')).toMatch(sentence);
    });

    test('a connection that is cut instead of an answer, with a pod behind it', async () => {
      simulator.fault({ kind: 'loseCreateReply' });
      await expect(send('POST', '/v2/pods', gpuPod)).rejects.toThrow('fetch failed');
      expect(simulator.live()).toHaveLength(1);
    });
  });
});
