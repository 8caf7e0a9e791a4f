import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type { KubeClient, KubeObject, ResourceType, WatchEvent } from './client.ts';
import { KubeError } from './errors.ts';
import { isOlderVersion, ObjectStore, storeKey } from './store.ts';

export interface ReflectorOptions {
  readonly client: KubeClient;
  readonly type: ResourceType;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called with the key of each object that came, changed or went; `priority` is low for what a list brings. */
  readonly onKey: (key: string, priority: 'event' | 'list') => void;
  /** A list found a difference that the watch, by the version it had reached, should have told. */
  readonly onMiss?: () => void;
  readonly pageSize?: number;
  readonly watchSeconds?: number;
  /** A watch without any event or bookmark for so long is taken for dead. */
  readonly progressTimeoutMs?: number;
  readonly auditMs?: number;
  readonly backoffMinMs?: number;
  readonly backoffMaxMs?: number;
}

/** `audit`: nothing is wrong, and a list is due that finds what the watch failed to tell. */
type StreamEnd = 'resume' | 'relist' | 'audit';

/**
 * Keeps an ObjectStore equal to the API server: list in pages, watch with bookmarks, resume where a stream ended, list anew
 * when that is not possible, and list from time to time to find what a watch failed to tell.
 */
export class Reflector<T extends KubeObject> {
  readonly store = new ObjectStore<T>();
  /** Resolves after the first complete list. */
  readonly synced: Promise<void>;
  readonly #options: Required<ReflectorOptions>;
  readonly #stopped = new AbortController();
  #resolveSynced: () => void = () => undefined;
  #lastListMs: number | undefined;
  #lastContactMs: number | undefined;
  #running: Promise<void> | undefined;

