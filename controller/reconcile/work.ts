import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type { Backoff } from '../queue/backoff.ts';
import type { WorkQueue } from '../queue/workqueue.ts';
import type { PassResult } from './loop.ts';

export interface WorkOptions {
  readonly queue: WorkQueue;
  readonly backoff: Backoff;
  readonly pass: (key: string) => Promise<PassResult>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly reconciled: (result: string, seconds: number) => void;
  readonly retried: () => void;
}

/** One worker: takes keys until the queue is closed. The only place where a result becomes a requeue. */
export async function work(options: WorkOptions): Promise<void> {
  const { queue, backoff, clock } = options;
  for (let key = await queue.take(); key !== undefined; key = await queue.take()) {
    const startedMs = clock.monotonic();
    const result = await guarded(options, key);
    options.log.debug({ job: key, result }, 'pass');
    options.reconciled(result.kind, (clock.monotonic() - startedMs) / 1000);
    queue.done(key);
    switch (result.kind) {
      case 'done':
        backoff.forget(key);
        break;
      case 'wait':
        backoff.forget(key);
        queue.addAfter(key, result.ms);
        break;
      case 'retry':
        options.retried();
        queue.addAfter(key, backoff.next(key));
        break;
    }
  }
}

/** A pass that throws is tried again later: nothing that one job does may stop the worker. */
async function guarded({ pass, log }: WorkOptions, key: string): Promise<PassResult> {
  try {
    return await pass(key);
  } catch (error) {
    log.warn({ job: key, error: error instanceof Error ? error.message : String(error) }, 'pass failed; tried again');
    return { kind: 'retry', why: String(error) };
  }
}
