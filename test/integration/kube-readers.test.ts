import pino from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { apiVersion, kind } from '../../controller/api/trainingjob.ts';
import { systemClock, type Clock } from '../../controller/clock.ts';
import { JobAuthorizer } from '../../controller/kube/authorization.ts';
import { KubeClient } from '../../controller/kube/client.ts';
import { kubeConnection } from '../../controller/kube/config.ts';
import { EventRecorder, type EventRecorderOptions } from '../../controller/kube/events.ts';
import { ensureInstallation } from '../../controller/kube/installation.ts';
import { configMaps, secrets } from '../../controller/kube/resources.ts';
import { SecretReader } from '../../controller/kube/secrets.ts';
import { kubectl } from '../controlplane/crds.ts';
import { freshNamespace, sharedControlPlane, type SharedControlPlane } from '../controlplane/shared.ts';
import { FaultProxy } from '../controlplane/faultproxy.ts';

let plane: SharedControlPlane;
let proxy: FaultProxy;
let client: KubeClient;
let namespace: string;
let shiftMs = 0;
const clock: Clock = {
  ...systemClock,
  now: () => Date.now() + shiftMs,
  monotonic: () => performance.now() + shiftMs,
};
beforeAll(async () => {
  plane = await sharedControlPlane();
  namespace = await freshNamespace(plane, 'readers');
  proxy = await FaultProxy.start(plane);
  client = new KubeClient({ connection: proxy.connection(kubeConnection(plane.kubeconfigPath)), clock: systemClock });
});
afterEach(() => {
  proxy.fault = undefined;
});
afterAll(async () => {
  await client.close();
  await proxy.stop();
});

const requestsFor = (name: string): number => proxy.requests.filter(({ path }) => path.endsWith(`/${name}`)).length;

describe('Secrets', () => {
  const create = (name: string, data: Record<string, string>) =>
    client.create(secrets, namespace, { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, data });
  const base64 = (text: string): string => Buffer.from(text).toString('base64');

  test('a value as it is: empty, with line breaks, in any script', async () => {
    await create('values', { empty: '', text: base64('zwei\nZeilen: ü 漢\n') });
    const reader = new SecretReader(client, clock);
    expect(await reader.readSecretKey(namespace, 'values', 'text')).toEqual({
      kind: 'value',
      value: 'zwei\nZeilen: ü 漢\n',
    });
    expect(await reader.readSecretKey(namespace, 'values', 'empty')).toEqual({ kind: 'value', value: '' });
    expect(requestsFor('values')).toBe(1);
  });

  test('a Secret that is not there, and a key that is not in it, say what to do', async () => {
    await create('keys', { b: base64('1'), a: base64('2') });
    await create('no-keys', {});
    const reader = new SecretReader(client, clock);
    const message = async (name: string, key: string): Promise<string> => {
      const found = await reader.readSecretKey(namespace, name, key);
      return found.kind === 'missing' ? found.message : found.kind;
    };
    expect(await message('absent', 'token')).toBe(
      `Secret absent is not in namespace ${namespace}; create it with the key token.`,
    );
    expect(await message('keys', 'c')).toBe(
      `Secret keys in namespace ${namespace} lacks the key c (it has the keys a, b); add it, or name one that is there.`,
    );
    expect(await message('keys', 'constructor')).toContain('lacks the key constructor');
    expect(await message('no-keys', 'a')).toContain('it has no keys');
  });

  test('a missing one is looked for once while it is kept, and found when it was made', async () => {
    const reader = new SecretReader(client, clock);
    for (let look = 0; look < 3; look += 1) {
      expect((await reader.readSecretKey(namespace, 'late', 'k')).kind).toBe('missing');
    }
    expect(requestsFor('late')).toBe(1);
    await create('late', { k: base64('here') });
    shiftMs += 10_001;
    expect(await reader.readSecretKey(namespace, 'late', 'k')).toEqual({ kind: 'value', value: 'here' });
  });

  test('one that may not be read, and an API server that fails, are no answer and not kept', async () => {
    await create('guarded', { k: base64('v') });
    const reader = new SecretReader(client, clock);
    const status = JSON.stringify({ kind: 'Status', reason: 'Forbidden', message: 'secrets "guarded" is forbidden' });
    proxy.fault = () => ({ kind: 'answer', status: 403, body: status });
    await expect(reader.readSecretKey(namespace, 'guarded', 'k')).rejects.toMatchObject({ kind: 'forbidden' });
    proxy.fault = () => ({ kind: 'cut' });
    await expect(reader.readSecretKey(namespace, 'guarded', 'k')).rejects.toMatchObject({ kind: 'transient' });
    proxy.fault = undefined;
    expect(await reader.readSecretKey(namespace, 'guarded', 'k')).toEqual({ kind: 'value', value: 'v' });
  });
});

