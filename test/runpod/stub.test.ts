import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { startSimulator, type Simulator } from './simulator.ts';

interface Post {
  readonly uid: string;
  readonly authorization: string | undefined;
  readonly podID: string | undefined;
  readonly sequence: number | undefined;
  readonly events: readonly { readonly type: string; readonly outcome?: string }[];
}

const folder = mkdtempSync(join(tmpdir(), 'stub-test-'));
let posts: Post[] = [];
let stop = false;
let wake: () => void = () => undefined;
let simulator: Simulator;
let base = '';

/** Takes what stubs post, as the operator does. */
const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request
    .on('data', (chunk: Buffer) => chunks.push(chunk))
    .once('end', () => {
      response.setHeader('content-type', 'application/json');
      if (request.url?.endsWith('/config') === true) {
        response.end(JSON.stringify({ agent: { heartbeatSeconds: 0.05 } }));
        return;
      }
      const body = JSON.parse(Buffer.concat(chunks).toString()) as Omit<Post, 'uid'>;
      const uid = /\/jobs\/([^/]+)\//.exec(request.url ?? '')?.[1] ?? '';
      posts.push({ ...body, uid, authorization: request.headers.authorization });
      response.end(JSON.stringify({ commands: stop ? [{ type: 'stop' }] : [] }));
      wake();
    });
});

beforeAll(async () => {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  simulator = await startSimulator({ folder, limits: [], provisionMs: 0, startMs: 0 });
});
beforeEach(async () => {
  await Promise.all(simulator.live().map(({ id }) => simulator.pods.delete(id)));
  posts = [];
  stop = false;
});
afterAll(async () => {
  await simulator.stop();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(folder, { recursive: true });
});

async function until(fits: () => boolean): Promise<void> {
  while (!fits())
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
}

function rent(behaviour: string, uid: string): string {
  return simulator.pods.create({
    name: uid,
    image: `stub:${behaviour}`,
    args: '',
    disk: 20,
    cloud: 'SECURE',
    env: { TRAININGJOB_URL: base, TRAININGJOB_UID: uid, TRAININGJOB_ATTEMPT: '1', TRAININGJOB_TOKEN: `token-${uid}` },
    ports: [],
    cpu: { id: 'cpu3c', vcpuCount: 2 },
    dataCenterIds: [],
  }).id;
}

const of = (uid: string): readonly Post[] => posts.filter((post) => post.uid === uid);
const beats = (uid: string): number => of(uid).filter(({ events }) => events.length === 0).length;
const types = (uid: string): readonly string[] => of(uid).flatMap(({ events }) => events.map(({ type }) => type));

test('a hundred of them live at once, each as its own pod, and fall silent with it', async () => {
  const uids = Array.from({ length: 100 }, (_, index) => `uid${index}`);
  const ids = new Map(uids.map((uid) => [uid, rent('heartbeat', uid)]));
  await until(() => uids.every((uid) => beats(uid) >= 2));
  for (const uid of uids) {
    expect(types(uid)).toEqual(['started']);
    expect(new Set(of(uid).map(({ authorization }) => authorization))).toEqual(new Set([`Bearer token-${uid}`]));
    expect(new Set(of(uid).map(({ podID }) => podID))).toEqual(new Set([ids.get(uid)]));
  }
  const [first, ...others] = uids;
  await simulator.pods.delete(ids.get(first!)!);
  const last = of(first!).length;
  const before = new Map(others.map((uid) => [uid, beats(uid)]));
  await until(() => others.every((uid) => beats(uid) >= (before.get(uid) ?? 0) + 2));
  expect(of(first!)).toHaveLength(last);
});

test.each([
  ['succeed', 'Succeeded'],
  ['fail', 'Failed'],
])('%s: reports points and evaluations, then one end that says %s, and waits', async (behaviour, outcome) => {
  rent(behaviour, 'job');
  await until(() => beats('job') >= 2);
  expect(types('job').filter((type) => type === 'point')).toHaveLength(3);
  expect(types('job').filter((type) => type === 'evaluation')).toHaveLength(3);
  const finals = of('job').flatMap(({ events }) => events.filter(({ type }) => type === 'final'));
  expect(finals).toMatchObject([{ outcome }]);
  const sequences = of('job').flatMap(({ sequence }) => (sequence === undefined ? [] : [sequence]));
  expect(sequences).toEqual(sequences.map((_, index) => index + 1));
});

test('heartbeat obeys a stop, once; stubborn obeys none', async () => {
  stop = true;
  rent('heartbeat', 'meek');
  rent('stubborn', 'stubborn');
  await until(() => beats('meek') >= 4 && beats('stubborn') >= 4);
  expect(types('meek')).toEqual(['started', 'final']);
  expect(types('stubborn')).toEqual(['started']);
});

test('silent connects and is never heard again; never does not connect at all', async () => {
  rent('never', 'never');
  rent('silent', 'silent');
  rent('heartbeat', 'other');
  await until(() => of('silent').length > 0 && beats('other') >= 4);
  expect(types('silent')).toEqual(['started']);
  expect(of('silent')).toHaveLength(1);
  expect(of('never')).toEqual([]);
});
