import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { JobMetrics, type JobSeries } from '../../controller/metrics/jobs.ts';
import { processMetrics, type ProcessMetrics } from '../../controller/metrics/registry.ts';
import { operationsServer } from '../../controller/metrics/server.ts';
import { parseExposition, type Sample } from './exposition.ts';

let failing = false;
const metrics: ProcessMetrics = processMetrics();
const jobs = new JobMetrics();
const reasons: string[] = [];
const server = operationsServer({
  metrics: async () => {
    if (failing) throw new Error('made up');
    return (await metrics.render()) + jobs.render();
  },
  ready: () => ({ ready: reasons.length === 0, reasons }),
});
let url: string;
beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const scrape = async () => parseExposition(await (await fetch(`${url}/metrics`)).text());
const samplesOf = async (name: string): Promise<readonly Sample[]> => (await scrape()).get(name)?.samples ?? [];

const full: JobSeries = {
  namespace: 'team',
  name: 'a',
  phase: 'Running',
  step: 0,
  totalSteps: 100,
  trainLoss: 0.5,
  evalLoss: 1e-7,
  score: -0.25,
  bestScore: -0.5,
  bestStep: 20,
  pricePerHourUsd: 2.99,
  costUsd: 12.5,
  lastReportSeconds: 1.75e9,
  attempt: 3,
  retries: { user: 0, host: 2 },
  trials: { complete: 3, pruned: 0, failed: 1 },
};

/** What the operator itself does to each metric once. */
function use(): void {
  metrics.queue.add();
  metrics.queue.depth(3);
  metrics.queue.latencySeconds(0.2);
  metrics.queue.workSeconds(0.01);
  metrics.queue.retry();
  metrics.runpod('default').request('create', '201', 0.4);
  metrics.runpod('default').quota('minute', 59);
  metrics.kube.request('list', '200');
  metrics.telemetry.batch('stored');
  metrics.telemetry.points(20);
  metrics.reconciled('done', 0.003);
  metrics.cacheMiss();
  metrics.swept('orphan');
}

