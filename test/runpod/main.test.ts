import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, describe, expect, test } from 'vitest';

/** The simulator as a program of its own, driven by HTTP alone, as somebody's continuous integration does it. */
interface Running {
  readonly url: string;
  readonly apiKey: string;
  readonly folder: string;
  readonly child: ChildProcess;
  /** Exit code, or the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals | null>;
}

/** One time that a pod's process ran, as it told itself. */
interface Told {
  readonly pid: number;
  readonly childPid: number;
  readonly disk: readonly string[];
  readonly volume: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Lets the process exit. */
  end(): void;
}

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

const program = new URL('main.ts', import.meta.url).pathname;

function launch(args: readonly string[]): { child: ChildProcess; exited: Running['exited']; said: () => string } {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const exited = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.once('close', (code, signal) => resolve(code ?? signal));
  });
  cleanups.push(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  return { child, exited, said: () => said };
}

async function start(...args: readonly string[]): Promise<Running> {
  const { child, exited, said } = launch(['--provision-ms', '0', '--start-ms', '0', '--restart-ms', '10', ...args]);
  const line = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout! }).once('line', resolve);
    child.once('exit', () => reject(new Error(`the simulator ended: ${said()}`)));
  });
  return { ...(JSON.parse(line) as { url: string; apiKey: string; folder: string }), child, exited };
}

/**
 * A trainer for tests: it leaves a file on its disk and one on its volume, starts a process in a session of its own, tells what it
 * found, and exits when it is answered.
 */
const trainer = `
const { readdirSync, writeFileSync } = require('node:fs');
const { spawn } = require('node:child_process');
const volume = process.env.TRAININGJOB_FILE_ROOT + '/volume';
const told = { pid: process.pid, disk: readdirSync('.'), volume: readdirSync(volume), env: process.env };
writeFileSync('left-behind', '');
writeFileSync(volume + '/run-' + told.volume.length, '');
const child = spawn('sleep', ['600'], { detached: true, stdio: 'inherit' });
console.log('run', told.volume.length);
fetch(process.env.TELL, { method: 'POST', body: JSON.stringify({ ...told, childPid: child.pid }) }).then(() => process.exit(1));
`;

/** A place where such trainers tell of themselves. */
async function ear(): Promise<{ url: string; next(): Promise<Told> }> {
  const heard: Told[] = [];
  let wake: () => void = () => undefined;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request
      .on('data', (chunk: Buffer) => chunks.push(chunk))
      .once('end', () => {
        const told = JSON.parse(Buffer.concat(chunks).toString()) as Omit<Told, 'end'>;
        heard.push({ ...told, end: () => response.end() });
        wake();
      });
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  cleanups.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async next() {
      while (heard.length === 0)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      return heard.shift()!;
    },
  };
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'simulator-test-'));
  cleanups.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

interface Answer {
  readonly status: number;
  readonly json: unknown;
}

async function call(simulator: Running, method: string, path: string, body?: object): Promise<Answer> {
  const response = await fetch(`${simulator.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${simulator.apiKey}` },
    ...(body && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, json: text === '' ? undefined : JSON.parse(text) };
}

interface Pod {
  readonly id: string;
  readonly status: string;
  readonly cost: number;
}

const rent = async (simulator: Running, body: object): Promise<Pod> =>
  (await call(simulator, 'POST', '/v2/pods', body)).json as Pod;

interface Line {
  readonly id: string;
  readonly endedAt: string | null;
  readonly seconds: number;
  readonly costUsdPerHour: number;
  readonly totalUsd: number;
}

const billed = async (simulator: Running): Promise<Line> =>
  ((await call(simulator, 'GET', '/_sim/bill')).json as { pods: Line[] }).pods[0]!;

const podBody = (tell: string): object => ({
  name: 'job',
  image: 'my/trainer:1',
  env: { TELL: tell },
  cpu: { id: 'cpu3c', vcpuCount: 2 },
  mounts: { network: [{ volumeId: 'data', path: '/volume' }] },
});
const imageFlags = [
  '--image',
  `my/trainer:1=${process.execPath} -e "${trainer.replaceAll('\n', ' ')}"`,
  '--volume',
  'data=EU-RO-1',
];

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A process that was killed is there until its parent, or the system in its place, takes note.
    return !/^\S+ \(.*\) Z/.test(existsSync('/proc') ? readFileSync(`/proc/${pid}/stat`, 'utf8') : '');
  } catch {
    return false;
  }
}

