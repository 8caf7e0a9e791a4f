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
}

/**
 * The eight calls to the API server that the operator makes, over one pool of kept-alive connections.
 * Every failure is a KubeError.
 */
export class KubeClient {
  readonly #connection: KubeConnection;
  readonly #agent: Agent;
  readonly #observe: KubeObserver | undefined;
  readonly #timeoutMs: number;

  constructor(options: KubeClientOptions) {
    const { connection } = options;
    this.#connection = connection;
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
      },
    });
  }

  get<T>(type: ResourceType, namespace: string | undefined, name: string): Promise<T> {
    return this.#json<T>({ verb: 'get', method: 'GET', path: path(type, namespace, name) });
  }

  /** One page of all namespaces, or of one. A page token that expired fails with kind `gone`. */
  async list<T>(
    type: ResourceType,
    options: { readonly namespace?: string; readonly limit?: number; readonly continueToken?: string | undefined } = {},
  ): Promise<ListPage<T>> {
    const page = await this.#json<{ items?: T[]; metadata?: { resourceVersion?: string; continue?: string } }>({
      verb: 'list',
      method: 'GET',
      path: path(type, options.namespace),
      query: { limit: options.limit === undefined ? undefined : String(options.limit), continue: options.continueToken },
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
    return this.#json<T>({
      verb: 'patch',
      method: 'PATCH',
      path: path(type, namespace, name),
      body: { metadata: { uid, resourceVersion, finalizers } },
      contentType: 'application/merge-patch+json',
    });
  }

  async delete(type: ResourceType, namespace: string | undefined, name: string): Promise<void> {
    await this.#json({ verb: 'delete', method: 'DELETE', path: path(type, namespace, name) });
  }

  /**
   * Events after `resourceVersion` until the server closes the stream or `signal` is aborted. A line that is no JSON throws
   * KubeError `malformed`; a 410 at the start throws `gone`; ERROR events are given to the caller.
   */
  async *watch(
    type: ResourceType,
    options: { readonly resourceVersion: string; readonly timeoutSeconds: number; readonly signal: AbortSignal },
  ): AsyncGenerator<WatchEvent> {
    const response = await this.#send(
      {
        verb: 'watch',
        method: 'GET',
        path: path(type),
        query: {
          watch: 'true',
          allowWatchBookmarks: 'true',
          resourceVersion: options.resourceVersion,
          timeoutSeconds: String(options.timeoutSeconds),
        },
      },
      { signal: options.signal, bodyTimeoutMs: 0 },
    );
    response.body.setEncoding('utf8');
    let rest = '';
    for await (const chunk of response.body as AsyncIterable<string>) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line.trim() !== '') yield watchEvent(line);
    }
    if (rest.trim() !== '') yield watchEvent(rest);
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }

  async #json<T>(call: Call): Promise<T> {
    const response = await this.#send(call, { bodyTimeoutMs: this.#timeoutMs });
    const text = await response.body.text().catch((error: unknown) => {
      throw new KubeError('transient', `the answer to ${call.verb} ${call.path} was cut: ${words(error)}`);
    });
    try {
      return JSON.parse(text) as T;
    } catch {
      throw new KubeError('malformed', `the answer to ${call.verb} ${call.path} is not JSON`);
    }
  }

  async #send(
    call: Call,
    options: { readonly signal?: AbortSignal; readonly bodyTimeoutMs: number },
  ): Promise<Dispatcher.ResponseData> {
    const url = new URL(call.path, this.#connection.server);
    for (const [name, value] of Object.entries(call.query ?? {})) if (value !== undefined) url.searchParams.set(name, value);
    let response: Dispatcher.ResponseData;
    try {
      response = await request(url, {
        method: call.method,
        dispatcher: this.#agent,
        headersTimeout: this.#timeoutMs,
        bodyTimeout: options.bodyTimeoutMs,
        ...(options.signal && { signal: options.signal }),
        headers: {
          accept: 'application/json',
          ...(await this.#connection.headers()),
          ...(call.body !== undefined && { 'content-type': call.contentType ?? 'application/json' }),
        },
        ...(call.body !== undefined && { body: JSON.stringify(call.body) }),
      });
    } catch (error) {
      this.#observe?.request(call.verb, 'error');
      throw new KubeError('transient', `${call.verb} ${call.path} got no answer: ${words(error)}`);
    }
    this.#observe?.request(call.verb, String(response.statusCode));
    if (response.statusCode < 300) return response;
    const retryAfter = response.headers['retry-after'];
    throw kubeError(response.statusCode, await response.body.text().catch(() => ''), retryAfter?.toString());
  }
}

export interface StatusApply {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string; readonly resourceVersion: string };
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

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