describe('/metrics', () => {
  test('is the text format of Prometheus, with its content type', async () => {
    use();
    jobs.replace([['u1', full]]);
    const response = await fetch(`${url}/metrics?ignored=1`);
    expect([response.status, response.headers.get('content-type')]).toEqual([
      200,
      'text/plain; version=0.0.4; charset=utf-8',
    ]);
    expect(parseExposition(await response.text()).size).toBeGreaterThan(30);
  });

  test.each([
    ['GET', '/', 404],
    ['GET', '/metrics/x', 404],
    ['GET', '/healthz', 200],
    ['HEAD', '/readyz', 200],
    ['POST', '/metrics', 405],
    ['DELETE', '/metrics', 405],
    ['HEAD', '/metrics', 200],
  ])('%s %s: %i', async (method, path, status) => {
    const response = await fetch(url + path, { method });
    expect(response.status).toBe(status);
    if (status === 405) expect(response.headers.get('allow')).toBe('GET, HEAD');
    if (status === 404) expect(await response.text()).toBe('metrics are at /metrics, probes at /healthz and /readyz\n');
  });

  test('a process that is not ready says why', async () => {
    reasons.push('standing by');
    const response = await fetch(`${url}/readyz`);
    reasons.length = 0;
    expect(response.status).toBe(503);
    expect(await response.text()).toBe('standing by\n');
  });

  test('a failure is a 500, and the next scrape is good again', async () => {
    failing = true;
    expect((await fetch(`${url}/metrics`)).status).toBe(500);
    failing = false;
    expect((await fetch(`${url}/metrics`)).status).toBe(200);
  });

  test('names carry their units: counters end in _total, durations in _seconds, and only counters do', async () => {
    use();
    for (const { name, type } of (await scrape()).values()) {
      // What the Node library itself names otherwise.
      if (name.startsWith('nodejs_')) continue;
      expect(name).toMatch(/^[a-z][a-z0-9_]*$/);
      expect([name, name.endsWith('_total')]).toEqual([name, type === 'counter']);
      if (type === 'histogram') expect(name).toMatch(/_seconds$/);
      expect(name).not.toMatch(/_(ms|milliseconds|minutes|kb|mb|count|percent)$/);
      if (/duration|latency|timestamp/.test(name)) expect(name).toMatch(/_seconds$/);
    }
  });

  test.each([
    ['process_cpu_seconds_total', 'counter'],
    ['process_resident_memory_bytes', 'gauge'],
    ['nodejs_eventloop_lag_seconds', 'gauge'],
    ['workqueue_depth', 'gauge'],
    ['workqueue_adds_total', 'counter'],
    ['workqueue_queue_duration_seconds', 'histogram'],
    ['workqueue_work_duration_seconds', 'histogram'],
    ['workqueue_retries_total', 'counter'],
    ['trainingjob_reconcile_total', 'counter'],
    ['trainingjob_reconcile_duration_seconds', 'histogram'],
    ['runpod_requests_total', 'counter'],
    ['runpod_request_duration_seconds', 'histogram'],
    ['runpod_ratelimit_remaining', 'gauge'],
    ['trainingjob_kube_requests_total', 'counter'],
    ['trainingjob_telemetry_batches_total', 'counter'],
    ['trainingjob_telemetry_points_total', 'counter'],
    ['trainingjob_reflector_cache_misses_total', 'counter'],
    ['trainingjob_sweeper_terminated_total', 'counter'],
  ])('has %s (%s)', async (name, type) => {
    use();
    const family = (await scrape()).get(name);
    expect(family?.type).toBe(type);
    expect(family?.samples.length).toBeGreaterThan(0);
  });

  test('counts what was done', async () => {
    const before = (await samplesOf('runpod_requests_total'))[0]?.value ?? 0;
    use();
    expect(await samplesOf('runpod_requests_total')).toEqual([
      {
        name: 'runpod_requests_total',
        labels: { account: 'default', operation: 'create', code: '201' },
        value: before + 1,
      },
    ]);
    expect(await samplesOf('workqueue_depth')).toMatchObject([{ labels: { name: 'trainingjob' }, value: 3 }]);
  });
});

