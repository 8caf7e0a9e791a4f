import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { refused, serveApi, type ApiAnswer } from './api.ts';
import { billLine, type BillLine } from './billing.ts';
import { Catalog } from './catalog.ts';
import { serveControl } from './control.ts';
import { Faults, type Fault } from './faults.ts';
import { streamLog } from './logstream.ts';
import { Pods, type SimulatedPod, type Volume } from './pods.ts';
import { Problem } from './problem.ts';
import { firstAccount, Keys } from './keys.ts';
import { proxyPath, serveProxy, type Passed } from './proxy.ts';
import { publishedLimits, type WindowLimit } from './ratelimit.ts';

export interface SimulatorOptions {
  /** Where pods' disks and network volumes live. Volumes stay when the simulator ends. */
  readonly folder: string;
  /** The folder is removed with the simulator, however that ends. */
  readonly temporary?: boolean;
  readonly images?: Readonly<Record<string, readonly string[]>>;
  readonly port?: number;
  readonly apiKey?: string;
  readonly volumes?: readonly Volume[];
  readonly provisionMs?: number;
  readonly startMs?: number;
  readonly restartMs?: number;
  readonly limits?: readonly WindowLimit[];
  /** Longest time for a request by the HTTP proxy. */
  readonly proxyLimitMs?: number;
}

/** One call that the API got, for counting them. */
export interface CallRecord {
  readonly atMs: number;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** Whether a pod's own key was used. */
  readonly byPod: boolean;
}

export interface Simulator {
  readonly url: string;
  /** A key of the account `default`. */
  readonly apiKey: string;
  readonly keys: Keys;
  readonly faults: Faults;
  readonly catalog: Catalog;
  readonly pods: Pods;
  readonly calls: readonly CallRecord[];
  fault(fault: Fault): void;
  bill(): readonly BillLine[];
  /** Resolves with the next call that fits, as soon as it took effect; its answer may still be on the way. */
  nextCall(fits: (call: CallRecord) => boolean, ms?: number): Promise<CallRecord>;
  /** What a pod's processes printed. */
  podLog(id: string): string;
  /** Address of a pod's HTTP port by the proxy, with {podID} and {port} in it. */
  readonly proxyUrl: string;
  /** Hears of each request that passed the proxy, once it is over. */
  onPassed(listener: (passed: Passed) => void): void;
  /** Folder of a network volume on this machine. */
  volumeFolder(id: string): string;
  /** Pods that are billed now. */
  live(): readonly SimulatedPod[];
  /** Ends every process that a pod started. */
  stop(): Promise<void>;
}

const mostCalls = 100_000;