  constructor(options: ReflectorOptions) {
    this.#options = {
      onMiss: () => undefined,
      pageSize: 500,
      watchSeconds: 400,
      progressTimeoutMs: 90_000,
      auditMs: 600_000,
      backoffMinMs: 200,
      backoffMaxMs: 30_000,
      ...options,
    };
    this.synced = new Promise((resolve) => {
      this.#resolveSynced = resolve;
    });
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
  }

  /** Milliseconds since the API server last said anything about these objects; undefined before it ever did. */
  lastSyncAgeMs(): number | undefined {
    return this.#lastContactMs === undefined ? undefined : this.#options.clock.monotonic() - this.#lastContactMs;
  }

  async #run(): Promise<void> {
    const { clock, log, type, backoffMinMs, backoffMaxMs } = this.#options;
    const { signal } = this.#stopped;
    let version: string | undefined;
    let audited: string | undefined;
    let backoffMs = backoffMinMs;
    while (!signal.aborted) {
      const startedMs = clock.monotonic();
      try {
        version ??= await this.#list(audited);
        audited = undefined;
        const end = await this.#watch(version, (newest) => {
          version = newest;
          // A stream that told something was a good one, however it ends.
          backoffMs = backoffMinMs;
        });
        if (end === 'audit') audited = version;
        if (end !== 'resume') version = undefined;
        backoffMs = backoffMinMs;
        // A server that closes every stream at once must not be asked in a tight loop.
        if (clock.monotonic() - startedMs < 1000) await clock.sleep(backoffMinMs, signal);
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof KubeError && (error.kind === 'gone' || error.kind === 'malformed')) version = undefined;
        log.warn({ resource: type.plural, error: String(error), backoffMs }, 'list or watch failed');
        await clock.sleep(backoffMs * (0.5 + Math.random() / 2), signal);
        backoffMs = Math.min(backoffMaxMs, backoffMs * 2);
      }
    }
  }

  /**
   * Lists everything, in pages; a page token that expires in the middle starts the list anew. Returns its version. After a
   * watch that reached `audited` without an error, whatever is different and not newer is a miss of that watch.
   */
  async #list(audited: string | undefined): Promise<string> {
    const { client, type, pageSize, clock, onMiss } = this.#options;
    const { signal } = this.#stopped;
    const first = this.#lastListMs === undefined;
    const seen = new Map<string, T>();
    let continueToken: string | undefined;
    let resourceVersion = '';
    const changesBefore = this.store.changes;
    do {
      const page = await client.list<T>(type, { limit: pageSize, continueToken, signal });
      for (const item of page.items) {
        const object = lean(item);
        seen.set(storeKey(object), object);
      }
      ({ resourceVersion, continueToken } = page);
    } while (continueToken !== undefined);
    this.#contact();
    for (const [key, object] of seen) {
      const changed = this.store.settle(object, changesBefore);
      if (changed && audited !== undefined && !isOlderVersion(audited, object.metadata.resourceVersion)) onMiss();
      if (changed || first) this.#tell(key, 'list');
    }
    for (const object of this.store.list()) {
      const key = storeKey(object);
      if (seen.has(key)) continue;
      this.store.remove(object);
      if (audited !== undefined) onMiss();
      this.#tell(key, 'list');
    }
    this.#lastListMs = clock.monotonic();
    this.#resolveSynced();
    return resourceVersion;
  }

  /** Follows one stream. Resolves when it ended; `advance` is told each version that was reached. */
  async #watch(resourceVersion: string, advance: (version: string) => void): Promise<StreamEnd> {
    const { client, type, clock, watchSeconds, progressTimeoutMs, auditMs } = this.#options;
    const stream = new AbortController();
    const stop = (): void => stream.abort();
    this.#stopped.signal.addEventListener('abort', stop);
    let silent = false;
    let cancelTimer: (() => void) | undefined;
    const progress = (): void => {
      cancelTimer?.();
      cancelTimer = clock.after(progressTimeoutMs, () => {
        silent = true;
        stop();
      });
    };
    progress();
    const jittered = Math.round(watchSeconds * (0.75 + Math.random() / 2));
    try {
      for await (const event of client.watch(type, {
        resourceVersion,
        timeoutSeconds: jittered,
        signal: stream.signal,
      })) {
        progress();
        this.#contact();
        const end = this.#take(event, advance);
        if (end) return end;
        if (clock.monotonic() - (this.#lastListMs ?? 0) >= auditMs) return 'audit';
      }
      return clock.monotonic() - (this.#lastListMs ?? 0) >= auditMs ? 'audit' : 'resume';
    } catch (error) {
      if (silent || this.#stopped.signal.aborted) return 'resume';
      throw error;
    } finally {
      cancelTimer?.();
      stop();
      this.#stopped.signal.removeEventListener('abort', stop);
    }
  }

  #take(event: WatchEvent, advance: (version: string) => void): StreamEnd | undefined {
    if (event.type === 'ERROR') {
      this.#options.log.warn(
        { resource: this.#options.type.plural, event: event.object },
        'watch sent an error; listing anew',
      );
      return 'relist';
    }
    const object = lean(event.object as T);
    const version = object.metadata?.resourceVersion;
    if (typeof version !== 'string')
      throw new KubeError('malformed', 'the watch sent an object without resourceVersion');
    if (event.type !== 'BOOKMARK') {
      const changed = event.type === 'DELETED' ? this.store.remove(object) : this.store.set(object);
      if (changed) this.#tell(storeKey(object), 'event');
    }
    advance(version);
    return undefined;
  }

  #contact(): void {
    this.#lastContactMs = this.#options.clock.monotonic();
  }

  /** A handler that throws must not end the reflector: the next list would be the last. */
  #tell(key: string, priority: 'event' | 'list'): void {
    try {
      this.#options.onKey(key, priority);
    } catch (error) {
      this.#options.log.error({ key, error: String(error) }, 'handler of a change failed');
    }
  }
}

/** Without what nobody reads and what makes up half of an object. */
function lean<T extends KubeObject>(object: T): T {
  const metadata = object.metadata as { managedFields?: unknown; annotations?: Record<string, string> } | undefined;
  if (metadata) {
    delete metadata.managedFields;
    delete metadata.annotations?.['kubectl.kubernetes.io/last-applied-configuration'];
  }
  return object;
}
