import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../controller/clock.ts';
import { JobAuthorizer } from '../../controller/kube/authorization.ts';
import { KubeClient } from '../../controller/kube/client.ts';
import { kubeConnection } from '../../controller/kube/config.ts';
import { kubectl } from '../controlplane/crds.ts';
import { freshNamespace, sharedControlPlane, type SharedControlPlane } from '../controlplane/shared.ts';
import { FaultProxy } from '../controlplane/faultproxy.ts';
import { batch, get, openReporter, point, post, startIngest, type Ingest, type Reporter } from './ingest.ts';

let plane: SharedControlPlane;
let proxy: FaultProxy;
let kube: KubeClient;
let ingest: Ingest;
let job: Reporter;
let monotonicMs = 0;
const tokens: Record<string, string> = {};
beforeAll(async () => {
  plane = await sharedControlPlane();
  proxy = await FaultProxy.start(plane);
  kube = new KubeClient({ connection: proxy.connection(kubeConnection(plane.kubeconfigPath)), clock: systemClock });
  const authorizer = new JobAuthorizer(kube, { ...systemClock, monotonic: () => monotonicMs }, { mostAsking: 2 });
  ingest = await startIngest({ authorize: (token, of) => authorizer.authorize(token, of) });
  const namespace = await freshNamespace(plane, 'read');
  const { uid } = await openReporter(ingest.telemetry);
  ingest.telemetry.forgetJob(uid);
  const scoring = { strategy: 'MultiMetric' } as const;
  const { token } = await ingest.telemetry.openAttempt({
    uid,
    namespace,
    name: 'mine',
    attempt: 1,
    nonce: 'abcd',
    scoring,
  });
  ingest.telemetry.pinPod(uid, 1, 'pod');
  job = { uid, attempt: 1, podID: 'pod', token, session: 'a'.repeat(16) };
  await post(ingest.url, job, batch(job, 1, [point(1)]));

  const verbs = { reader: 'get', lister: 'list', late: 'list' };
  for (const [name, verb] of Object.entries({ ...verbs, stranger: undefined })) {
    await kubectl(plane, ['create', 'serviceaccount', name, '-n', namespace]);
    if (verb !== undefined) {
      await kubectl(plane, [
        'create',
        'role',
        name,
        '-n',
        namespace,
        `--verb=${verb}`,
        '--resource=trainingjobs.training.finetunelab.ai',
      ]);
      await kubectl(plane, [
        'create',
        'rolebinding',
        name,
        '-n',
        namespace,
        `--role=${name}`,
        `--serviceaccount=${namespace}:${name}`,
      ]);
    }
    tokens[name] = (await kubectl(plane, ['create', 'token', name, '-n', namespace])).trim();
  }
  tokens['namespace'] = namespace;
});
afterAll(async () => {
  await ingest.stop();
  await ingest.remove();
  await kube.close();
  await proxy.stop();
});

const notFound = { error: { code: 'NOT_FOUND', message: 'no TrainingJob of this uid that you may get has reported' } };
const read = (authorization: string | undefined, uid = job.uid, what = 'points') =>
  get(`${ingest.url}/v1/jobs/${uid}/${what}`, authorization === undefined ? {} : { authorization });

describe('reading needs a Kubernetes token that may get the job', () => {
  test.each(['points', 'evaluations', 'checkpoints'])('%s: who may get trainingjobs reads', async (what) => {
    const answer = await read(`Bearer ${tokens['reader']}`, job.uid, what);
    expect(answer.status).toBe(200);
    expect(answer.body.items).toHaveLength(what === 'points' ? 1 : 0);
  });

  test.each(['stranger', 'lister'])('%s, who may not get it, reads of no such job', async (who) => {
    expect(await read(`Bearer ${tokens[who]}`)).toMatchObject({ status: 404, body: notFound });
  });

  test('a job that is not known answers the same to all who have a token', async () => {
    const unknown = '11111111-1111-1111-1111-111111111111';
    for (const who of ['reader', 'stranger']) {
      expect(await read(`Bearer ${tokens[who]}`, unknown)).toMatchObject({ status: 404, body: notFound });
    }
    expect(await read(`Bearer ${plane.adminToken}`, unknown)).toMatchObject({ status: 404, body: notFound });
  });

  test.each<[string, () => string | undefined]>([
    ['no token', () => undefined],
    ['an invented token', () => 'Bearer invented'],
    ['a token with a broken signature', () => `Bearer ${tokens['reader']?.slice(0, -6)}AAAAAA`],
    ["an attempt's token", () => `Bearer ${job.token}`],
    ['another scheme', () => `Basic ${tokens['reader']}`],
  ])('%s: 401 with the way to get one', async (_, authorization) => {
    const answer = await read(authorization());
    expect(answer).toMatchObject({ status: 401, body: { error: { code: 'UNAUTHENTICATED' } } });
    expect(answer.body.error.message).toContain('kubectl create token');
    expect(answer.headers.get('www-authenticate')).toBe('Bearer');
    expect((await read(authorization(), '11111111-1111-1111-1111-111111111111')).status).toBe(401);
  });

  test('a Kubernetes token does not open what belongs to the attempt', async () => {
    const other = { ...job, token: plane.adminToken };
    expect((await post(ingest.url, other, batch(job, 2, [point(2)]))).status).toBe(401);
  });

  test('a permission that was given counts as soon as the kept answer is out of date', async () => {
    expect((await read(`Bearer ${tokens['late']}`)).status).toBe(404);
    await kubectl(plane, [
      'patch',
      'role',
      'late',
      '-n',
      tokens['namespace'] ?? '',
      '--type=json',
      '-p',
      '[{"op":"replace","path":"/rules/0/verbs","value":["get"]}]',
    ]);
    const lookedUp = proxy.requests.length;
    expect((await read(`Bearer ${tokens['late']}`)).status).toBe(404);
    expect(proxy.requests.length).toBe(lookedUp);
    monotonicMs += 31_000;
    // The API server's own authorizer learns of the role a moment later.
    await expect
      .poll(
        () => {
          monotonicMs += 31_000;
          return read(`Bearer ${tokens['late']}`).then(({ status }) => status);
        },
        { timeout: 10_000 },
      )
      .toBe(200);
  });
});

test('an API server that cannot be asked: 503, and not a word about the token; asked again it answers', async () => {
  monotonicMs += 31_000;
  proxy.fault = () => ({ kind: 'cut' });
  expect(await read(`Bearer ${tokens['reader']}`)).toMatchObject({ status: 503, body: { error: { code: 'NOT_NOW' } } });
  proxy.fault = undefined;
  expect((await read(`Bearer ${tokens['reader']}`)).status).toBe(200);
});

test('strangers with many tokens do not take the connections to the API server', async () => {
  monotonicMs += 31_000;
  let asked = 0;
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  proxy.fault = () => {
    asked += 1;
    return { kind: 'hold', until: released };
  };
  const statuses: number[] = [];
  const reads = Array.from({ length: 10 }, async (_, index) => {
    statuses.push((await read(`Bearer invented-${index}`)).status);
  });
  try {
    await expect.poll(() => statuses.length, { timeout: 10_000 }).toBe(8);
  } finally {
    release();
  }
  await Promise.all(reads);
  expect(statuses.slice(0, 8).every((status) => status === 503)).toBe(true);
  expect(statuses.slice(8)).toEqual([401, 401]);
  expect(asked).toBe(2);
  proxy.fault = undefined;
});