/** Starts the simulator on a port of this machine. */
export async function startSimulator(options: SimulatorOptions): Promise<Simulator> {
  const { folder, images = {}, volumes = [] } = options;
  mkdirSync(folder, { recursive: true });
  const keys = new Keys(options.limits ?? publishedLimits);
  const apiKey = keys.give(firstAccount, options.apiKey);
  const faults = new Faults();
  const catalog = new Catalog();
  const calls: CallRecord[] = [];
  const reaper = spawn(process.execPath, [new URL('reaper.ts', import.meta.url).pathname], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  reaper.unref();
  const reaped = new Promise((resolve) => reaper.once('exit', resolve));
  reaper.stdin.on('error', () => undefined);
  if (options.temporary === true) reaper.stdin.write(`folder ${folder}\n`);
  let url = '';
  const pods = new Pods({
    folder,
    images,
    catalog,
    faults,
    volumes,
    provisionMs: options.provisionMs ?? 300,
    startMs: options.startMs ?? 200,
    restartMs: options.restartMs ?? 1000,
    url: () => url,
    guard: (line) => void reaper.stdin.write(`${line}\n`),
  });
  const volumeFolder = (id: string): string => join(folder, 'volumes', id);
  for (const volume of volumes) mkdirSync(volumeFolder(volume.id), { recursive: true });

  const passedListeners = new Set<(passed: Passed) => void>();
  const proxy = {
    pods,
    faults,
    limitMs: options.proxyLimitMs ?? 100_000,
    passed(passed: Passed): void {
      for (const listener of passedListeners) listener(passed);
    },
  };
  const listeners = new Set<(call: CallRecord) => void>();
  const simulator: Omit<Simulator, 'url' | 'proxyUrl' | 'stop'> = {
    apiKey,
    keys,
    faults,
    catalog,
    pods,
    calls,
    fault: (fault) => faults.add(fault),
    bill: () => pods.all().map(billLine),
    nextCall: (fits, ms = 20_000) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          listeners.delete(listener);
          reject(new Error(`no such call came within ${ms} ms`));
        }, ms);
        function listener(call: CallRecord): void {
          if (!fits(call)) return;
          clearTimeout(timer);
          listeners.delete(listener);
          resolve(call);
        }
        listeners.add(listener);
      }),
    podLog: (id) => readFileSync(join(folder, 'pods', id, 'container.log'), 'utf8'),
    onPassed: (listener) => void passedListeners.add(listener),
    volumeFolder,
    live: () => pods.all().filter((pod) => pod.endedMs === undefined),
  };

  const answer = async (
    request: IncomingMessage,
    body: string,
  ): Promise<ApiAnswer & { headers?: Record<string, string> }> => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
    const key = bearerOf(request);
    const byPod = key === undefined ? undefined : pods.byKey(key);
    if (key === undefined) throw new Problem(401, 'missing bearer token');
    const account = byPod ? byPod.account : keys.accountOf(key);
    if (account === undefined) throw new Problem(401, 'invalid bearer token');
    if (byPod && faults.take('podKeyRefused', byPod.body.name)) throw new Problem(401, 'invalid bearer token');
    const all = byPod ? undefined : faults.take('refuseAll');
    if (all) throw refused(all);
    const html = byPod ? undefined : faults.take('htmlError');
    if (html) return { status: html.status, html: '<html><body>502 Bad Gateway</body></html>' };
    const full = byPod ? undefined : keys.limitOf(account).count();
    if (full) {
      throw new Problem(429, `rate limit exceeded for the ${full.window} window`, [], {
        'Retry-After': String(full.retryAfterSeconds),
      });
    }
    return serveApi(
      { pods, catalog, faults, volumes },
      {
        method: request.method ?? 'GET',
        path: pathname,
        query: searchParams,
        body,
        account,
        lastEventID: request.headers['last-event-id']?.toString(),
        podKeyOf: byPod?.id,
      },
    );
  };

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    if (request.url?.startsWith(proxyPath)) return serveProxy(proxy, request, response);
    const body = await text(request);
    const path = (request.url ?? '/').split('?')[0] ?? '/';
    if (path.startsWith('/_sim/')) return serveControl(simulator, request, response, body);
    // The end of a pod is the end of its key, so whose key it is must be known before.
    const key = bearerOf(request) ?? '';
    const byPod = pods.byKey(key) !== undefined;
    const account = keys.accountOf(key);
    const limits = (): Record<string, string> => (account === undefined ? {} : keys.limitOf(account).headers());
    const record = (status: number): void => {
      const call = { atMs: Date.now(), method: request.method ?? '', path, status, byPod };
      if (calls.length < mostCalls) calls.push(call);
      for (const listener of listeners) listener(call);
    };
    try {
      const result = await answer(request, body);
      const { status } = result;
      record(status);
      if (result.delayMs !== undefined) await new Promise((resolve) => setTimeout(resolve, result.delayMs));
      if (result.hangs) return;
      if (result.cut) request.socket.destroy();
      else if (result.stream) streamLog(result.stream.log, result.stream.query, response, limits());
      else if (result.html !== undefined) response.writeHead(status, { 'content-type': 'text/html' }).end(result.html);
      else if (result.json === undefined) response.writeHead(status, limits()).end();
      else
        response
          .writeHead(status, { 'content-type': 'application/json', ...limits() })
          .end(JSON.stringify(result.json));
    } catch (error) {
      const problem = error instanceof Problem ? error : new Problem(500, String(error));
      const { status } = problem;
      record(status);
      response
        .writeHead(status, {
          'content-type': 'application/problem+json',
          ...(status !== 401 && limits()),
          ...problem.headers,
        })
        .end(JSON.stringify(problem.body()));
    }
  };

  const server = createServer((request, response) => {
    handle(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return Object.assign(simulator, {
    url,
    proxyUrl: `${url}${proxyPath}{podID}/{port}`,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await pods.stop();
      reaper.ref();
      reaper.stdin.end();
      await reaped;
    },
  });
}

function bearerOf(request: IncomingMessage): string | undefined {
  return /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1];
}

async function text(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