describe('series of a job', () => {
  test.each<[string, number]>([
    ['trainingjob_step', 0],
    ['trainingjob_total_steps', 100],
    ['trainingjob_train_loss', 0.5],
    ['trainingjob_eval_loss', 1e-7],
    ['trainingjob_score', -0.25],
    ['trainingjob_best_score', -0.5],
    ['trainingjob_best_step', 20],
    ['trainingjob_price_usd_per_hour', 2.99],
    ['trainingjob_cost_usd', 12.5],
    ['trainingjob_last_report_timestamp_seconds', 1.75e9],
    ['trainingjob_attempt', 3],
  ])('%s', async (name, value) => {
    jobs.replace([['u1', full]]);
    expect(await samplesOf(name)).toEqual([{ name, labels: { namespace: 'team', name: 'a' }, value }]);
  });

  test('retries have one series for each kind of fault', async () => {
    jobs.replace([['u1', full]]);
    const name = 'trainingjob_retries';
    const labels = { namespace: 'team', name: 'a' };
    expect(await samplesOf(name)).toEqual([
      { name, labels: { ...labels, fault: 'user' }, value: 0 },
      { name, labels: { ...labels, fault: 'host' }, value: 2 },
    ]);
  });

  test('the phase is one series, of the phase that holds', async () => {
    for (const phase of ['Pending', 'Running', 'Succeeded']) {
      jobs.replace([['u1', { ...full, phase }]]);
      expect(await samplesOf('trainingjob_status_phase')).toMatchObject([{ labels: { phase }, value: 1 }]);
    }
  });

  test('what is not known has no sample; zero has one', async () => {
    jobs.replace([['u1', { namespace: 'team', name: 'new', phase: 'Pending', step: undefined, costUsd: 0 }]]);
    const families = await scrape();
    const present = [...families.values()].filter(({ samples }) =>
      samples.some(({ labels }) => labels['name'] === 'new'),
    );
    expect(present.map(({ name }) => name).sort()).toEqual(['trainingjob_cost_usd', 'trainingjob_status_phase']);
  });

  test('a value that is no longer known goes, and so does every series of a deleted job', async () => {
    jobs.replace([
      ['u1', full],
      ['u2', { ...full, name: 'b' }],
    ]);
    expect((await samplesOf('trainingjob_score')).map(({ labels }) => labels['name'])).toEqual(['a', 'b']);
    jobs.replace([['u2', { ...full, name: 'b', score: undefined }]]);
    expect(await samplesOf('trainingjob_score')).toEqual([]);
    expect((await samplesOf('trainingjob_step')).map(({ labels }) => labels['name'])).toEqual(['b']);
    jobs.replace([]);
    for (const { name, samples } of (await scrape()).values()) {
      if (/^trainingjob_(step|total|train|eval|score|best|price|cost|last|status)/.test(name))
        expect(samples).toEqual([]);
    }
  });

  test('made again under its name, a job has one series, of the new one', async () => {
    jobs.replace([['u1', full]]);
    jobs.replace([['u2', { ...full, step: 7 }]]);
    expect(await samplesOf('trainingjob_step')).toMatchObject([{ value: 7 }]);
  });

  test('whatever stands in a name comes back as it was, in one series', () => {
    const name = fc.string({ unit: fc.constantFrom('"', '\\', '\n', 'n', '{', '}', ',', '=', ' ', 'ü', '漢', '#') });
    fc.assert(
      fc.property(fc.uniqueArray(name, { minLength: 1, maxLength: 5 }), name, (names, namespace) => {
        const hostile = new JobMetrics();
        hostile.replace(
          names.map((each, index) => [String(index), { ...full, namespace, name: each, phase: each }] as const),
        );
        const families = parseExposition(hostile.render());
        for (const { samples } of families.values())
          expect([...new Set(samples.map(({ labels }) => labels['name']))]).toEqual(names);
        const phases = families.get('trainingjob_status_phase')?.samples ?? [];
        expect(phases.map(({ labels }) => labels)).toEqual(
          names.map((each) => ({ namespace, name: each, phase: each })),
        );
      }),
    );
  });

  test('any number that a trainer can report is a number to Prometheus', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (score) => {
        const one = new JobMetrics();
        one.set('u1', { ...full, score });
        expect(parseExposition(one.render()).get('trainingjob_score')?.samples[0]?.value).toBe(score + 0);
      }),
    );
  });
});

describe('the parser of these tests refuses', () => {
  const head = '# HELP a A.\n# TYPE a gauge\n';
  test.each([
    ['a series twice', `${head}a 1\na 2\n`, 'series twice'],
    ['a series twice with its labels in another order', `${head}a{b="1",c="2"} 1\na{c="2",b="1"} 2\n`, 'series twice'],
    ['a family twice', `${head}a 1\n${head}a{b="1"} 2\n`, 'begins twice'],
    ['a sample without a type', 'a 1\n', 'before its TYPE'],
    ['a sample under another family', `${head}b 1\n`, 'stands under a'],
    ['a quote that is not escaped', `${head}a{b="""} 1\n`, 'no labels'],
    ['an escape that is none', `${head}a{b="\\t"} 1\n`, 'no labels'],
    ['a word for a number', `${head}a Infinity\n`, 'no number'],
    ['a cut last line', `${head}a 1`, 'does not end'],
  ])('%s', (_, text, why) => {
    expect(() => parseExposition(text)).toThrow(why);
  });
});
