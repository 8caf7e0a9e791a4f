import type { ResolvedSpec } from '../../controller/api/resolve.ts';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import * as fc from 'fast-check';
import pino from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Candidate, TrainingJobSpec } from '../../controller/api/trainingjob.ts';
import { systemClock } from '../../controller/clock.ts';
import { RunpodClient } from '../../controller/runpod/client.ts';
import type { CreateCloudPodBody } from '../../controller/runpod/cloudpod.ts';
import { LogTail } from '../../controller/runpod/logtail.ts';
import { Quota } from '../../controller/runpod/quota.ts';
import { createBody } from '../../controller/runpod/request.ts';
import { startSimulator, type Simulator } from '../runpod/simulator.ts';
import { describedApi } from './description.ts';
import { brokenAnswer, brokenRequest } from './exchange.ts';
import { startRecorder, type Recorder } from './recorder.ts';
import { temporaryFolder, type TemporaryFolder } from './temporary.ts';

const description = describedApi();
const image = 'stub:never';

type Compute = TrainingJobSpec['compute'];

function bodyFor(
  candidate: Partial<Candidate>,
  compute: Partial<Compute> = {},
  custom?: string,
  transport: 'Push' | 'Pull' = 'Push',
): CreateCloudPodBody {
  const whole: Candidate = { name: 'candidate', cloud: 'Secure', ...candidate };
  const trainer = custom === undefined ? {} : { custom: { image: custom, command: ['python', 'train.py'] } };
  return createBody({
    job: { uid: '0a1b2c3d-0000-4000-8000-000000000000', namespace: 'team', name: 'job' },
    spec: {
      image: custom,
      trainer,
      compute: { containerDiskGB: 20, candidates: [whole], ...compute },
      watchdog: { deadManSeconds: 2700 },
    } as unknown as ResolvedSpec,
    hardEndSeconds: 3600,
    candidate: whole,
    podName: 'tj-abcdef-0a1b2c3d0000-a1-x9q2-job',
    attempt: 1,
    nonce: 'x9q2',
    installation: 'abcdef',
    token: 'token',
    transport,
    telemetryUrl: 'https://operator.example.org',
    trainerImage: image,
  });
}

const gpu = { type: 'NVIDIA H100 80GB HBM3', count: 1 };
const networkVolume = { id: 'data', mountPath: '/volume' };

