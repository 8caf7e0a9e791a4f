import { writeFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../controller/clock.ts';
import { KubeClient, type KubeObject, type ResourceType } from '../../controller/kube/client.ts';
import { kubeConnection } from '../../controller/kube/config.ts';
import { Reflector, type ReflectorOptions } from '../../controller/kube/reflector.ts';
import { kubectl } from '../controlplane/crds.ts';
import { freshNamespace, sharedControlPlane, type SharedControlPlane } from '../controlplane/shared.ts';
import { FaultProxy, type Fault } from '../controlplane/faultproxy.ts';

// Lists and watches are of all namespaces: a kind of its own keeps this file apart from every other test.
const group = `reflector-${process.pid}.example.com`;
const widgets: ResourceType = { group, version: 'v1', plural: 'widgets' };

interface Widget extends KubeObject {
  readonly spec?: { readonly value?: number };
}

let plane: SharedControlPlane;
let namespace: string;
let direct: KubeClient;
beforeAll(async () => {
  plane = await sharedControlPlane();
  namespace = await freshNamespace(plane, 'reflector');
  const file = join(tmpdir(), `trainingjob-widgets-${process.pid}.json`);
  const schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  await writeFile(
    file,
    JSON.stringify({
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: `widgets.${group}` },
      spec: {
        group,
        scope: 'Namespaced',
        names: { plural: 'widgets', singular: 'widget', kind: 'Widget' },
        versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } }],
      },
    }),
  );
  await kubectl(plane, ['apply', '-f', file]);
  await rm(file);
  direct = new KubeClient({ connection: kubeConnection(plane.kubeconfigPath), clock: systemClock });
  await vi.waitFor(() => direct.list(widgets, { namespace }), { timeout: 20_000 });
});
afterAll(async () => {
  await kubectl(plane, ['delete', 'crd', `widgets.${group}`, '--wait=false']);
  await direct.close();
});

let proxy: FaultProxy;
let client: KubeClient;
let reflector: Reflector<Widget> | undefined;
let told: string[];
let misses: number;
beforeEach(async () => {
  proxy = await FaultProxy.start(plane);
  client = new KubeClient({ connection: proxy.connection(kubeConnection(plane.kubeconfigPath)), clock: systemClock });
  told = [];
  misses = 0;
});
afterEach(async () => {
  proxy.fault = undefined;
  await reflector?.stop();
  reflector = undefined;
  await client.close();
  await proxy.stop();
  for (const { metadata } of (await direct.list<Widget>(widgets)).items) {
    await direct.delete(widgets, metadata.namespace, metadata.name);
  }
});

function start(options: Partial<ReflectorOptions> = {}): Reflector<Widget> {
  reflector = new Reflector<Widget>({
    client,
    type: widgets,
    clock: systemClock,
    log: pino({ enabled: false }),
    onKey: (key, priority) => told.push(`${priority} ${key.split('/')[1]}`),
    onMiss: () => (misses += 1),
    backoffMinMs: 20,
    backoffMaxMs: 100,
    ...options,
  });
  reflector.start();
  return reflector;
}

const create = (name: string, value = 1): Promise<Widget> =>
  direct.create<Widget>(widgets, namespace, {
    apiVersion: `${group}/v1`,
    kind: 'Widget',
    metadata: { name, namespace },
    spec: { value },
  });
const change = (name: string, value: number): Promise<Widget> =>
  direct.mergePatch<Widget>(widgets, namespace, name, { spec: { value } });
