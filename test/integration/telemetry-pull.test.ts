import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, openSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '../../controller/clock.ts';
import type { ConfigAnswer } from '../../controller/telemetry/dependencies.ts';
import { Pulls } from '../../controller/telemetry/pull/pulls.ts';
import type { PullResult } from '../../controller/telemetry/pull/puller.ts';
import { sealed } from '../../controller/telemetry/pull/seal.ts';
import { servedBy } from '../../controller/telemetry/pull/served.ts';
import { mintToken, type Keyring } from '../../controller/telemetry/tokens.ts';
import { python } from '../rig/trainer.ts';
import { hostPort } from '../runpod/hostports.ts';
import { openReporter, startIngest, type Ingest, type Reporter } from './ingest.ts';

const planted = 'planted-secret-77';
const keyring: Keyring = { current: 'k2', keys: { k1: Buffer.alloc(32, 1), k2: Buffer.alloc(32, 2) } };

let folder: string;
let ingest: Ingest;
/** What is run in the pod, and for whom the configuration was asked. */
let program = '';
const asked: string[] = [];
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'trainingjob-pull-'));
  ingest = await startIngest({ keyring, configFor: async (uid, attempt) => configuration(uid, attempt) });
});
const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end();
});
afterAll(async () => {
  await ingest.stop();
  await ingest.remove();
  await rm(folder, { recursive: true, force: true });
});

function configuration(uid: string, attempt: number): ConfigAnswer {
  asked.push(uid);
  const config = {
    protocolVersion: 1,
    job: { uid, namespace: 'team', name: 'job', attempt, run: 1, specHash: 'abc' },
    trainer: { custom: { command: [python, '-c', program], args: [] } },
    env: { PLANTED: planted },
    secretEnv: ['PLANTED'],
    checkpoints: null,
    output: null,
    storage: { checkpoints: null, output: null },
    scoring: { strategy: 'MultiMetric' },
    agent: { heartbeatSeconds: 0.2, holdSeconds: 60, stopGraceSeconds: 5 },
    resume: null,
  } as const;
  return { status: 'ok', config };
}

interface Pod {
  readonly port: number;
  readonly child: ChildProcess;
  log(): string;
}

/** The real agent, as a pod runs it, with the token that it was born with. */
async function agent(reporter: Reporter, token: string, port?: number): Promise<Pod> {
  const listen = port ?? (await hostPort());
  const path = join(folder, `${reporter.uid}.log`);
  const out = openSync(path, 'a');
  const child = spawn(python, ['-m', 'trainingjob', 'agent'], {
    cwd: mkdtempSync(join(folder, 'disk-')),
    stdio: ['ignore', out, out],
    env: {
      PATH: process.env['PATH'],
      TRAININGJOB_UID: reporter.uid,
      TRAININGJOB_NAMESPACE: 'team',
      TRAININGJOB_NAME: 'job',
      TRAININGJOB_ATTEMPT: String(reporter.attempt),
      TRAININGJOB_TOKEN: token,
      TRAININGJOB_PORT: '8477',
      TRAININGJOB_LISTEN_8477: `127.0.0.1:${listen}`,
      RUNPOD_POD_ID: reporter.podID,
      RUNPOD_API_URL: 'http://127.0.0.1:9',
    },
  });
  ends.push(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  return { port: listen, child, log: () => readFileSync(path, 'utf8') };
}

interface Pulling {
  readonly pulls: Pulls;
  readonly results: PullResult[];
  /** Resolves when the pulls so far fit. */
  readonly until: (fits: (results: readonly PullResult[]) => boolean) => Promise<void>;
}

function pulling(port: number, more: { keyring?: Keyring; leads?: () => boolean } = {}): Pulling {
  const results: PullResult[] = [];
  const listeners = new Set<() => void>();
  const pulls = new Pulls({
    address: () => `http://127.0.0.1:${port}`,
    keyring: more.keyring ?? keyring,
    clock: systemClock,
    log: pino({ enabled: false }),
    serve: servedBy(ingest.server),
    leads: more.leads ?? (() => true),
    waitSeconds: 1,
    observe(result) {
      results.push(result);
      for (const listener of listeners) listener();
    },
  });
  ends.push(() => pulls.close());
  const until = (fits: (results: readonly PullResult[]) => boolean): Promise<void> =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`pulls so far: ${results.join()}`)), 25_000);
      const check = (): void => {
        if (!fits(results)) return;
        clearTimeout(timer);
        listeners.delete(check);
        resolve();
      };
      listeners.add(check);
      check();
    });
  return { pulls, results, until };
}

