import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { KubeObserver } from '../kube/client.ts';
import type { QueueObserver } from '../queue/workqueue.ts';
import type { RunpodObserver } from '../runpod/client.ts';
import type { QuotaObserver } from '../runpod/quota.ts';
import type { PullResult } from '../telemetry/pull/puller.ts';
import type { TelemetryObserver } from '../telemetry/telemetry.ts';

/** Metrics of the process itself: few series, whatever the number of jobs. */
export interface ProcessMetrics {
  readonly queue: QueueObserver;
  /** For the calls of one account. */
  readonly runpod: (account: string) => RunpodObserver & QuotaObserver;
  readonly kube: KubeObserver;
  readonly telemetry: TelemetryObserver;
  readonly pulled: (result: PullResult) => void;
  readonly reconciled: (result: string, seconds: number) => void;
  readonly cacheMiss: () => void;
  readonly swept: (reason: string) => void;
  /** The exposition format of Prometheus. */
  readonly render: () => Promise<string>;
}

const seconds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30];

export function processMetrics(): ProcessMetrics {
  const registers = [new Registry()];
  collectDefaultMetrics({ register: registers[0] as Registry });
  const name = 'trainingjob';
  const added = new Counter({ name: 'workqueue_adds_total', help: 'Keys added.', labelNames: ['name'], registers });
  const depth = new Gauge({ name: 'workqueue_depth', help: 'Keys that wait.', labelNames: ['name'], registers });
  const latency = new Histogram({
    name: 'workqueue_queue_duration_seconds',
    help: 'Time a key waited.',
    labelNames: ['name'],
    buckets: seconds,
    registers,
  });
  const work = new Histogram({
    name: 'workqueue_work_duration_seconds',
    help: 'Time a key was worked on.',
    labelNames: ['name'],
    buckets: seconds,
    registers,
  });
  const retries = new Counter({
    name: 'workqueue_retries_total',
    help: 'Keys that came back after a failure.',
    labelNames: ['name'],
    registers,
  });
  const passes = new Counter({
    name: 'trainingjob_reconcile_total',
    help: 'Passes by result.',
    labelNames: ['result'],
    registers,
  });
  const passTime = new Histogram({
    name: 'trainingjob_reconcile_duration_seconds',
    help: 'Time of a pass.',
    buckets: seconds,
    registers,
  });
  const calls = new Counter({
    name: 'runpod_requests_total',
    help: 'Calls to Runpod by account, operation and HTTP status.',
    labelNames: ['account', 'operation', 'code'],
    registers,
  });
  const callTime = new Histogram({
    name: 'runpod_request_duration_seconds',
    help: 'Time of a call to Runpod.',
    labelNames: ['account', 'operation'],
    buckets: seconds,
    registers,
  });
  const quota = new Gauge({
    name: 'runpod_ratelimit_remaining',
    help: 'Requests left in a window of the rate limit.',
    labelNames: ['account', 'window'],
    registers,
  });
  const kube = new Counter({
    name: 'trainingjob_kube_requests_total',
    help: 'Requests to the API server by verb and HTTP status.',
    labelNames: ['verb', 'code'],
    registers,
  });
  const batches = new Counter({
    name: 'trainingjob_telemetry_batches_total',
    help: 'Batches of trainers by result.',
    labelNames: ['result'],
    registers,
  });
  const pulls = new Counter({
    name: 'trainingjob_telemetry_pulls_total',
    help: 'Calls of pods by result.',
    labelNames: ['result'],
    registers,
  });
  const points = new Counter({ name: 'trainingjob_telemetry_points_total', help: 'Points made durable.', registers });
  const misses = new Counter({
    name: 'trainingjob_reflector_cache_misses_total',
    help: 'Differences that a list found and the watch had not told.',
    registers,
  });
  const swept = new Counter({
    name: 'trainingjob_sweeper_terminated_total',
    help: 'Orphaned pods ended, by reason.',
    labelNames: ['reason'],
    registers,
  });
  return {
    queue: {
      add: () => added.inc({ name }),
      depth: (items) => depth.set({ name }, items),
      latencySeconds: (value) => latency.observe({ name }, value),
      workSeconds: (value) => work.observe({ name }, value),
      retry: () => retries.inc({ name }),
    },
    runpod: (account) => ({
      request(operation, code, value) {
        calls.inc({ account, operation, code });
        callTime.observe({ account, operation }, value);
      },
      quota: (window, remaining) => quota.set({ account, window }, remaining),
    }),
    kube: { request: (verb, code) => kube.inc({ verb, code }) },
    telemetry: { batch: (result) => batches.inc({ result }), points: (count) => points.inc(count) },
    pulled: (result) => pulls.inc({ result }),
    reconciled(result, value) {
      passes.inc({ result });
      passTime.observe(value);
    },
    cacheMiss: () => misses.inc(),
    swept: (reason) => swept.inc({ reason }),
    render: async () => (registers[0] as Registry).metrics(),
  };
}