interface ReadEvent {
  readonly reason: string;
  readonly type: string;
  readonly note?: string;
  readonly message: string;
  readonly metadata: { readonly name: string };
  readonly series?: { readonly count: number };
}

describe('Events', () => {
  const recorder = (more: Partial<EventRecorderOptions> = {}) =>
    new EventRecorder({
      client,
      clock,
      log: pino({ enabled: false }),
      component: 'test',
      instance: 'test-1',
      subjectKind: { apiVersion, kind },
      ...more,
    });
  const subject = (name: string, space = namespace) => ({
    metadata: { name, namespace: space, uid: `${name}-uid`.padEnd(36, '0') },
  });
  const eventsOf = async (name: string): Promise<readonly ReadEvent[]> => {
    const selector = `--field-selector=involvedObject.name=${name}`;
    return JSON.parse(await kubectl(plane, ['get', 'events', '-n', namespace, selector, '-o', 'json'])).items;
  };
  const note = (message: string, reason = 'Testing') => ({ type: 'Normal', reason, message }) as const;

  test('reach the API server with type, reason and message, and describe shows them', async () => {
    const events = recorder();
    events.emit(subject('one'), { type: 'Warning', reason: 'NoCapacity', message: 'nothing in stock' });
    await events.close(10_000);
    expect(await eventsOf('one')).toMatchObject([
      { type: 'Warning', reason: 'NoCapacity', message: 'nothing in stock' },
    ]);
    expect(events.dropped).toBe(0);
  });

  test('the same words a thousand times are one Event with a count and eleven writes', async () => {
    const events = recorder();
    const before = proxy.requests.length;
    for (let count = 0; count < 1000; count += 1) events.emit(subject('often'), note('again'));
    await events.close(10_000);
    const found = await eventsOf('often');
    expect(found).toHaveLength(1);
    expect(found[0]?.series?.count).toBe(512);
    expect(proxy.requests.length - before).toBe(10);
  });

  test('other words, another reason or another object are other Events, and so are the same words later', async () => {
    const events = recorder();
    events.emit(subject('many'), note('a'));
    events.emit(subject('many'), note('b'));
    events.emit(subject('many'), note('a', 'Other'));
    shiftMs += 600_001;
    events.emit(subject('many'), note('a'));
    await events.close(10_000);
    expect(await eventsOf('many')).toHaveLength(4);
    expect(events.dropped).toBe(0);
  });

  test('a message of any length and script is cut to what fits, and a long name gives a valid one', async () => {
    const events = recorder();
    const name = `${'a'.repeat(199)}.${'b'.repeat(20)}`;
    events.emit(subject(name), note('漢'.repeat(2000), 'R'.repeat(200)));
    await events.close(10_000);
    expect(events.dropped).toBe(0);
    const [event] = await eventsOf(name);
    expect(Buffer.byteLength(event?.message ?? '')).toBeLessThanOrEqual(1024);
    expect(event?.message).toMatch(/^漢{300,}…$/);
  });

  test('a namespace that is ending, or not there, costs the Event and nothing else', async () => {
    const ending = await freshNamespace(plane, 'ending');
    const finalizers = [
      'patch',
      'namespace',
      ending,
      '--type=merge',
      '-p',
      '{"metadata":{"finalizers":["example.com/hold"]}}',
    ];
    await kubectl(plane, finalizers);
    await kubectl(plane, ['delete', 'namespace', ending, '--wait=false']);
    const events = recorder();
    events.emit(subject('x', ending), note('a'));
    events.emit(subject('x', 'no-such-namespace'), note('a'));
    events.emit(subject('after'), note('a'));
    await events.close(10_000);
    expect(events.dropped).toBe(2);
    expect(await eventsOf('after')).toHaveLength(1);
    await kubectl(plane, ['patch', 'namespace', ending, '--type=merge', '-p', '{"metadata":{"finalizers":null}}']);
  });

  test('a connection that is cut once is bridged; a queue that is full drops and counts', async () => {
    let cuts = 0;
    proxy.fault = () => ((cuts += 1) === 1 ? { kind: 'cut' } : undefined);
    const events = recorder({ mostQueued: 3 });
    for (let index = 0; index < 10; index += 1) events.emit(subject('flood'), note(`message ${index}`));
    await events.close(10_000);
    // One is on the way and three wait.
    expect(events.dropped).toBe(6);
    expect(await eventsOf('flood')).toHaveLength(4);
  });

  test('an Event emitted in the very moment the queue ran empty is sent', async () => {
    const events = recorder();
    events.emit(subject('first'), note('a'));
    await expect.poll(() => eventsOf('first'), { timeout: 10_000 }).toHaveLength(1);
    events.emit(subject('second'), note('a'));
    await expect.poll(() => eventsOf('second'), { timeout: 10_000 }).toHaveLength(1);
    await events.close();
    events.emit(subject('third'), note('a'));
    expect(await eventsOf('third')).toHaveLength(0);
  });
});