async function untilGone(pids: readonly number[]): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (pids.some(alive)) {
    if (performance.now() > deadline) throw new Error(`still there: ${pids.filter(alive).join()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('the simulator as a program', () => {
  test('rents a pod, really runs it, starts it again on a wiped disk with the same volume, and bills it to its end', async () => {
    const place = folder();
    const trainers = await ear();
    const simulator = await start('--folder', place, '--key', 'my-key', ...imageFlags);
    expect(simulator).toMatchObject({ apiKey: 'my-key', folder: place });
    const { id, cost } = await rent(simulator, podBody(trainers.url));

    const first = await trainers.next();
    expect(first.disk).toEqual([]);
    expect(first.volume).toEqual([]);
    expect(first.env).toMatchObject({
      RUNPOD_POD_ID: id,
      RUNPOD_DC_ID: 'EU-RO-1',
      RUNPOD_API_URL: simulator.url,
      TELL: trainers.url,
    });
    expect((await call(simulator, 'GET', `/v2/pods/${id}`)).json).toMatchObject({ status: 'RUNNING' });
    const own = await fetch(`${simulator.url}/v2/pods/${id}`, {
      headers: { authorization: `Bearer ${first.env['RUNPOD_API_KEY']}` },
    });
    expect(own.status).toBe(200);

    first.end();
    const second = await trainers.next();
    expect(second.pid).not.toBe(first.pid);
    expect(second.disk).toEqual([]);
    expect(second.volume).toEqual(['run-0']);
    expect(readdirSync(join(place, 'volumes', 'data'))).toEqual(['run-0', 'run-1']);
    // The first container is gone with all that it had started.
    await untilGone([first.pid, first.childPid]);
    expect(readFileSync(join(place, 'pods', id, 'container.log'), 'utf8')).toMatch(
      /run 0\ncontainer exited: 1\nrun 1\n/,
    );

    expect(await billed(simulator)).toMatchObject({ id, endedAt: null, costUsdPerHour: cost });
    expect((await call(simulator, 'DELETE', `/v2/pods/${id}`)).status).toBe(204);
    const ended = await billed(simulator);
    expect(ended.endedAt).not.toBeNull();
    expect(ended.totalUsd).toBeCloseTo((ended.seconds / 3600) * cost, 12);
    await untilGone([second.pid, second.childPid]);
    expect(await billed(simulator)).toEqual(ended);
    expect((await call(simulator, 'GET', '/v2/pods')).json).toEqual({ pods: [] });
    expect(existsSync(join(place, 'pods', id, 'disk'))).toBe(false);
    expect(readdirSync(join(place, 'volumes', 'data'))).toEqual(['run-0', 'run-1']);
  });

  test.each<[NodeJS.Signals, number | NodeJS.Signals]>([
    ['SIGTERM', 0],
    ['SIGINT', 0],
    ['SIGKILL', 'SIGKILL'],
  ])('leaves no process and no temporary folder behind when it is ended by %s', async (signal, code) => {
    const trainers = await ear();
    const simulator = await start(...imageFlags);
    await call(simulator, 'POST', '/v2/pods', podBody(trainers.url));
    const { pid, childPid } = await trainers.next();
    expect([pid, childPid].map(alive)).toEqual([true, true]);
    simulator.child.kill(signal);
    expect(await simulator.exited).toBe(code);
    await untilGone([pid, childPid]);
    while (existsSync(simulator.folder)) await new Promise((resolve) => setTimeout(resolve, 20));
  });

  test('runs on without standard input, and ends with it when it is told so', async () => {
    const [alone, bound] = await Promise.all([start(), start('--until-stdin-ends')]);
    alone.child.stdin!.end();
    bound.child.stdin!.end();
    expect(await bound.exited).toBe(0);
    expect((await call(alone, 'GET', '/v2/pods')).status).toBe(200);
  });

  test.each(['vanish', 'error', 'exit'])('a host that fails (%s) takes the processes with it', async (how) => {
    const trainers = await ear();
    const simulator = await start(...imageFlags);
    const { id } = await rent(simulator, podBody(trainers.url));
    const { pid, childPid } = await trainers.next();
    expect((await call(simulator, 'POST', `/_sim/pods/${id}/lose`, { how })).status).toBe(200);
    await untilGone([pid, childPid]);
    const { status, json } = await call(simulator, 'GET', `/v2/pods/${id}`);
    if (how === 'vanish') expect(status).toBe(404);
    else expect((json as Pod).status).toBe(how === 'error' ? 'ERROR' : 'EXITED');
    const [before, after] = [await billed(simulator), await billed(simulator)];
    expect(before.endedAt === null).toBe(how !== 'vanish');
    // A pod that is broken is charged on; one that is stopped, or gone, is not.
    if (how === 'error') expect(after.seconds).toBeGreaterThan(before.seconds);
    else expect(after.seconds).toBe(before.seconds);
    if (how === 'exit') expect((json as Pod).cost).toBe(0);
  });

  test('an entry point that is not there is told in the log, and the simulator lives on', async () => {
    const simulator = await start('--image', 'broken:1=/no/such/program');
    const created = await rent(simulator, {
      name: 'broken',
      image: 'broken:1',
      cpu: { id: 'cpu3c', vcpuCount: 2 },
    });
    const log = join(simulator.folder, 'pods', created.id, 'container.log');
    while (!existsSync(log) || !readFileSync(log, 'utf8').includes('cannot start'))
      await new Promise((resolve) => setTimeout(resolve, 20));
    expect((await call(simulator, 'DELETE', `/v2/pods/${created.id}`)).status).toBe(204);
  });
});

describe('its switches', () => {
  const gpuPod = { name: 'job-1', image: 'stub:never', gpu: { id: 'NVIDIA L40S', count: 2 } };

  test('prices and stock', async () => {
    const simulator = await start('--offer', '{"id":"cpu3c","perVcpu":0.5}');
    const changed = { id: 'NVIDIA L40S', secure: 1.5, stock: 0 };
    expect((await call(simulator, 'POST', '/_sim/offers', changed)).status).toBe(200);
    expect((await call(simulator, 'POST', '/v2/pods', gpuPod)).status).toBe(400);
    await call(simulator, 'POST', '/_sim/offers', { id: 'NVIDIA L40S', stock: 1, dataCenterId: 'US-TX-3' });
    const pod = await rent(simulator, gpuPod);
    expect(pod).toMatchObject({ cost: 3, dataCenterId: 'US-TX-3' });
    expect((await call(simulator, 'POST', '/v2/pods', gpuPod)).status).toBe(400);
    await call(simulator, 'DELETE', `/v2/pods/${pod.id}`);
    expect((await call(simulator, 'POST', '/v2/pods', gpuPod)).status).toBe(201);
    const { json } = await call(simulator, 'GET', '/v2/catalog/cpus');
    expect((json as { cpus: unknown[] }).cpus[0]).toMatchObject({ id: 'cpu3c', price: { securePerVcpu: 0.5 } });
  });

  test('stock goes back to where it was taken from, though the pod came up elsewhere', async () => {
    const simulator = await start();
    await call(simulator, 'POST', '/_sim/offers', { id: 'NVIDIA L40S', stock: 0 });
    await call(simulator, 'POST', '/_sim/offers', { id: 'NVIDIA L40S', stock: 1, dataCenterId: 'EU-RO-1' });
    await call(simulator, 'POST', '/_sim/faults', { kind: 'otherDataCenter', dataCenterId: 'US-TX-3' });
    const { id } = await rent(simulator, gpuPod);
    await call(simulator, 'DELETE', `/v2/pods/${id}`);
    const offer = await call(simulator, 'POST', '/_sim/offers', { id: 'NVIDIA L40S' });
    expect(offer.json).toMatchObject({ stock: { 'EU-RO-1': 1, 'US-TX-3': 0 } });
  });

  test('faults come from flags and calls, are used up, matched by name, listed and cleared', async () => {
    const simulator = await start('--fault', '{"kind":"emptyList","times":2}');
    await call(simulator, 'POST', '/v2/pods', gpuPod);
    const listed = async (): Promise<number> =>
      ((await call(simulator, 'GET', '/v2/pods')).json as { pods: unknown[] }).pods.length;
    expect([await listed(), await listed(), await listed()]).toEqual([0, 0, 1]);

    const refusal = { kind: 'refuseCreate', status: 402, detail: 'insufficient balance', match: 'job-2', times: null };
    await call(simulator, 'POST', '/_sim/faults', refusal);
    expect((await call(simulator, 'GET', '/_sim/faults')).json).toEqual({ faults: [refusal] });
    const statusOf = async (name: string): Promise<number> =>
      (await call(simulator, 'POST', '/v2/pods', { ...gpuPod, name })).status;
    expect([await statusOf('job-2'), await statusOf('job-3'), await statusOf('job-2')]).toEqual([402, 201, 402]);
    await call(simulator, 'DELETE', '/_sim/faults?kind=refuseCreate');
    expect(await statusOf('job-2')).toBe(201);

    const { calls } = (await call(simulator, 'GET', '/_sim/calls')).json as {
      calls: { method: string; status: number; byPod: boolean }[];
    };
    expect(calls.filter(({ method, status }) => method === 'POST' && status === 402)).toHaveLength(2);
    expect(calls.some(({ byPod }) => byPod)).toBe(false);
  });

  test.each<[string, string, unknown, RegExp]>([
    ['POST', '/_sim/faults', { kind: 'gremlins' }, /no fault "gremlins"; write one of refuseCreate, loseCreateReply/],
    ['POST', '/_sim/faults', {}, /no fault "undefined"/],
    ['POST', '/_sim/faults', { kind: 'refuseCreate', status: 400 }, /refuseCreate: missing property 'detail'/],
    [
      'POST',
      '/_sim/faults',
      { kind: 'refuseCreate', status: 200, detail: '' },
      /refuseCreate.status: must be at least 400/,
    ],
    ['POST', '/_sim/faults', { kind: 'emptyList', times: 0 }, /emptyList.times: must be at least 1/],
    ['POST', '/_sim/faults', { kind: 'emptyList', time: 2 }, /additional properties 'time' not allowed/],
    ['POST', '/_sim/offers', { id: 'GTX' }, /no GPU type or CPU flavor "GTX"; write one of .*"NVIDIA L40S"/],
    ['POST', '/_sim/offers', { id: 'cpu3c', secure: 1 }, /additional properties 'secure' not allowed/],
    ['POST', '/_sim/offers', { id: 'cpu3c', stock: -1 }, /\$.stock: must be at least 0/],
    [
      'POST',
      '/_sim/offers',
      { id: 'cpu3c', stock: 1, dataCenterId: 'MOON' },
      /no data center "MOON"; write one of EU-RO-1/,
    ],
    ['POST', '/_sim/offers', 'stock', /the body is not JSON/],
    ['POST', '/_sim/pods/nobody/lose', { how: 'vanish' }, /no pod "nobody"/],
    ['POST', '/_sim/pods/nobody/lose', { how: 'explode' }, /value must be one of 'vanish', 'error', 'exit'/],
    ['GET', '/_sim/nothing', undefined, /no GET \/_sim\/nothing; see test\/runpod\/README.md/],
  ])('%s %s with %j says what is wrong', async (method, path, body, sentence) => {
    const simulator = await start();
    const response = await fetch(`${simulator.url}${path}`, {
      method,
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    expect(response.status).toBeGreaterThanOrEqual(400);
    expect(((await response.json()) as { error: string }).error).toMatch(sentence);
  });
});

describe('its flags', () => {
  test('--help shows all of them', async () => {
    const { child, exited } = launch(['--help']);
    let text = '';
    child.stdout!.on('data', (chunk: Buffer) => (text += chunk.toString()));
    expect(await exited).toBe(0);
    for (const flag of ['--folder', '--port', '--key', '--image', '--volume', '--fault', '--offer', '--restart-ms'])
      expect(text).toContain(flag);
  });

  test.each<[readonly string[], RegExp]>([
    [['--prot', '80'], /Unknown option '--prot'/],
    [['now'], /Unexpected argument 'now'/],
    [['--port', 'eighty'], /--port is "eighty"; write a whole number from 0 to 65535/],
    [['--provision-ms=-5'], /--provision-ms is "-5"; write a whole number/],
    [['--requests-per-minute', '0'], /--requests-per-minute is "0"; write a whole number from 1/],
    [['--key', 'two words'], /--key is "two words"; write letters and digits/],
    [['--image', 'my/trainer:1'], /--image is "my\/trainer:1"; write NAME=COMMAND/],
    [['--image', 'my/trainer:1='], /write the command after the =, as my\/trainer:1=sleep 60/],
    [['--volume', 'data'], /--volume is "data"; write ID=DATACENTER/],
    [['--volume', 'data=MOON-1'], /write one of EU-RO-1, .* after the =/],
    [['--volume', '../x=EU-RO-1'], /write letters, digits/],
    [['--fault', 'emptyList'], /--fault is "emptyList"; write JSON/],
    [['--fault', '{"kind":"nothing"}'], /there is no fault "nothing"/],
    [['--offer', '{"id":"nothing"}'], /there is no GPU type or CPU flavor "nothing"/],
    [['--folder', '/dev/null/sim'], /not a directory.*\/dev\/null/],
  ])('%j is refused with a sentence', async (args, sentence) => {
    const { exited, said } = launch(args);
    expect(await exited).toBe(2);
    expect(said()).toMatch(sentence);
    expect(said()).not.toMatch(/\n\s+at /);
  });
});
