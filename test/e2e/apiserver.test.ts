import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { generator } from '../chaos/matrix.ts';
import { FaultProxy, type Fault, type SeenRequest } from '../controlplane/faultproxy.ts';
import { kubectl } from '../controlplane/crds.ts';
import { startRig, stubSpec, type Rig } from '../rig/rig.ts';

/** A whole operator, and a real API server that it reaches only through a proxy that lies, loses and hangs. */

let rig: Rig;
let proxy: FaultProxy;
let folder: string;
let environment: Record<string, string>;
let supervisor: Promise<void>;
let supervised = true;
/** Operators that ended by themselves. */
let ends = 0;
beforeAll(async () => {
  rig = await startRig();
  proxy = await FaultProxy.start(rig.plane);
  folder = await mkdtemp(join(tmpdir(), 'trainingjob-apiserver-'));
  const config = JSON.parse(readFileSync(rig.plane.kubeconfigPath, 'utf8')) as { clusters: { cluster: object }[] };
  for (const entry of config.clusters) entry.cluster = { server: proxy.url, 'insecure-skip-tls-verify': true };
  environment = { KUBECONFIG: join(folder, 'kubeconfig') };
  writeFileSync(environment['KUBECONFIG']!, JSON.stringify(config));
  await rig.start(environment);
  supervisor = supervise();
});
afterEach(() => {
  proxy.fault = undefined;
});
afterAll(async () => {
  supervised = false;
  await rig.stop();
  await supervisor;
  await proxy.stop();
  await rm(folder, { recursive: true, force: true });
});

/** Starts the operator again whenever it ended, as Kubernetes does. */
async function supervise(): Promise<void> {
  for (;;) {
    await rig.exited();
    if (!supervised) return;
    ends += 1;
    await rig.start(environment).catch(() => new Promise((resolve) => setTimeout(resolve, 300)));
  }
}

const status = (code: number, reason: string): string =>
  JSON.stringify({
    kind: 'Status',
    apiVersion: 'v1',
    status: 'Failure',
    message: `the test says ${reason}`,
    reason,
    code,
  });
const refused = (code: number, reason: string, headers: Record<string, string> = {}): Fault => ({
  kind: 'answer',
  status: code,
  body: status(code, reason),
  headers,
});

const isWrite = ({ method }: SeenRequest): boolean => method !== 'GET';
const isWatch = ({ query }: SeenRequest): boolean => query.get('watch') === 'true';
/** Of jobs; accounts are watched besides. */
const isJobWatch = (request: SeenRequest): boolean => isWatch(request) && request.path.endsWith('/trainingjobs');
const isList = (request: SeenRequest): boolean =>
  request.method === 'GET' && request.path.endsWith('/trainingjobs') && !isWatch(request);

/** Every pod that the job of this name ever had. */
const pods = (name: string): readonly { endedAt: string | null }[] =>
  rig.simulator.bill().filter((line) => line.name.endsWith(`-${name}`));

/** Jobs that train under a fault from their first write on: each succeeds, with one pod, and all that its trainer said. */
async function trains(prefix: string, count = 1, ms = 30_000): Promise<void> {
  const namespace = await rig.namespace();
  const names = Array.from({ length: count }, (_, index) => `${prefix}${index}`);
  for (const name of names) await rig.create(namespace, name, stubSpec('succeed'));
  for (const name of names) {
    const job = await rig.until(namespace, name, ({ status: { phase } = {} }) => phase === 'Succeeded', ms);
    // An intent whose answer was lost takes a number, and no pod.
    expect(job.status).toMatchObject({ progress: { step: 30, sequence: 3 }, best: { step: 30 } });
    expect(pods(name)).toHaveLength(1);
  }
}