const remove = (name: string): Promise<void> => direct.delete(widgets, namespace, name);
const value = (name: string): number | undefined => reflector?.store.get(`${namespace}/${name}`)?.spec?.value;
const names = (): string[] => (reflector?.store.list() ?? []).map(({ metadata }) => metadata.name).sort();
const eventually = <T>(look: () => T) => expect.poll(look, { timeout: 15_000, interval: 10 });
/** A watch is open; what is written from now on comes as an event. */
const watching = () => eventually(() => proxy.openStreams).toBe(1);
const isWatch = (fault: Fault, times = 1) => {
  let left = times;
  return (seen: { query: URLSearchParams }) =>
    seen.query.get('watch') === 'true' && (left -= 1) >= 0 ? fault : undefined;
};
const status = (code: number, reason: string) =>
  JSON.stringify({ kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message: `made up: ${reason}` });

describe('list', () => {
  test('in pages of two: five objects, each told once, without what nobody reads', async () => {
    for (let index = 0; index < 5; index += 1) await create(`w${index}`);
    await kubectl(plane, [
      'annotate',
      '-n',
      namespace,
      `widgets.${group}`,
      'w0',
      'kubectl.kubernetes.io/last-applied-configuration=x',
      'a=b',
    ]);
    await start({ pageSize: 2 }).synced;
    expect(names()).toEqual(['w0', 'w1', 'w2', 'w3', 'w4']);
    expect(told.sort()).toEqual(['list w0', 'list w1', 'list w2', 'list w3', 'list w4']);
    expect(proxy.lists('widgets').map(({ query }) => [query.get('limit'), query.has('continue')])).toEqual([
      ['2', false],
      ['2', true],
      ['2', true],
    ]);
    const kept = reflector?.store.get(`${namespace}/w0`)?.metadata as Record<string, unknown>;
    expect(kept['annotations']).toEqual({ a: 'b' });
    expect(kept).not.toHaveProperty('managedFields');
    expect(Object.isFrozen(kept)).toBe(true);
    expect(misses).toBe(0);
  });

  test('that fails is asked for again, later each time, and nothing is told before it is complete', async () => {
    await create('w0');
    let failures = 0;
    proxy.fault = () =>
      failures < 3 ? ((failures += 1), { kind: 'answer', status: 500, body: status(500, 'InternalError') }) : undefined;
    const began = start();
    expect(began.lastSyncAgeMs()).toBeUndefined();
    await began.synced;
    expect(failures).toBe(3);
    expect(names()).toEqual(['w0']);
    expect(began.lastSyncAgeMs()).toBeLessThan(10_000);
  });

  test('whose page token expired begins anew, and nothing of its first half is lost or told twice', async () => {
    for (let index = 0; index < 5; index += 1) await create(`w${index}`);
    let expired = false;
    proxy.fault = ({ query }) => {
      if (expired || !query.has('continue')) return undefined;
      expired = true;
      return { kind: 'answer', status: 410, body: status(410, 'Expired') };
    };
    await start({ pageSize: 2 }).synced;
    expect(proxy.lists('widgets').map(({ query }) => query.has('continue'))).toEqual([false, true, false, true, true]);
    expect(told.sort()).toEqual(['list w0', 'list w1', 'list w2', 'list w3', 'list w4']);
  });

  test('that hangs does not hold up the end', async () => {
    proxy.fault = () => ({ kind: 'hold', until: new Promise(() => undefined) });
    const began = start();
    await eventually(() => proxy.requests.length).toBe(1);
    await began.stop();
  });
});

