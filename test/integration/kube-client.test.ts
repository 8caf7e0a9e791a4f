import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { apiVersion, kind, type TrainingJob } from '../../controller/api/trainingjob.ts';
import { systemClock } from '../../controller/clock.ts';
import { KubeClient } from '../../controller/kube/client.ts';
import { kubeConnection } from '../../controller/kube/config.ts';
import type { KubeError } from '../../controller/kube/errors.ts';
import { configMaps, secrets, trainingJobs } from '../../controller/kube/resources.ts';
import { kubectl } from '../controlplane/crds.ts';
import { freshNamespace, sharedControlPlane, type SharedControlPlane } from '../controlplane/shared.ts';
import { stubSpec } from '../rig/rig.ts';
import { FaultProxy } from '../controlplane/faultproxy.ts';

let plane: SharedControlPlane;
let proxy: FaultProxy;
let client: KubeClient;
let namespace: string;
const observed: string[] = [];
beforeAll(async () => {
  plane = await sharedControlPlane();
  namespace = await freshNamespace(plane, 'client');
  proxy = await FaultProxy.start(plane);
  client = new KubeClient({
    connection: proxy.connection(kubeConnection(plane.kubeconfigPath)),
    clock: systemClock,
    observe: { request: (verb, code) => observed.push(`${verb} ${code}`) },
  });
});
afterEach(() => {
  proxy.fault = undefined;
});
afterAll(async () => {
  await client.close();
  await proxy.stop();
});

const makeJob = (name: string): Promise<TrainingJob> =>
  client.create<TrainingJob>(trainingJobs, namespace, {
    apiVersion,
    kind,
    metadata: { name, namespace },
    spec: stubSpec('heartbeat'),
  });
const applyPhase = (job: TrainingJob, phase: string): Promise<TrainingJob> => {
  const { name, uid, resourceVersion } = job.metadata;
  const metadata = { name, namespace, uid, resourceVersion };
  return client.applyStatus<TrainingJob>(
    trainingJobs,
    { apiVersion, kind, metadata, status: { phase } },
    'test-manager',
  );
};
const configMap = (name: string) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace } });
const failure = (call: Promise<unknown>): Promise<KubeError> =>
  call.then(
    () => Promise.reject(new Error('the call did not fail')),
    (error: KubeError) => error,
  );

describe('writes carry what they were decided on', () => {
  test('status: a stale version is refused, the answer of the write before is not', async () => {
    const first = await makeJob('stale-status');
    const second = await applyPhase(first, 'Pending');
    expect(second.status?.phase).toBe('Pending');
    expect(await failure(applyPhase(first, 'Placing'))).toMatchObject({ kind: 'conflict', status: 409 });
    expect((await applyPhase(second, 'Placing')).status?.phase).toBe('Placing');
    expect((await client.get<TrainingJob>(trainingJobs, namespace, 'stale-status')).status?.phase).toBe('Placing');
  });

  test('status: what is left out of an apply goes', async () => {
    const job = await makeJob('shrinks');
    const { name, uid, resourceVersion } = job.metadata;
    const status = { phase: 'Pending', startTime: new Date(0).toISOString() };
    const metadata = { name, namespace, uid, resourceVersion };
    const written = await client.applyStatus<TrainingJob>(
      trainingJobs,
      { apiVersion, kind, metadata, status },
      'test-manager',
    );
    expect(written.status?.startTime).toBeDefined();
    expect((await applyPhase(written, 'Placing')).status).not.toHaveProperty('startTime');
  });

  test("status: an old job's outcome is never written onto one that was made again under its name", async () => {
    const old = await makeJob('recreated');
    await client.delete(trainingJobs, namespace, 'recreated');
    expect((await failure(applyPhase(old, 'Failed'))).kind).toBe('notFound');
    await makeJob('recreated');
    expect((await failure(applyPhase(old, 'Failed'))).kind).toBe('conflict');
    expect((await client.get<TrainingJob>(trainingJobs, namespace, 'recreated')).status).toEqual({
      observedGeneration: -1,
    });
  });

  test('finalizers: a stale version is refused, and finalizers of others are kept as given', async () => {
    const job = await makeJob('finalized');
    const ours = 'training.finetunelab.ai/cloud-pod';
    const held = await client.patchFinalizers<TrainingJob>(trainingJobs, job, ['example.com/theirs', ours]);
    expect(held.metadata).toMatchObject({ finalizers: ['example.com/theirs', ours] });
    expect((await failure(client.patchFinalizers(trainingJobs, job, []))).kind).toBe('conflict');
    const freed = await client.patchFinalizers<TrainingJob>(trainingJobs, held, []);
    expect(freed.metadata).not.toHaveProperty('finalizers');
  });
});

