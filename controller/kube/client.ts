import { Agent, request, type Dispatcher } from 'undici';
import type { Clock } from '../clock.ts';
import type { KubeConnection } from './config.ts';
import { KubeError, kubeError } from './errors.ts';

export interface ResourceType {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
}

export interface KubeObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly deletionTimestamp?: string;
  };
}

export interface ListPage<T> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
  readonly continueToken: string | undefined;
}

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: unknown;
}

export interface KubeObserver {
  request(verb: string, code: string): void;
}

export interface KubeClientOptions {
  readonly connection: KubeConnection;
  readonly clock: Clock;
  readonly observe?: KubeObserver;
  /** Most time for an answer to anything but a watch. */
  readonly timeoutMs?: number;
}

interface Call {
  readonly verb: string;
  readonly method: Dispatcher.HttpMethod;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly signal?: AbortSignal | undefined;
  /** Most time between two pieces of the answer's body; 0 for none. */
  readonly bodyTimeoutMs?: number;
}

/** Credentials that rotate are asked for again after this time, and at once when the API server refuses them. */
const headersKeptMs = 10_000;

/**
 * The calls to the API server that the operator makes, over one pool of kept-alive connections.
 * Every failure is a KubeError.
 */
export class KubeClient {
  readonly #connection: KubeConnection;
  readonly #agent: Agent;
  readonly #observe: KubeObserver | undefined;
  readonly #timeoutMs: number;
  readonly #clock: Clock;
  #headers: { readonly askedAtMs: number; readonly value: Promise<Readonly<Record<string, string>>> } | undefined;