describe('watch', () => {
  test('tells what is made, changed and deleted, and asks for bookmarks after the version of the list', async () => {
    const listed = await create('w0');
    await start().synced;
    await watching();
    await create('w1', 5);
    await eventually(() => value('w1')).toBe(5);
    await change('w1', 6);
    await eventually(() => value('w1')).toBe(6);
    await remove('w0');
    await eventually(names).toEqual(['w1']);
    expect(told).toEqual(['list w0', 'event w1', 'event w1', 'event w0']);
    expect(reflector?.store.byUid(listed.metadata.uid)).toBeUndefined();
    const [watch] = proxy.watches();
    expect(watch?.query.get('allowWatchBookmarks')).toBe('true');
    expect(Number(watch?.query.get('resourceVersion'))).toBeGreaterThanOrEqual(Number(listed.metadata.resourceVersion));
    expect(Number(watch?.query.get('timeoutSeconds'))).toBeGreaterThanOrEqual(300);
    expect(misses).toBe(0);
  });

  test('that is cut goes on from the last version, without another list', async () => {
    await start().synced;
    await watching();
    const { metadata } = await create('w0');
    await eventually(names).toEqual(['w0']);
    proxy.cutStreams();
    await create('w1');
    await eventually(names).toEqual(['w0', 'w1']);
    expect(proxy.lists('widgets')).toHaveLength(1);
    expect(proxy.watches().at(-1)?.query.get('resourceVersion')).toBe(metadata.resourceVersion);
    expect(told).toEqual(['event w0', 'event w1']);
  });

  test('that is cut again and again, and told something each time, is never waited for longer', async () => {
    await start({ backoffMinMs: 20, backoffMaxMs: 60_000 }).synced;
    for (let cut = 0; cut < 10; cut += 1) {
      await watching();
      await create(`w${cut}`);
      await eventually(() => names().length).toBe(cut + 1);
      proxy.cutStreams();
      await eventually(() => proxy.openStreams).toBe(0);
    }
    const startedMs = performance.now();
    await watching();
    // The tenth wait of those that double would be ten seconds.
    expect(performance.now() - startedMs).toBeLessThan(3000);
  });

  test('without a word for the progress time-out is taken for dead, and goes on without another list', async () => {
    proxy.fault = isWatch({ kind: 'silent' });
    await start({ progressTimeoutMs: 300 }).synced;
    await watching();
    await create('w0');
    await eventually(names).toEqual(['w0']);
    expect(proxy.lists('widgets')).toHaveLength(1);
    expect(proxy.watches().length).toBeGreaterThanOrEqual(2);
  });

  test('refused with 410 leads to another list', async () => {
    proxy.fault = isWatch({ kind: 'answer', status: 410, body: status(410, 'Expired') });
    await start().synced;
    await create('w0');
    await eventually(names).toEqual(['w0']);
    expect(proxy.lists('widgets')).toHaveLength(2);
    expect(misses).toBe(0);
  });

  test.each([
    ['410', status(410, 'Expired')],
    ['500', status(500, 'InternalError')],
  ])('an ERROR event of %s leads to another list, which tells what was missed meanwhile', async (_, object) => {
    await create('gone');
    await start().synced;
    await watching();
    // The next watch hears nothing of this; the one after it gets the error.
    proxy.fault = isWatch({ kind: 'hold', until: new Promise(() => undefined) });
    proxy.cutStreams();
    await eventually(() => proxy.watches().length).toBe(2);
    await remove('gone');
    await create('made');
    proxy.fault = isWatch({ kind: 'inject', lines: [`{"type":"ERROR","object":${object}}`] });
    proxy.cutStreams();
    await eventually(() => proxy.lists('widgets').length).toBe(2);
    await eventually(names).toEqual(['made']);
    expect(told).toEqual(['list gone', 'list made', 'list gone']);
    expect(misses).toBe(0);
  });

  test.each(['this is no JSON', '{"type":"ADDED"}', 'null', '{"type":"ADDED","object":{}}'])(
    'a line that is no event (%s) leads to another list',
    async (line) => {
      proxy.fault = isWatch({ kind: 'inject', lines: [line] });
      await start().synced;
      await create('w0');
      await eventually(names).toEqual(['w0']);
      expect(proxy.lists('widgets')).toHaveLength(2);
    },
  );

  test('an event older than what is known is refused, and so is its repetition', async () => {
    const old = await create('w0', 1);
    const newer = await change('w0', 2);
    const event = (type: string, object: Widget): string => JSON.stringify({ type, object });
    proxy.fault = isWatch({
      kind: 'inject',
      lines: [event('MODIFIED', old), event('MODIFIED', newer), event('ADDED', old)],
    });
    await start().synced;
    await watching();
    await create('w1');
    await eventually(names).toEqual(['w0', 'w1']);
    expect(value('w0')).toBe(2);
    expect(told).toEqual(['list w0', 'event w1']);
  });

  test('closed at once again and again is not asked for in a tight loop', async () => {
    let watches = 0;
    proxy.fault = ({ query }) => {
      if (query.get('watch') !== 'true') return undefined;
      watches += 1;
      return { kind: 'answer', status: 200, body: '' };
    };
    const startedMs = performance.now();
    await start({ backoffMinMs: 100 }).synced;
    await eventually(() => watches).toBe(5);
    expect(performance.now() - startedMs).toBeGreaterThan(380);
    proxy.fault = undefined;
    await create('w0');
    await eventually(names).toEqual(['w0']);
    expect(proxy.lists('widgets')).toHaveLength(1);
  });

  test('a handler that throws ends nothing', async () => {
    const keys: string[] = [];
    await start({
      onKey: (key) => {
        keys.push(key);
        throw new Error('made up');
      },
    }).synced;
    await watching();
    await create('w0');
    await create('w1');
    await eventually(() => keys.length).toBe(2);
    expect(names()).toEqual(['w0', 'w1']);
  });
});

