import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { systemClock, type Clock } from '../../controller/clock.ts';
import type { Scoring } from '../../controller/scoring/best.ts';
import type { ServerDependencies } from '../../controller/telemetry/dependencies.ts';
import { buildServer } from '../../controller/telemetry/server.ts';
import { openSqliteStore } from '../../controller/telemetry/store/sqlite.ts';
import type { TelemetryStore } from '../../controller/telemetry/store/store.ts';
import { Telemetry } from '../../controller/telemetry/telemetry.ts';
import type { Keyring } from '../../controller/telemetry/tokens.ts';

/** The telemetry server with its store on a real socket and a real file; what it asks of the cluster is given by the test. */
export interface Ingest {
  readonly url: string;
  readonly path: string;
  readonly telemetry: Telemetry;
  readonly store: TelemetryStore;
  readonly server: Awaited<ReturnType<typeof buildServer>>;
  /** Stops it; the file stays until `remove`. */
  stop(): Promise<void>;
  remove(): Promise<void>;
}

export interface IngestOptions {
  readonly path?: string;
  readonly keyring?: Keyring;
  readonly clock?: Clock;
  readonly configFor?: ServerDependencies['configFor'];
  readonly authorize?: ServerDependencies['authorize'];
  /** Puts a fault between the telemetry and its real store. */
  readonly wrap?: (store: TelemetryStore) => TelemetryStore;
  readonly onChange?: (uid: string, urgent: boolean) => void;
}

export const oneKey: Keyring = { current: 'k1', keys: { k1: Buffer.alloc(32, 1) } };

export async function startIngest(options: IngestOptions = {}): Promise<Ingest> {
  const folder = options.path === undefined ? await mkdtemp(join(tmpdir(), 'trainingjob-ingest-')) : undefined;
  const path = options.path ?? join(folder ?? '', 'store', 'telemetry.sqlite');
  const clock = options.clock ?? systemClock;
  const opened = openSqliteStore(path);
  const store = options.wrap?.(opened) ?? opened;
  const telemetry = new Telemetry({
    store,
    clock,
    keyring: options.keyring ?? oneKey,
    log: pino({ enabled: false }),
    onChange: options.onChange ?? (() => undefined),
  });
  const server = await buildServer({
    telemetry,
    store,
    clock,
    configFor: options.configFor ?? (async () => ({ status: 'wait', reason: 'this test has no configuration' })),
    authorize: options.authorize ?? (async () => 'allowed'),
    ready: () => {
      const reasons = telemetry.storeError === undefined ? [] : [telemetry.storeError];
      return { ready: reasons.length === 0, reasons };
    },
  });
  try {
    await telemetry.start();
  } catch (error) {
    await server.close();
    await store.close();
    throw error;
  }
  await server.listen({ host: '127.0.0.1', port: 0 });
  return {
    url: `http://127.0.0.1:${(server.server.address() as AddressInfo).port}`,
    path,
    telemetry,
    store,
    server,
    async stop() {
      await server.close();
      await store.close();
    },
    async remove() {
      if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    },
  };
}

/** An attempt whose pod may report. */
export interface Reporter {
  readonly uid: string;
  readonly attempt: number;
  readonly podID: string;
  readonly token: string;
  readonly session: string;
}

export interface ReporterOptions {
  readonly uid?: string;
  readonly attempt?: number;
  readonly podID?: string;
  readonly nonce?: string;
  readonly name?: string;
  readonly scoring?: Scoring;
}

export async function openReporter(telemetry: Telemetry, options: ReporterOptions = {}): Promise<Reporter> {
  const { uid = randomUUID(), attempt = 1, nonce = 'abcd', name = 'job', scoring = multiMetric } = options;
  const { podID = `pod-${attempt}` } = options;
  const { token } = await telemetry.openAttempt({ uid, namespace: 'team', name, attempt, nonce, scoring });
  telemetry.pinPod(uid, attempt, podID);
  return { uid, attempt, podID, token, session: newSession() };
}

const multiMetric: Scoring = { strategy: 'MultiMetric' };

export function newSession(): string {
  return randomBytes(8).toString('hex');
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // eslint-disable-next-line typescript/no-explicit-any -- what a server answers is judged by the test, not by a type
  readonly body: any;
}

/** Posts a body as the reporter would; `more` replaces parts of the request. */
export async function post(
  url: string,
  reporter: Reporter,
  body: unknown,
  more: { readonly headers?: Readonly<Record<string, string>>; readonly query?: string } = {},
): Promise<Answer> {
  const response = await fetch(
    `${url}/v1/jobs/${reporter.uid}/attempts/${reporter.attempt}/events${more.query ?? ''}`,
    {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(reporter.token !== '' && { authorization: `Bearer ${reporter.token}` }),
        ...more.headers,
      },
      body: typeof body === 'string' || body instanceof Uint8Array ? (body as string) : JSON.stringify(body),
    },
  );
  return answer(response);
}

export async function get(url: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  return answer(await fetch(url, { headers }));
}

async function answer(response: Response): Promise<Answer> {
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === '' ? undefined : JSON.parse(text) };
}

export function batch(reporter: Reporter, sequence: number, events: readonly object[]): object {
  return { session: reporter.session, sequence, podID: reporter.podID, events };
}

export function point(
  step: number,
  metrics: Readonly<Record<string, number | null>> = { 'train/loss': 1 / (step + 1) },
) {
  return { type: 'point', step, metrics };
}

export function evaluation(step: number, evalLoss: number | null, trainLoss: number | null = evalLoss) {
  return {
    type: 'evaluation',
    step,
    evalLoss,
    trainLoss,
    trainLossStep: trainLoss === null ? null : step,
    metrics: {},
  };
}
