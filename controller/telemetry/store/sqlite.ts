import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { AppendResult, AttemptRow, RunRow, StoredBatch, TelemetryStore } from './store.ts';
import type { StoreReply, StoreRequest } from './sqlite.worker.ts';

interface Waiter {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** A TelemetryStore in one SQLite file. Rejects when the file cannot be opened or written; then nothing was acknowledged. */
export function openSqliteStore(path: string): TelemetryStore {
  const file = new URL(`./sqlite.worker${extname(import.meta.url)}`, import.meta.url);
  const waiters = new Map<number, Waiter>();
  let nextID = 1;
  let broken: Error | undefined;
  let closing: (() => void) | undefined;
  let worker = start();

  function start(): Worker {
    const started = new Worker(file, { workerData: { path } });
    const fail = (error: Error): void => {
      if (worker !== started) return;
      broken ??= new Error(`the telemetry store ${path} failed: ${error.message}`);
      for (const waiter of waiters.values()) waiter.reject(broken);
      waiters.clear();
      closing?.();
    };
    started.on('error', fail);
    started.on('exit', () => fail(new Error('its thread ended')));
    started.on('message', (reply: StoreReply | 'closed') => {
      if (reply === 'closed') return closing?.();
      const waiter = waiters.get(reply.id);
      waiters.delete(reply.id);
      if ('error' in reply) waiter?.reject(new Error(`the telemetry store ${path} failed: ${reply.error}`));
      else waiter?.resolve(reply.value);
    });
    return started;
  }

  const ask = <T>(request: StoreRequest): Promise<T> => {
    if (broken) return Promise.reject(broken);
    const id = nextID;
    nextID += 1;
    return new Promise<T>((resolve, reject) => {
      waiters.set(id, { resolve: resolve as (value: unknown) => void, reject });
      worker.postMessage({ id, request });
    });
  };

  return {
    putAttempt: (row) => ask({ kind: 'putAttempt', row }),
    pinPod: (uid, attempt, podID) => ask({ kind: 'pinPod', uid, attempt, podID }),
    closeAttempt: (uid, attempt) => ask({ kind: 'closeAttempt', uid, attempt }),
    putRun: (row) => ask({ kind: 'putRun', row }),
    runs: () => ask<readonly RunRow[]>({ kind: 'runs' }),
    append: (row) => ask<AppendResult>({ kind: 'append', row }),
    attempts: () => ask<readonly AttemptRow[]>({ kind: 'attempts' }),
    batches: (afterID, limit, uid) =>
      ask<readonly StoredBatch[]>({ kind: 'batches', afterID, limit, uid: uid ?? null }),
    forgetJob: (uid) => ask({ kind: 'forgetJob', uid }),
    check() {
      if (broken && !closing) {
        broken = undefined;
        worker = start();
      }
      return ask({ kind: 'check' });
    },
    async close() {
      await new Promise<void>((resolve) => {
        closing = resolve;
        if (broken) resolve();
        else worker.postMessage('close');
      });
      await worker.terminate();
    },
  };
}