describe('the installation', () => {
  test('is made once: two that start at the same time get the same id and keys', async () => {
    const space = await freshNamespace(plane, 'installation');
    const starts = await Promise.all(Array.from({ length: 4 }, () => ensureInstallation(client, space)));
    for (const start of starts) expect(start).toEqual(starts[0]);
    expect(starts[0]?.installation).toMatch(/^[a-z0-9]{6}$/);
    expect(starts[0]?.keyring.keys[starts[0].keyring.current]).toHaveLength(32);
    expect(await ensureInstallation(client, space)).toEqual(starts[0]);
    const other = await ensureInstallation(client, await freshNamespace(plane, 'installation'));
    expect(other.installation).not.toBe(starts[0]?.installation);
    expect(other.keyring.keys['k1']).not.toEqual(starts[0]?.keyring.keys['k1']);
  });

  test('a key that was added is the current one when it is named so, and the former one still verifies', async () => {
    const space = await freshNamespace(plane, 'installation');
    const { keyring } = await ensureInstallation(client, space);
    const data = { current: Buffer.from('k2\n').toString('base64'), k2: Buffer.alloc(32, 7).toString('base64') };
    await client.mergePatch(secrets, space, 'trainingjob-operator-tokens', { data });
    const rotated = (await ensureInstallation(client, space)).keyring;
    expect(rotated.current).toBe('k2');
    expect(rotated.keys).toEqual({ k1: keyring.keys['k1'], k2: Buffer.alloc(32, 7) });
  });

  test.each([
    [
      'an id of another form',
      configMaps,
      'trainingjob-operator',
      { installation: 'Not Six' },
      'has no usable data.installation; write the six',
    ],
    [
      'a key that is too short',
      secrets,
      'trainingjob-operator-tokens',
      { k1: 'YWJj' },
      'has only 3 bytes under k1; write 16 random bytes or more',
    ],
    [
      'a key with another name',
      secrets,
      'trainingjob-operator-tokens',
      { K_2: 'YWJj' },
      'has a key named K_2; name keys with',
    ],
    [
      'a current key that is not there',
      secrets,
      'trainingjob-operator-tokens',
      { current: 'azk=' },
      'has current "k9", which names none of its keys (k1)',
    ],
  ])('%s is never replaced; the start ends with what to write', async (_, type, name, data, sentence) => {
    const space = await freshNamespace(plane, 'installation');
    await ensureInstallation(client, space);
    await client.mergePatch(type, space, name, { data });
    const before = await client.get(type, space, name);
    await expect(ensureInstallation(client, space)).rejects.toThrow(sentence);
    expect(await client.get(type, space, name)).toEqual(before);
  });

  test('a namespace that is not there says so', async () => {
    await expect(ensureInstallation(client, 'no-such-namespace')).rejects.toThrow(
      'namespaces "no-such-namespace" not found',
    );
  });
});

describe('the authorizer', () => {
  const job = { namespace: 'default', name: 'x' };

  test('keeps an answer for its time, under a bounded number', async () => {
    const authorizer = new JobAuthorizer(client, clock, { keepMs: 30_000, mostKept: 3 });
    const asked = async (token: string): Promise<boolean> => {
      const before = proxy.requests.length;
      expect(await authorizer.authorize(token, job)).toBe('unauthenticated');
      return proxy.requests.length > before;
    };
    expect(await asked('t1')).toBe(true);
    expect(await asked('t1')).toBe(false);
    shiftMs += 30_001;
    expect(await asked('t1')).toBe(true);
    for (const token of ['t2', 't3', 't4']) expect(await asked(token)).toBe(true);
    // The oldest made room.
    expect(await asked('t1')).toBe(true);
    expect(await asked('t4')).toBe(false);
  });

  test.each([
    ['', 'empty'],
    ['a b', 'with a space'],
    ['a\nb', 'with a line break'],
    ['x'.repeat(16_385), 'far too long'],
  ])('what no token can be is not asked about: %#', async (token) => {
    const before = proxy.requests.length;
    expect(await new JobAuthorizer(client, clock).authorize(token, job)).toBe('unauthenticated');
    expect(proxy.requests.length).toBe(before);
  });

  test('a failure is thrown and not kept', async () => {
    const authorizer = new JobAuthorizer(client, clock);
    proxy.fault = () => ({ kind: 'cut' });
    await expect(authorizer.authorize(plane.adminToken, job)).rejects.toMatchObject({ kind: 'transient' });
    proxy.fault = undefined;
    expect(await authorizer.authorize(plane.adminToken, job)).toBe('allowed');
  });
});