  constructor(options: KubeClientOptions) {
    const { connection } = options;
    this.#connection = connection;
    this.#clock = options.clock;
    this.#observe = options.observe;
    this.#timeoutMs = options.timeoutMs ?? 30_000;
    this.#agent = new Agent({
      connections: 32,
      pipelining: 1,
      keepAliveTimeout: 60_000,
      connect: {
        timeout: 10_000,
        ...(connection.ca !== undefined && { ca: connection.ca }),
        ...(connection.clientCert !== undefined && { cert: connection.clientCert }),
        ...(connection.clientKey !== undefined && { key: connection.clientKey }),
        ...(connection.skipTlsVerify && { rejectUnauthorized: false }),
        ...(connection.tlsServerName !== undefined && { servername: connection.tlsServerName }),
      },
    });
  }

  get<T>(type: ResourceType, namespace: string | undefined, name: string): Promise<T> {
    return this.#json<T>({ verb: 'get', method: 'GET', path: path(type, namespace, name) });
  }

  /** As `get`, with undefined for an object that is not there. */
  async find<T>(type: ResourceType, namespace: string | undefined, name: string): Promise<T | undefined> {
    try {
      return await this.get<T>(type, namespace, name);
    } catch (error) {
      if (error instanceof KubeError && error.kind === 'notFound') return undefined;
      throw error;
    }
  }

  /** One page of all namespaces, or of one. A page token that expired fails with kind `gone`. */
  async list<T>(
    type: ResourceType,
    options: {
      readonly namespace?: string;
      readonly limit?: number;
      readonly continueToken?: string | undefined;
      readonly signal?: AbortSignal;
    } = {},
  ): Promise<ListPage<T>> {
    const page = await this.#json<{ items?: T[]; metadata?: { resourceVersion?: string; continue?: string } }>({
      verb: 'list',
      method: 'GET',
      path: path(type, options.namespace),
      query: {
        limit: options.limit === undefined ? undefined : String(options.limit),
        continue: options.continueToken,
      },
      signal: options.signal,
    });
    const { items, metadata } = page;
    if (!Array.isArray(items) || metadata?.resourceVersion === undefined) {
      throw new KubeError('malformed', `the list of ${type.plural} has no items or no resourceVersion`);
    }
    const token = metadata.continue;
    return { items, resourceVersion: metadata.resourceVersion, continueToken: token === '' ? undefined : token };
  }

  create<T>(type: ResourceType, namespace: string | undefined, object: unknown): Promise<T> {
    return this.#json<T>({ verb: 'create', method: 'POST', path: path(type, namespace), body: object });
  }

  /**
   * Server-side apply of the whole status under one field manager. `resourceVersion` is a precondition: an apply itself
   * ignores the uid and would write the old job's outcome onto one that was recreated under its name.
   */
  applyStatus<T>(type: ResourceType, object: StatusApply, fieldManager: string): Promise<T> {
    return this.#json<T>({
      verb: 'apply',
      method: 'PATCH',
      path: `${path(type, object.metadata.namespace, object.metadata.name)}/status`,
      query: { fieldManager, force: 'true' },
      body: object,
      contentType: 'application/apply-patch+yaml',
    });
  }

  /** Replaces the list of finalizers if the object is still the version that was read; a merge patch alone would race. */
  patchFinalizers<T>(type: ResourceType, object: KubeObject, finalizers: readonly string[]): Promise<T> {
    const { name, namespace, uid, resourceVersion } = object.metadata;
    return this.mergePatch<T>(type, namespace, name, { metadata: { uid, resourceVersion, finalizers } });
  }

  /** A merge patch without a precondition unless `patch` carries one. */
  mergePatch<T>(type: ResourceType, namespace: string | undefined, name: string, patch: unknown): Promise<T> {
    return this.#json<T>({
      verb: 'patch',
      method: 'PATCH',
      path: path(type, namespace, name),
      body: patch,
      contentType: 'application/merge-patch+json',
    });
  }

  async delete(type: ResourceType, namespace: string | undefined, name: string): Promise<void> {
    await this.#json({ verb: 'delete', method: 'DELETE', path: path(type, namespace, name) });
  }

  /** Deletes exactly the object that was read: one that changed since, or was recreated under its name, fails with a conflict. */
  async deleteVersion(type: ResourceType, object: KubeObject): Promise<void> {
    const { namespace, name, uid, resourceVersion } = object.metadata;
    const body = { preconditions: { uid, resourceVersion } };
    await this.#json({ verb: 'delete', method: 'DELETE', path: path(type, namespace, name), body });
  }

  /**
   * Events after `resourceVersion` until the server closes the stream or `signal` is aborted. A line that is no JSON throws
   * KubeError `malformed`; a 410 at the start throws `gone`; ERROR events are given to the caller.
   */
  async *watch(
    type: ResourceType,
    options: { readonly resourceVersion: string; readonly timeoutSeconds: number; readonly signal: AbortSignal },
  ): AsyncGenerator<WatchEvent> {
    const call: Call = {
      verb: 'watch',
      method: 'GET',
      path: path(type),
      query: {
        watch: 'true',
        allowWatchBookmarks: 'true',
        resourceVersion: options.resourceVersion,
        timeoutSeconds: String(options.timeoutSeconds),
      },
      signal: options.signal,
      bodyTimeoutMs: 0,
    };
    const { body } = await this.#send(call);
    body.setEncoding('utf8');
    let rest = '';
    try {
      for await (const chunk of body as AsyncIterable<string>) {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) if (line.trim() !== '') yield watchEvent(line);
      }
    } catch (error) {
      throw error instanceof KubeError ? error : cut(call, error);
    }
    if (rest.trim() !== '') yield watchEvent(rest);
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }

  async #json<T>(call: Call): Promise<T> {
    const response = await this.#send(call);
    const text = await response.body.text().catch((error: unknown) => {
      throw cut(call, error);
    });
    try {
      return JSON.parse(text) as T;
    } catch {
      throw new KubeError('malformed', `the answer to ${call.verb} ${call.path} is not JSON`);
    }
  }

  /** The answer, if it is a good one. A 401 did nothing at the server, so it is tried once more with fresh credentials. */
  async #send(call: Call): Promise<Dispatcher.ResponseData> {
    const first = await this.#request(call);
    const refused = first.statusCode === 401;
    if (refused) {
      await first.body.dump();
      this.#headers = undefined;
    }
    const response = refused ? await this.#request(call) : first;
    if (response.statusCode < 300) return response;
    const retryAfter = response.headers['retry-after'];
    throw kubeError(response.statusCode, await response.body.text().catch(() => ''), retryAfter?.toString());
  }

  async #request(call: Call): Promise<Dispatcher.ResponseData> {
    const url = new URL(this.#connection.server.replace(/\/+$/, '') + call.path);
    for (const [name, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, value);
    }
    try {
      const response = await request(url, {
        method: call.method,
        dispatcher: this.#agent,
        headersTimeout: this.#timeoutMs,
        bodyTimeout: call.bodyTimeoutMs ?? this.#timeoutMs,
        ...(call.signal && { signal: call.signal }),
        headers: {
          accept: 'application/json',
          ...(await this.#credentials()),
          ...(call.body !== undefined && { 'content-type': call.contentType ?? 'application/json' }),
        },
        ...(call.body !== undefined && { body: JSON.stringify(call.body) }),
      });
      this.#observe?.request(call.verb, String(response.statusCode));
      return response;
    } catch (error) {
      this.#observe?.request(call.verb, 'error');
      throw new KubeError('transient', `${call.verb} ${call.path} got no answer: ${words(error)}`);
    }
  }

  #credentials(): Promise<Readonly<Record<string, string>>> {
    const nowMs = this.#clock.monotonic();
    if (!this.#headers || nowMs - this.#headers.askedAtMs >= headersKeptMs) {
      const value = this.#connection.headers();
      this.#headers = { askedAtMs: nowMs, value };
      // A failure is told to whoever waits for it, and not kept for the next.
      value.catch(() => {
        if (this.#headers?.value === value) this.#headers = undefined;
      });
    }
    return this.#headers.value;
  }
}

export interface StatusApply {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly resourceVersion: string };
  readonly status: unknown;
}

function path(type: ResourceType, namespace?: string, name?: string): string {
  const root = type.group === '' ? `/api/${type.version}` : `/apis/${type.group}/${type.version}`;
  const scope = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`;
  return `${root}${scope}/${type.plural}${name === undefined ? '' : `/${encodeURIComponent(name)}`}`;
}

function watchEvent(line: string): WatchEvent {
  try {
    const event = JSON.parse(line) as WatchEvent;
    if (typeof event.type === 'string' && event.object !== undefined) return event;
  } catch {
    // Said below: a line we cannot read may have been an event that we now miss.
  }
  throw new KubeError('malformed', 'the watch sent a line that is no event');
}

function cut(call: Call, error: unknown): KubeError {
  return new KubeError('transient', `the answer to ${call.verb} ${call.path} was cut: ${words(error)}`);
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