describe('what goes wrong has a kind, a status and the words of the API server', () => {
  test('409: made twice', async () => {
    await client.create(configMaps, namespace, configMap('twice'));
    const error = await failure(client.create(configMaps, namespace, configMap('twice')));
    expect(error).toMatchObject({ name: 'KubeError', kind: 'alreadyExists', status: 409, reason: 'AlreadyExists' });
    expect(error.message).toContain('configmaps "twice" already exists');
  });

  test('404', async () => {
    const error = await failure(client.get(configMaps, namespace, 'absent'));
    expect(error).toMatchObject({ kind: 'notFound', status: 404, message: 'configmaps "absent" not found' });
  });

  test('a name that is a path stays a name', async () => {
    await failure(client.get(configMaps, namespace, '../secrets'));
    expect(proxy.requests.at(-1)?.path).toBe(`/api/v1/namespaces/${namespace}/configmaps/..%2Fsecrets`);
  });

  test('422: the rule that is broken', async () => {
    const spec = { ...stubSpec('heartbeat'), compute: { candidates: [] } };
    const error = await failure(
      client.create(trainingJobs, namespace, { apiVersion, kind, metadata: { name: 'bad', namespace }, spec }),
    );
    expect(error).toMatchObject({ kind: 'invalid', status: 422, reason: 'Invalid' });
    expect(error.message).toContain('spec.compute.candidates');
  });

  test('403 and 401 of a user with no rights and of none', async () => {
    await kubectl(plane, ['create', 'serviceaccount', 'nobody', '-n', namespace]);
    const token = (await kubectl(plane, ['create', 'token', 'nobody', '-n', namespace])).trim();
    for (const [authorization, expected] of [
      [`Bearer ${token}`, 'forbidden'],
      ['Bearer invented', 'unauthorized'],
    ] as const) {
      const connection = {
        ...proxy.connection(kubeConnection(plane.kubeconfigPath)),
        headers: async () => ({ authorization }),
      };
      const other = new KubeClient({ connection, clock: systemClock });
      expect((await failure(other.get(secrets, namespace, 'any'))).kind).toBe(expected);
      await other.close();
    }
  });

  test('a token that was refused is asked for anew, once', async () => {
    const good = (await kubeConnection(plane.kubeconfigPath).headers())['authorization'] ?? '';
    const given = ['Bearer expired', good];
    const connection = {
      ...proxy.connection(kubeConnection(plane.kubeconfigPath)),
      headers: async () => ({ authorization: given.shift() ?? '' }),
    };
    const rotated = new KubeClient({ connection, clock: systemClock });
    await rotated.create(configMaps, namespace, configMap('rotated'));
    await rotated.get(configMaps, namespace, 'rotated');
    expect(given).toEqual([]);
    await rotated.close();
  });

  test('a connection that is cut before the answer', async () => {
    proxy.fault = () => ({ kind: 'cut' });
    const error = await failure(client.get(configMaps, namespace, 'any'));
    expect(error).toMatchObject({ kind: 'transient', status: undefined });
    expect(error.message).toMatch(/^get \/api\/v1\/namespaces\/.* got no answer: /);
    expect(observed.at(-1)).toBe('get error');
  });

  test('an answer that does not come, and one that stops in the middle', async () => {
    const connection = proxy.connection(kubeConnection(plane.kubeconfigPath));
    const hasty = new KubeClient({ connection, clock: systemClock, timeoutMs: 500 });
    proxy.fault = () => ({ kind: 'hold', until: new Promise(() => undefined) });
    expect((await failure(hasty.get(configMaps, namespace, 'any'))).message).toContain(
      'got no answer: Headers Timeout',
    );
    proxy.fault = () => ({ kind: 'silent' });
    const error = await failure(hasty.list(configMaps));
    expect(error.kind).toBe('transient');
    expect(error.message).toMatch(/Body Timeout|Headers Timeout/);
    await hasty.close();
  });

  test('an answer of a proxy on the way: HTML, or no JSON where there should be', async () => {
    proxy.fault = () => ({ kind: 'answer', status: 502, body: '<html>Bad Gateway</html>' });
    expect(await failure(client.get(configMaps, namespace, 'any'))).toMatchObject({
      kind: 'transient',
      status: 502,
      message: 'the API server answered 502',
    });
    proxy.fault = () => ({ kind: 'answer', status: 200, body: '<html>Sign in</html>' });
    expect((await failure(client.get(configMaps, namespace, 'any'))).kind).toBe('malformed');
    proxy.fault = () => ({ kind: 'answer', status: 200, body: '{}' });
    expect((await failure(client.list(configMaps))).message).toBe(
      'the list of configmaps has no items or no resourceVersion',
    );
  });

  test('429 with the time to wait', async () => {
    proxy.fault = () => ({ kind: 'answer', status: 429, body: '{}', headers: { 'retry-after': '7' } });
    expect(await failure(client.get(configMaps, namespace, 'any'))).toMatchObject({
      kind: 'tooManyRequests',
      retryAfterMs: 7000,
    });
  });

  test('a page token that expired', async () => {
    const body = JSON.stringify({
      kind: 'Status',
      reason: 'Expired',
      message: 'The provided continue parameter is too old',
    });
    proxy.fault = () => ({ kind: 'answer', status: 410, body });
    expect(await failure(client.list(configMaps, { continueToken: 'x' }))).toMatchObject({
      kind: 'gone',
      reason: 'Expired',
    });
  });
});