test('deleted and made again under its name while nobody watched: the old one is gone, the new one is there', async () => {
  const old = await create('w0', 1);
  await start().synced;
  await watching();
  let release: () => void = () => undefined;
  const back = new Promise<void>((resolve) => {
    release = resolve;
  });
  // Away: no watch and no list comes through until the object was replaced and the old version is no more.
  proxy.fault = () => ({ kind: 'hold', until: back });
  proxy.cutStreams();
  await remove('w0');
  const replaced = await create('w0', 2);
  proxy.fault = isWatch({ kind: 'answer', status: 410, body: status(410, 'Expired') });
  proxy.cutStreams();
  release();
  await eventually(() => value('w0')).toBe(2);
  expect(reflector?.store.byUid(old.metadata.uid)).toBeUndefined();
  expect(reflector?.store.byUid(replaced.metadata.uid)?.spec?.value).toBe(2);
  await create('w1');
  await eventually(names).toEqual(['w0', 'w1']);
  expect(new Set(told)).toContain('event w1');
});

describe('audit', () => {
  test('a list from time to time finds what the watch did not tell, and counts it', async () => {
    await start({ auditMs: 1500, watchSeconds: 1, progressTimeoutMs: 60_000 }).synced;
    await watching();
    const silent = await create('w0', 1);
    await eventually(names).toEqual(['w0']);
    // The watch says that it has got to a later version, and says nothing of w1.
    const bookmark = (version: string) =>
      JSON.stringify({ type: 'BOOKMARK', object: { metadata: { resourceVersion: version } } });
    proxy.fault = () => ({ kind: 'hold', until: new Promise(() => undefined) });
    proxy.cutStreams();
    const missed = await create('w1', 1);
    expect(Number(missed.metadata.resourceVersion)).toBeGreaterThan(Number(silent.metadata.resourceVersion));
    const reached = (await direct.list<Widget>(widgets)).resourceVersion;
    proxy.fault = isWatch({ kind: 'answer', status: 200, body: `${bookmark(reached)}\n` }, 1000);
    proxy.cutStreams();
    await eventually(() => proxy.lists('widgets').length >= 2 && names().length === 2).toBe(true);
    expect(told).toContain('list w1');
    expect(misses).toBe(1);
  });

  test('what is only newer than the watch is no miss', async () => {
    await start({ auditMs: 600, watchSeconds: 1 }).synced;
    await watching();
    let writes = 0;
    await create('w0');
    while (proxy.lists('widgets').length < 4) await change('w0', (writes += 1));
    await eventually(() => value('w0')).toBe(writes);
    expect(misses).toBe(0);
  });
});