/** The next watch of jobs that the operator asks for. */
async function nextWatch(act: () => void): Promise<void> {
  const jobWatches = (): number => proxy.watches().filter(isJobWatch).length;
  const before = jobWatches();
  act();
  while (jobWatches() === before) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe('writes and reads that fail', () => {
  test('409 on every kind of write, three times each', async () => {
    const times = new Map<string, number>();
    proxy.fault = (request) => {
      if (!isWrite(request)) return undefined;
      const key = `${request.method} ${request.path}`;
      times.set(key, (times.get(key) ?? 0) + 1);
      return (times.get(key) ?? 0) % 4 === 0 ? undefined : refused(409, 'Conflict');
    };
    await trains('conflict');
    // The status, the finalizer, the Event and the lease were all among them.
    expect([...times.keys()].filter((key) => /status|trainingjobs\/|events|leases/.test(key)).length).toBeGreaterThan(
      3,
    );
  });

  test('a third of all calls fail, each in another way', async () => {
    const ways: readonly Fault[] = [
      { kind: 'cut' },
      { kind: 'lose' },
      { kind: 'half' },
      refused(500, 'InternalError'),
      { kind: 'answer', status: 200, body: '<html>hello</html>', headers: { 'content-type': 'text/html' } },
      { kind: 'answer', status: 200, body: '' },
      { kind: 'answer', status: 200, body: '{"kind": "Trai' },
      refused(503, 'ServiceUnavailable'),
      refused(429, 'TooManyRequests', { 'retry-after': '1' }),
      refused(504, 'Timeout'),
      { kind: 'answer', status: 502, body: 'Bad Gateway', headers: { 'content-type': 'text/plain' } },
    ];
    const random = generator(20_260_301);
    let failed = 0;
    proxy.fault = (request) => {
      if (isWatch(request) || random() > 1 / 3) return undefined;
      failed += 1;
      return ways[failed % ways.length];
    };
    await trains('wild', 3, 40_000);
    expect(failed).toBeGreaterThan(ways.length);
  }, 60_000);

  test('answers that take half a second each', async () => {
    proxy.fault = (request) =>
      isWatch(request) ? undefined : { kind: 'hold', until: new Promise((resolve) => setTimeout(resolve, 500)) };
    await trains('slow');
  });
});

describe('watches and lists that fail', () => {
  test('410 at the start, ERROR events, lines that are none, streams that are cut, one after the other', async () => {
    const error = (code: number, reason: string): string =>
      JSON.stringify({ type: 'ERROR', object: JSON.parse(status(code, reason)) });
    const ways: readonly Fault[] = [
      refused(410, 'Expired'),
      { kind: 'inject', lines: [error(410, 'Expired')] },
      { kind: 'inject', lines: [error(500, 'InternalError')] },
      { kind: 'inject', lines: ['{"type": "MODIF'] },
      { kind: 'cut' },
    ];
    const met = new Set<number>();
    let watches = 0;
    proxy.fault = (request) => {
      if (!isJobWatch(request)) return undefined;
      watches += 1;
      met.add(watches % ways.length);
      return ways[watches % ways.length];
    };
    await nextWatch(() => proxy.cutStreams());
    await trains('watched', 2);
    while (met.size < ways.length) await nextWatch(() => proxy.cutStreams());
    await trains('after');
  });

  test('a watch that is open and silent: what runs comes to its end; what came meanwhile is found when it breaks', async () => {
    const namespace = await rig.namespace();
    await rig.create(namespace, 'deaf', stubSpec('heartbeat', { runPolicy: { activeDeadlineSeconds: 3 } }));
    await rig.until(namespace, 'deaf', ({ status: { phase } = {} }) => phase === 'Running');
    proxy.fault = (request) => (isJobWatch(request) ? { kind: 'silent' } : undefined);
    await nextWatch(() => proxy.cutStreams());
    await rig.create(namespace, 'unheard', stubSpec('succeed'));
    const job = await rig.until(namespace, 'deaf', ({ status: { phase } = {} }) => phase === 'Failed');
    expect(job.status?.failure?.reason).toBe('DeadlineExceeded');
    expect(pods('deaf').map(({ endedAt }) => endedAt === null)).toEqual([false]);
    expect(pods('unheard')).toEqual([]);
    proxy.fault = undefined;
    proxy.cutStreams();
    await rig.until(namespace, 'unheard', ({ status: { phase } = {} }) => phase === 'Succeeded');
  });

  test('lists that are minutes old: a running job is neither rented a second pod nor forgotten', async () => {
    const namespace = await rig.namespace();
    const list = (): Promise<string> =>
      kubectl(rig.plane, ['get', '--raw', '/apis/training.finetunelab.ai/v1alpha1/trainingjobs?limit=500']);
    const before = await list();
    await rig.create(namespace, 'aged', stubSpec('checkpoint'));
    const running = await rig.until(namespace, 'aged', ({ status: { progress } = {} }) => progress?.step === 10);
    // From before the job existed; and a later one, in which it has begun.
    const lists = [before, await list()];
    let watches = 0;
    proxy.fault = (request) => {
      if (isList(request) && lists.length > 0) return { kind: 'answer', status: 200, body: lists.shift() ?? '' };
      if (!isJobWatch(request)) return undefined;
      watches += 1;
      return watches <= 2 ? refused(410, 'Expired') : undefined;
    };
    proxy.cutStreams();
    while (lists.length > 0) await new Promise((resolve) => setTimeout(resolve, 10));
    await rig.patch(namespace, 'aged', { spec: { suspend: true } });
    const suspended = await rig.until(namespace, 'aged', ({ status: { phase } = {} }) => phase === 'Suspended');
    expect(suspended.status?.checkpoint).toMatchObject({ step: 10, verified: true });
    expect(suspended.status?.best).toMatchObject({ step: running.status?.best?.step });
    expect(pods('aged')).toHaveLength(1);
  });

  test('a page token that expires in the middle of a list', async () => {
    const pages: string[] = [];
    let watches = 0;
    proxy.fault = (request) => {
      if (isJobWatch(request)) return (watches += 1) === 1 ? refused(410, 'Expired') : undefined;
      if (!isList(request)) return undefined;
      const token = request.query.get('continue');
      pages.push(token === null ? 'first' : 'next');
      if (token !== null && pages.filter((page) => page === 'next').length === 2) return refused(410, 'Expired');
      return { kind: 'rewrite', query: { limit: '2' } };
    };
    const namespace = await rig.namespace();
    for (const name of ['p1', 'p2', 'p3', 'p4', 'p5']) await rig.create(namespace, name, stubSpec('heartbeat'));
    await nextWatch(() => proxy.cutStreams());
    await rig.create(namespace, 'p6', stubSpec('succeed'));
    await rig.until(namespace, 'p6', ({ status: { phase } = {} }) => phase === 'Succeeded');
    expect(pages.filter((page) => page === 'first').length).toBeGreaterThan(1);
    for (const name of ['p1', 'p2', 'p3', 'p4', 'p5']) {
      await rig.until(namespace, name, ({ status: { phase } = {} }) => phase === 'Running');
      expect(pods(name)).toHaveLength(1);
      await kubectl(rig.plane, ['delete', 'tj', '-n', namespace, name, '--wait=false']);
    }
    for (const name of ['p1', 'p2', 'p3', 'p4', 'p5']) await rig.untilGone(namespace, name);
  });
});

describe('no API server at all', () => {
  const lastReport = async (name: string): Promise<number> => {
    const text = await (await fetch(rig.metricsUrl)).text();
    return Number(new RegExp(`last_report_timestamp_seconds\\{[^}]*name="${name}"[^}]*\\} (\\S+)`).exec(text)?.[1]);
  };

  test('for less than the lease lasts: the same process goes on, and takes reports all the while', async () => {
    const namespace = await rig.namespace();
    await rig.create(namespace, 'short', stubSpec('heartbeat'));
    await rig.until(namespace, 'short', ({ status: { phase } = {} }) => phase === 'Running');
    const endsBefore = ends;
    proxy.setAway(true);
    const awayFrom = Date.now() / 1000;
    while ((await lastReport('short')) < awayFrom + 0.8) await new Promise((resolve) => setTimeout(resolve, 50));
    proxy.setAway(false);
    await trains('short-after');
    expect(ends).toBe(endsBefore);
    expect(rig.get(namespace, 'short')?.status).toMatchObject({ phase: 'Running', attempt: { number: 1 } });
    await kubectl(rig.plane, ['delete', 'tj', '-n', namespace, 'short']);
  });

  test('for much longer than leases, heartbeats and starts may take: pods go on, and every job comes to its end once', async () => {
    const namespace = await rig.namespace();
    const watchdog = { heartbeatTimeoutSeconds: 5 };
    await rig.create(namespace, 'steady', stubSpec('heartbeat', { watchdog }));
    await rig.create(namespace, 'leaving', stubSpec('heartbeat'));
    await rig.create(namespace, 'pausing', stubSpec('checkpoint', { watchdog }));
    for (const name of ['steady', 'leaving', 'pausing'])
      await rig.until(namespace, name, ({ status: { phase } = {} }) => phase === 'Running');
    await rig.until(namespace, 'pausing', ({ status: { progress } = {} }) => progress?.step === 10);
    // One is deleted and one created in the moment in which the API server goes: their calls to Runpod still get through.
    rig.simulator.fault({ kind: 'slowCreateReply', ms: 1000, match: 'coming' });
    const created = rig.simulator.nextCall(({ method }) => method === 'POST');
    await rig.create(namespace, 'coming', stubSpec('succeed', { runPolicy: { startDeadlineSeconds: 8 } }));
    await created;
    await kubectl(rig.plane, ['delete', 'tj', '-n', namespace, 'leaving', '--wait=false']);
    proxy.setAway(true);
    const awayFromMs = performance.now();

    // It can lead no more, says so, and ends; whoever is started in its place gets no further.
    const endsBefore = ends;
    await rig.exited();
    expect(performance.now() - awayFromMs).toBeLessThan(6000);
    expect(rig.log()).toContain('the lease could not be renewed in time');
    expect(await fetch(`${rig.telemetryUrl}/healthz`).catch(() => 'refused')).toBe('refused');
    while (performance.now() - awayFromMs < 10_000) await new Promise((resolve) => setTimeout(resolve, 100));
    expect(
      pods('steady')
        .concat(pods('pausing'), pods('coming'))
        .filter(({ endedAt }) => endedAt !== null),
    ).toEqual([]);

    expect(ends).toBeGreaterThan(endsBefore + 1);

    proxy.setAway(false);
    const done = await rig.until(namespace, 'coming', ({ status: { phase } = {} }) => phase === 'Succeeded');
    expect(done.status).toMatchObject({ attempt: { number: 1 }, progress: { step: 30, sequence: 3 } });
    await rig.untilGone(namespace, 'leaving');
    await rig.patch(namespace, 'pausing', { spec: { suspend: true } });
    const paused = await rig.until(namespace, 'pausing', ({ status: { phase } = {} }) => phase === 'Suspended');
    expect(paused.status).toMatchObject({ checkpoint: { step: 10, verified: true }, progress: { sequence: 3 } });
    // Silence of an outage of ours ends nobody.
    expect(rig.get(namespace, 'steady')?.status).toMatchObject({ phase: 'Running', attempt: { number: 1 } });
    await kubectl(rig.plane, ['delete', 'tj', '-n', namespace, 'steady']);
    for (const name of ['steady', 'leaving', 'pausing', 'coming'])
      expect(pods(name).map(({ endedAt }) => endedAt === null)).toEqual([false]);
  });
});