const target = ({ uid, attempt, podID }: Reporter): Parameters<Pulls['begin']>[0] => ({
  uid,
  attempt,
  nonce: 'abcd',
  podID,
});
const final = (uid: string): { outcome: string; message: string } | undefined =>
  ingest.telemetry.summary(uid)?.finals[1];
const untilFinal = (uid: string): Promise<void> =>
  expect.poll(() => final(uid)?.outcome, { timeout: 25_000 }).toBe('Succeeded');

/** The steps of the points that the store has, in their order. */
async function steps(uid: string): Promise<readonly number[]> {
  const response = await fetch(`${ingest.url}/v1/jobs/${uid}/points?limit=10000`, {
    headers: { authorization: 'Bearer person' },
  });
  return ((await response.json()) as { items: { step: number }[] }).items.map(({ step }) => step);
}

const reports = `
import os
from trainingjob import report
assert os.environ["PLANTED"].endswith("secret-77")
for step in range(1, 6):
    report(step, {"train/loss": 1 / step})
`;

describe('a pod that is called', () => {
  test('gets its configuration, and all it reports arrives once', async () => {
    program = reports;
    const reporter = await openReporter(ingest.telemetry);
    const pod = await agent(reporter, reporter.token);
    const { pulls } = pulling(pod.port);
    pulls.begin(target(reporter));
    pulls.begin(target(reporter));
    expect(pulls.size).toBe(1);
    await untilFinal(reporter.uid);
    expect(await steps(reporter.uid)).toEqual([1, 2, 3, 4, 5]);
    pulls.end(reporter.uid);
    expect(pulls.size).toBe(0);
  });

  test('is heard by the next process: what was taken and not answered is neither lost nor doubled', async () => {
    program =
      'import time\nfrom trainingjob import report\nfor step in range(1, 41):\n    report(step, {"train/loss": 1.0}); time.sleep(0.05)\n';
    const reporter = await openReporter(ingest.telemetry);
    const pod = await agent(reporter, reporter.token);
    for (let process = 0; process < 8; process += 1) {
      const { pulls, until } = pulling(pod.port);
      pulls.begin(target(reporter));
      await until((results) => results.filter((result) => result === 'question').length >= 3);
      await pulls.close();
    }
    const { pulls } = pulling(pod.port);
    pulls.begin(target(reporter));
    await untilFinal(reporter.uid);
    expect(await steps(reporter.uid)).toEqual(Array.from({ length: 40 }, (_, index) => index + 1));
  }, 60_000);

  test('by two processes at once: each point is there once', async () => {
    program = reports;
    const reporter = await openReporter(ingest.telemetry);
    const pod = await agent(reporter, reporter.token);
    for (const { pulls } of [pulling(pod.port), pulling(pod.port)]) pulls.begin(target(reporter));
    await untilFinal(reporter.uid);
    expect(await steps(reporter.uid)).toEqual([1, 2, 3, 4, 5]);
  });

  test('its stop reaches the trainer', async () => {
    program =
      'import sys, time\nfrom trainingjob import report, should_stop\nreport(1, {})\nwhile not should_stop(): time.sleep(0.02)\nsys.exit(130)';
    const reporter = await openReporter(ingest.telemetry);
    const pod = await agent(reporter, reporter.token);
    const { pulls } = pulling(pod.port);
    pulls.begin(target(reporter));
    await expect.poll(() => ingest.telemetry.summary(reporter.uid)?.step, { timeout: 25_000 }).toBe(1);
    ingest.telemetry.setCommands(reporter.uid, 1, [{ id: 'stop-1', type: 'stop', reason: 'Budget' }]);
    await expect.poll(() => final(reporter.uid)?.outcome, { timeout: 25_000 }).toBe('Stopped');
  });

  test('another learning rate reaches the trainer', async () => {
    program =
      'import time\nfrom trainingjob import report, wanted_learning_rate\nreport(1, {})\nwhile wanted_learning_rate() is None: time.sleep(0.02)\nreport(2, {"rate": wanted_learning_rate()})';
    const reporter = await openReporter(ingest.telemetry);
    const pod = await agent(reporter, reporter.token);
    const { pulls } = pulling(pod.port);
    pulls.begin(target(reporter));
    await expect.poll(() => ingest.telemetry.summary(reporter.uid)?.step, { timeout: 25_000 }).toBe(1);
    const command = { id: 'rate-1', type: 'learningRate', reason: 'Plateau', learningRate: '2.5e-5' } as const;
    ingest.telemetry.setCommands(reporter.uid, 1, [command]);
    await expect.poll(() => final(reporter.uid)?.outcome, { timeout: 25_000 }).toBe('Succeeded');
    expect(ingest.telemetry.summary(reporter.uid)?.metrics).toMatchObject([{ name: 'rate', value: 2.5e-5, step: 2 }]);
  });

  test('and whose attempt is over is told so, and ends its training', async () => {
    program = 'import time\nfrom trainingjob import report\nreport(1, {})\ntime.sleep(600)';
    const reporter = await openReporter(ingest.telemetry);
    const pod = await agent(reporter, reporter.token);
    const { pulls, until } = pulling(pod.port);
    pulls.begin(target(reporter));
    await expect.poll(() => ingest.telemetry.summary(reporter.uid)?.step, { timeout: 25_000 }).toBe(1);
    ingest.telemetry.closeAttempt(reporter.uid, 1);
    // A superseded agent asks nothing more.
    await until((results) => results.slice(-2).every((result) => result === 'idle') && results.length > 2);
    expect(final(reporter.uid)).toBeUndefined();
  });
});