describe.skipIf(description === undefined)('what goes to Runpod keeps to its description', () => {
  const api = description!;
  let folder: TemporaryFolder;
  let simulator: Simulator;
  let recorder: Recorder;
  let client: RunpodClient;
  let seen = 0;

  beforeAll(async () => {
    folder = temporaryFolder();
    simulator = await startSimulator({
      folder: folder.path,
      limits: [{ name: 'minute', requests: 100_000 }],
      volumes: [{ id: 'data', name: 'data', dataCenter: 'EU-RO-1', size: 10 }],
    });
    recorder = await startRecorder(simulator.url);
    client = new RunpodClient({
      baseUrl: recorder.url,
      apiKey: () => simulator.apiKey,
      quota: new Quota(systemClock),
      clock: systemClock,
      timeoutMs: 20_000,
    });
  });
  beforeEach(() => {
    seen = recorder.exchanges.length;
  });
  afterAll(async () => {
    await client.close();
    await recorder.stop();
    await simulator.stop();
    folder.remove();
  });

  const newOnes = (): typeof recorder.exchanges => recorder.exchanges.slice(seen);

  test.each<[string, CreateCloudPodBody]>([
    ['a GPU', bodyFor({ gpu })],
    ['eight GPUs', bodyFor({ gpu: { ...gpu, count: 8 } })],
    ['a community GPU', bodyFor({ gpu: { type: 'NVIDIA L40S', count: 2 }, cloud: 'Community' })],
    ['a GPU with a CUDA version', bodyFor({ gpu }, { minCudaVersion: '12.8' })],
    ['a GPU in two data centers', bodyFor({ gpu, dataCenters: ['EU-RO-1', 'US-TX-3'] })],
    ['a GPU wherever there is one', bodyFor({ gpu, dataCenters: [] })],
    ['a GPU with a network volume', bodyFor({ gpu, dataCenters: ['EU-RO-1'] }, { networkVolume })],
    ['a CPU', bodyFor({ cpu: { flavor: 'cpu3c', vcpus: 2 } })],
    [
      'a CPU with a CUDA version for others',
      bodyFor({ cpu: { flavor: 'cpu5c', vcpus: 32 } }, { minCudaVersion: '12.8' }),
    ],
    ['a CPU with a network volume', bodyFor({ cpu: { flavor: 'cpu3g', vcpus: 4 } }, { networkVolume })],
    ['the smallest disk', bodyFor({ gpu }, { containerDiskGB: 1 })],
    ['a pod that is called', bodyFor({ gpu }, {}, undefined, 'Pull')],
    ["a custom trainer's image", bodyFor({ gpu }, {}, 'stub:heartbeat')],
  ])('creating %s', async (_, body) => {
    const pod = await client.createCloudPod(body);
    const [exchange] = newOnes();
    expect(exchange).toMatchObject({ method: 'POST', target: '/v2/pods', status: 201 });
    expect(JSON.parse(exchange!.requestBody)).toEqual(body);
    expect(brokenRequest(api, exchange!)).toEqual([]);
    expect(brokenAnswer(api, exchange!)).toEqual([]);
    expect(pod).toMatchObject({ name: body.name, status: 'PROVISIONING' });
    expect(pod.gpuCount).toBe(body.gpu?.count);
    expect(pod.vcpuCount).toBe(body.cpu?.vcpuCount);
  });

  test('creating whatever a spec can ask for', () => {
    const candidates = fc.oneof(
      fc.record({
        gpu: fc.record({ type: fc.string({ minLength: 1 }), count: fc.integer({ min: 1, max: 8 }) }),
        cloud: fc.constantFrom('Secure' as const, 'Community' as const),
        dataCenters: fc.array(fc.string({ minLength: 1 })),
      }),
      fc.record({
        cpu: fc.record({ flavor: fc.string({ minLength: 1 }), vcpus: fc.constantFrom(2, 4, 8, 16, 32, 64) }),
      }),
    );
    const computes = fc.record(
      {
        containerDiskGB: fc.integer({ min: 1, max: 4096 }),
        minCudaVersion: fc.stringMatching(/^[1-9]\d?\.\d$/),
        networkVolume: fc.record({ id: fc.string({ minLength: 1 }), mountPath: fc.constant('/volume') }),
      },
      { requiredKeys: ['containerDiskGB'] },
    );
    const operation = api.operation('POST', '/v2/pods');
    const schema = typeof operation === 'string' ? {} : operation.requestBody!.content['application/json']!.schema;
    fc.assert(
      fc.property(candidates, computes, (candidate, compute) => {
        expect(api.broken(schema, bodyFor(candidate as Partial<Candidate>, compute))).toEqual([]);
      }),
    );
  });

  test('listing, ending and looking at prices', async () => {
    const pod = await client.createCloudPod(bodyFor({ gpu }));
    expect((await client.listCloudPods()).map(({ id }) => id)).toContain(pod.id);
    await client.deleteCloudPod(pod.id);
    await expect(client.deleteCloudPod('no such/pod?')).rejects.toMatchObject({ kind: 'notFound' });
    expect(await client.listGpuPrices()).toContainEqual({ id: gpu.type, secure: 2.99, community: 2.69 });
    expect(await client.listCpuPrices()).toContainEqual({ id: 'cpu3c', perVcpu: 0.03 });
    expect(newOnes().map(({ method, target, status }) => `${method} ${target} ${status}`)).toEqual([
      'POST /v2/pods 201',
      'GET /v2/pods 200',
      `DELETE /v2/pods/${pod.id} 204`,
      'DELETE /v2/pods/no%20such%2Fpod%3F 404',
      'GET /v2/catalog/gpus 200',
      'GET /v2/catalog/cpus 200',
    ]);
    for (const exchange of newOnes()) {
      expect(brokenRequest(api, exchange)).toEqual([]);
      expect(brokenAnswer(api, exchange)).toEqual([]);
    }
  });

  test("reading the last lines of a pod's log", async () => {
    simulator.fault({ kind: 'slowPull', ms: 60_000 });
    const { id } = await client.createCloudPod(bodyFor({ gpu }));
    simulator.pods.live(id)!.log.write('Traceback\nboom\n');
    seen = recorder.exchanges.length;
    const logs = new LogTail({
      open: (podID, lines, signal) => client.podLog(podID, lines, signal),
      clock: systemClock,
      log: pino({ enabled: false }),
    });
    expect(await logs.read(id)).toEqual([`system: pulling image ${image}`, 'Traceback', 'boom']);
    await vi.waitUntil(() => newOnes().length > 0);
    expect(await logs.read('nobody')).toEqual([]);
    expect(newOnes().map(({ method, target, status }) => `${method} ${target} ${status}`)).toEqual([
      `GET /v2/pods/${id}/logs?tail=20 200`,
      'GET /v2/pods/nobody/logs?tail=20 404',
    ]);
    for (const exchange of newOnes()) {
      expect(brokenRequest(api, exchange)).toEqual([]);
      expect(brokenAnswer(api, exchange)).toEqual([]);
    }
  });

  test('the pod looking at itself and ending itself, with its own key', async () => {
    const { id } = await client.createCloudPod(bodyFor({ gpu }));
    const pod = simulator.pods.live(id)!;
    seen = recorder.exchanges.length;
    const program = `
import sys, threading
from types import SimpleNamespace
from trainingjob.agent.podkey import PodKey

class AskOnce(threading.Event):
    def wait(self, timeout=None):
        self.set()
        return True

url, pod, key = sys.argv[1:]
own = PodKey(SimpleNamespace(runpod_url=url, pod_id=pod, pod_key=key))
print(own.problem())
own.end_pod(AskOnce())
`;
    const python = new URL('../../.venv/bin/python', import.meta.url).pathname;
    const { stdout } = await promisify(execFile)(python, ['-c', program, recorder.url, id, pod.key]);
    expect(stdout).toBe('None\n');
    expect(newOnes().map(({ method, target, status }) => `${method} ${target} ${status}`)).toEqual([
      `GET /v2/pods/${id} 200`,
      `DELETE /v2/pods/${id} 204`,
    ]);
    for (const exchange of newOnes()) {
      expect(exchange.requestHeaders['authorization']).toBe(`Bearer ${pod.key}`);
      expect(brokenRequest(api, exchange)).toEqual([]);
      expect(brokenAnswer(api, exchange, 'exempt')).toEqual([]);
    }
    expect(simulator.pods.live(id)).toBeUndefined();
  });
});
