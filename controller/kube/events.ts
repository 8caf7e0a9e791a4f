import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type { KubeClient } from './client.ts';
import { KubeError } from './errors.ts';
import { events } from './resources.ts';

/** The object that an Event is about. */
export interface EventSubject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly uid: string };
}

export interface EventNote {
  readonly type: 'Normal' | 'Warning';
  /** UpperCamelCase, at most 128 characters. */
  readonly reason: string;
  /** Cut to the API server's 1024 bytes. */
  readonly message: string;
}

export interface EventRecorderOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  /** Shown as the Event's origin. */
  readonly component: string;
  /** This process among its replicas. */
  readonly instance: string;
  /** For subjects that came from a list, whose items carry neither. */
  readonly subjectKind: { readonly apiVersion: string; readonly kind: string };
  readonly seriesMs?: number;
  readonly mostQueued?: number;
}

interface Series {
  readonly name: string;
  readonly namespace: string;
  readonly firstAtMs: number;
  count: number;
}

type Send = () => Promise<unknown>;

const mostSeries = 4096;

/**
 * Writes Kubernetes Events, the history that `kubectl describe` shows. Best effort: nothing here throws into a caller or makes
 * one wait, and what does not fit the queue is dropped and counted. The same words about the same object within the series'
 * time become one Event with a count.
 */
export class EventRecorder {
  readonly #options: Required<EventRecorderOptions>;
  readonly #series = new Map<string, Series>();
  readonly #queue: Send[] = [];
  readonly #closed = new AbortController();
  #sending: Promise<void> | undefined;
  #dropped = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = { seriesMs: 600_000, mostQueued: 1000, ...options };
  }

  /** Events that were given up because the queue was full or the API server did not take them. */
  get dropped(): number {
    return this.#dropped;
  }

  emit(subject: EventSubject, note: EventNote): void {
    const { clock, client } = this.#options;
    if (this.#closed.signal.aborted) return;
    const nowMs = clock.now();
    const known = this.#known(subject, note, nowMs);
    if (!known) {
      const event = this.#event(subject, note, nowMs);
      this.#enqueue(() => client.create(events, event.metadata.namespace, event));
      return;
    }
    known.count += 1;
    // Counts at 2, 4, 8, …: an object that says the same a thousand times costs ten writes.
    if (!Number.isInteger(Math.log2(known.count))) return;
    const series = { count: known.count, lastObservedTime: microTime(nowMs) };
    this.#enqueue(() => client.mergePatch(events, known.namespace, known.name, { series }));
  }

  /** Sends what is queued, for `ms` at most, and takes nothing more. */
  async close(ms = 2000): Promise<void> {
    const drained = this.#sending ?? Promise.resolve();
    await Promise.race([drained, this.#options.clock.sleep(ms)]);
    this.#closed.abort();
    this.#queue.length = 0;
  }

  #known(subject: EventSubject, note: EventNote, nowMs: number): Series | undefined {
    for (const [id, series] of this.#series) {
      if (nowMs - series.firstAtMs < this.#options.seriesMs && this.#series.size < mostSeries) break;
      this.#series.delete(id);
    }
    return this.#series.get(seriesID(subject, note));
  }

  #event(subject: EventSubject, note: EventNote, nowMs: number): { readonly metadata: { readonly namespace: string } } {
    const { component, instance, subjectKind } = this.#options;
    const { name, namespace = 'default', uid } = subject.metadata;
    const eventName = `${name.slice(0, 200).replace(/[-.]+$/, '')}.${randomBytes(8).toString('hex')}`;
    this.#series.set(seriesID(subject, note), { name: eventName, namespace, firstAtMs: nowMs, count: 1 });
    return {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name: eventName, namespace },
      eventTime: microTime(nowMs),
      type: note.type,
      reason: note.reason.slice(0, 128),
      note: cut(note.message, 1024),
      action: 'Reconcile',
      regarding: {
        apiVersion: subject.apiVersion ?? subjectKind.apiVersion,
        kind: subject.kind ?? subjectKind.kind,
        name,
        namespace,
        uid,
      },
      reportingController: component,
      reportingInstance: instance,
    } as { readonly metadata: { readonly namespace: string } };
  }

  #enqueue(send: Send): void {
    if (this.#queue.length >= this.#options.mostQueued) {
      this.#dropped += 1;
      return;
    }
    this.#queue.push(send);
    this.#sending ??= this.#sendAll();
  }

  async #sendAll(): Promise<void> {
    for (let send = this.#queue.shift(); send; send = this.#queue.shift()) {
      try {
        await this.#sendTwice(send);
      } catch (error) {
        this.#dropped += 1;
        this.#options.log.warn({ error: String(error) }, 'a Kubernetes Event was not taken');
      }
    }
    // In the same turn as the look that found the queue empty, or an Event emitted in between would wait for the next.
    this.#sending = undefined;
  }

  /** A second try bridges a restart of the API server; more would hold back what is newer. */
  async #sendTwice(send: Send): Promise<void> {
    try {
      await send();
    } catch (error) {
      if (!(error instanceof KubeError) || (error.kind !== 'transient' && error.kind !== 'tooManyRequests'))
        throw error;
      await this.#options.clock.sleep(error.retryAfterMs ?? 1000, this.#closed.signal);
      await send();
    }
  }
}

function seriesID(subject: EventSubject, note: EventNote): string {
  return [subject.metadata.uid, note.type, note.reason, note.message].join('\n');
}

function microTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}

/** The longest beginning of whole characters that fits. */
function cut(text: string, mostBytes: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= mostBytes) return text;
  return `${bytes
    .subarray(0, mostBytes - 3)
    .toString('utf8')
    .replace(/\uFFFD+$/, '')}…`;
}