describe('keys of tokens', () => {
  test('a pod that was born before the key changed is found by trying, and takes the new one', async () => {
    program = reports;
    const reporter = await openReporter(ingest.telemetry);
    const pod = await agent(reporter, mintToken({ ...keyring, current: 'k1' }, reporter.uid, 1, 'abcd'));
    const first = pulling(pod.port);
    first.pulls.begin(target(reporter));
    await untilFinal(reporter.uid);
    expect(first.results).toContain('refused');
    await first.pulls.close();
    const newOnly = pulling(pod.port, { keyring: { current: 'k2', keys: { k2: Buffer.alloc(32, 2) } } });
    newOnly.pulls.begin(target(reporter));
    await newOnly.until((results) => results.length >= 2);
    expect(newOnly.results).not.toContain('refused');
  });
});

/** Something that is not the agent at the pod's address. */
async function impostor(
  answers: (request: IncomingMessage, response: ServerResponse) => unknown,
): Promise<{ readonly port: number }> {
  const server = createServer((request, response) => void answers(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ends.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port };
}

async function bytes(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe('who does not know the token', () => {
  test('an agent of another attempt takes nothing from the operator, and gets nothing', async () => {
    program = reports;
    const [reporter, other] = [await openReporter(ingest.telemetry), await openReporter(ingest.telemetry)];
    const pod = await agent(reporter, other.token);
    const { pulls, until, results } = pulling(pod.port);
    pulls.begin(target(reporter));
    await until(() => results.filter((result) => result === 'refused').length >= 4);
    expect(results).not.toContain('question');
    expect(asked).not.toContain(reporter.uid);
    expect(pod.log()).not.toContain(planted);
  });

  test('a pod of the same attempt that was not recorded is sent away without its configuration', async () => {
    program = reports;
    const reporter = await openReporter(ingest.telemetry);
    const pod = await agent({ ...reporter, podID: 'another-pod' }, reporter.token);
    const { pulls, until } = pulling(pod.port);
    pulls.begin(target(reporter));
    await until((results) => results.slice(-2).every((result) => result === 'idle') && results.length > 2);
    expect(asked).not.toContain(reporter.uid);
  });

  const question = JSON.stringify({ question: { id: 'aa', podID: 'pod-1', kind: 'config', body: null } });
  test.each<[string, (token: string, call: Buffer) => Buffer]>([
    ['speaks in the clear', () => Buffer.from(question)],
    ['answers nothing', () => Buffer.alloc(0)],
    ['has another token', (_, call) => sealed('another', 'agent', call.subarray(0, 16), Buffer.from(question))],
    ['gives the call back', (_, call) => call],
    [
      'gives back what was said to another call',
      (token) => sealed(token, 'agent', Buffer.alloc(16, 1), Buffer.from(question)),
    ],
    [
      'speaks of another path, even with the token',
      (token, call) =>
        sealed(
          token,
          'agent',
          call.subarray(0, 16),
          Buffer.from(question.replace('config', '../../../../readyz').replace('pod-1', 'pod 1')),
        ),
    ],
  ])('whoever %s is asked nothing and told nothing', async (_, reply) => {
    const reporter = await openReporter(ingest.telemetry);
    const seen: Buffer[] = [];
    const { port } = await impostor(async (request, response) => {
      const call = await bytes(request);
      seen.push(call);
      response.end(reply(reporter.token, call));
    });
    const { pulls, until, results } = pulling(port);
    pulls.begin(target(reporter));
    await until(() => results.length >= 3);
    expect(new Set(results)).toEqual(new Set(['invalid']));
    expect(asked).not.toContain(reporter.uid);
    for (const call of seen) expect(call.includes(reporter.token)).toBe(false);
  });

  test.each([
    [404, 'unreachable'],
    [302, 'unreachable'],
    [502, 'unreachable'],
    [401, 'refused'],
  ])('a page with status %d is no agent', async (status, result) => {
    const reporter = await openReporter(ingest.telemetry);
    const { port } = await impostor((_, response) => response.writeHead(status, { location: '/else' }).end('<html>'));
    const { pulls, until, results } = pulling(port);
    pulls.begin(target(reporter));
    await until(() => results.length >= 3);
    expect(new Set(results)).toEqual(new Set([result]));
  });

  test('an endless answer is cut', async () => {
    const reporter = await openReporter(ingest.telemetry);
    const { port } = await impostor((_, response) => {
      response.on('error', () => undefined);
      const more = (): boolean => response.destroyed || (response.write(Buffer.alloc(65_536)) && more());
      response.on('drain', more);
      more();
    });
    const { pulls, until, results } = pulling(port);
    pulls.begin(target(reporter));
    await until(() => results.length >= 1);
    expect(results[0]).toBe('unreachable');
  });
});

test('a process that does not lead calls nobody', async () => {
  const reporter = await openReporter(ingest.telemetry);
  let calls = 0;
  const { port } = await impostor((_, response) => {
    calls += 1;
    response.writeHead(502).end();
  });
  let leads = true;
  const { pulls, until, results } = pulling(port, { leads: () => leads });
  pulls.begin(target(reporter));
  await until(() => results.length >= 1);
  leads = false;
  await pulls.close();
  const before = calls;
  pulls.begin(target(reporter));
  await pulls.close();
  expect(calls).toBe(before);
});
