import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TrainingJob } from '../../controller/api/trainingjob.ts';
import { kubectl } from '../controlplane/crds.ts';
import { condition, startRig, type DeepPartial, type Rig } from '../rig/rig.ts';
import { python, trainerImage, trainerImages, writePatients } from '../rig/trainer.ts';

/** An operator that pods can call, and one that needs no address. */
const reachable = { TRAINER_IMAGE: trainerImage };
const withoutAddress = { TRAINER_IMAGE: trainerImage, TELEMETRY_TRANSPORT: 'Pull', TELEMETRY_URL: '' };

let rig: Rig;
let namespace: string;
beforeAll(async () => {
  rig = await startRig({
    images: trainerImages,
    volumes: [{ id: 'vol', name: 'vol', dataCenter: 'EU-RO-1', size: 10 }],
  });
  await writePatients(join(rig.simulator.volumeFolder('vol'), 'data'));
  await rig.start(reachable);
  namespace = await rig.namespace();
  await kubectl(rig.plane, ['create', 'serviceaccount', 'reader', '-n', namespace]);
  const grant = ['clusterrolebinding', 'reader', '--clusterrole=cluster-admin'];
  await kubectl(rig.plane, ['create', ...grant, `--serviceaccount=${namespace}:reader`]);
});
afterAll(() => rig.stop());

const compute = {
  candidates: [{ name: 'cpu', cpu: { flavor: 'cpu3c', vcpus: 2 } }],
  networkVolume: { id: 'vol', mountPath: '/volume' },
};

function table(rounds: number, everySteps: number, more: DeepPartial = {}): DeepPartial {
  return {
    trainer: {
      tabular: {
        modelType: 'xgboost_binary_classification',
        dataset: { source: 'file:///volume/data/patients.csv' },
        target: 'above_median',
        parameters: { nEstimators: rounds, maxDepth: 2, learningRate: '0.03' },
      },
      env: [{ name: 'OMP_NUM_THREADS', value: '1' }],
    },
    compute,
    evaluation: { everySteps },
    checkpoints: { uri: 'file:///volume/checkpoints' },
    output: { uri: 'file:///volume/models' },
    scoring: { strategy: 'MultiMetric' },
    ...more,
  };
}

const script = (text: string, more: DeepPartial = {}): DeepPartial => ({
  trainer: { custom: { command: [python, '-c', text] } },
  compute,
  ...more,
});
const finished = (name: string): Promise<TrainingJob> =>
  rig.until(namespace, name, ({ status }) => status?.completionTime !== undefined, 120_000);
const bill = (name: string): ReturnType<Rig['simulator']['bill']> =>
  rig.simulator.bill().filter((line) => line.name.endsWith(`-${name}`));

async function items(job: TrainingJob, what: string): Promise<readonly Record<string, unknown>[]> {
  const token = (await kubectl(rig.plane, ['create', 'token', 'reader', '-n', namespace])).trim();
  const response = await fetch(`${rig.telemetryUrl}/v1/jobs/${job.metadata.uid}/${what}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  expect(response.status).toBe(200);
  return ((await response.json()) as { items: Record<string, unknown>[] }).items;
}

describe('a job whose pod is called', () => {
  test('comes to the same numbers as one whose pod calls', async () => {
    await rig.create(namespace, 'pushed', table(60, 10));
    await rig.create(namespace, 'pulled', table(60, 10, { telemetry: { transport: 'Pull' } }));
    const [pushed, pulled] = [await finished('pushed'), await finished('pulled')];
    expect(pushed.status).toMatchObject({ phase: 'Succeeded', attempt: { transport: 'Push' } });
    expect(pulled.status).toMatchObject({ phase: 'Succeeded', attempt: { transport: 'Pull', deadMan: 'Armed' } });
    const numbers = async (job: TrainingJob): Promise<readonly object[]> =>
      (await items(job, 'evaluations')).map(({ time: _time, ...rest }) => rest);
    expect(await numbers(pulled)).toHaveLength(6);
    expect(await numbers(pulled)).toEqual(await numbers(pushed));
    const model = (job: TrainingJob): Buffer => {
      const { pathname } = new URL(job.status?.output?.uri ?? '');
      return readFileSync(join(rig.simulator.volumeFolder('vol'), pathname.replace('/volume', ''), 'model.json'));
    };
    expect(model(pulled).equals(model(pushed))).toBe(true);
    expect(pulled.status?.metrics).toEqual(pushed.status?.metrics);
    const env = rig.simulator.pods.all().find(({ id }) => id === pulled.status?.attempt?.podID)?.body.env;
    expect(env).not.toHaveProperty('TRAININGJOB_URL');
    const metrics = await (await fetch(rig.metricsUrl)).text();
    expect(metrics).toMatch(/trainingjob_telemetry_pulls_total\{result="question"\} \d/);
  }, 180_000);

  test('is suspended with a checkpoint, and its next attempt takes the transport that the job then asks for', async () => {
    await rig.create(namespace, 'turned', table(3000, 100, { telemetry: { transport: 'Pull' } }));
    await rig.until(namespace, 'turned', ({ status }) => (status?.progress?.step ?? 0) >= 200, 60_000);
    await rig.patch(namespace, 'turned', { spec: { suspend: true, telemetry: { transport: 'Push' } } });
    const still = await rig.until(namespace, 'turned', ({ status }) => status?.phase === 'Suspended', 60_000);
    expect(still.status?.attempt?.transport).toBe('Pull');
    expect(still.status?.checkpoint?.verified).toBe(true);
    await rig.patch(namespace, 'turned', { spec: { suspend: false } });
    const done = await finished('turned');
    expect(done.status).toMatchObject({
      phase: 'Succeeded',
      attempt: { number: 2, transport: 'Push', resumedFromStep: still.status?.checkpoint?.step },
    });
  }, 240_000);
});

describe('an operator without an address', () => {
  beforeAll(async () => {
    await rig.kill();
    await rig.start(withoutAddress);
  });

  test('tells a job that wants to call it what to write, and runs it then', async () => {
    const text = 'from trainingjob import report; report(1, {"train/loss": 1.0})';
    await rig.create(namespace, 'lost', script(text, { telemetry: { transport: 'Push' } }));
    const told = await rig.until(
      namespace,
      'lost',
      (job) => condition(job, 'Stalled')?.reason === 'TelemetryAddressMissing',
    );
    expect(condition(told, 'Ready')?.message).toContain('write spec.telemetry: {transport: Pull}');
    expect(bill('lost')).toEqual([]);
    await rig.patch(namespace, 'lost', { spec: { telemetry: null } });
    expect((await finished('lost')).status).toMatchObject({ phase: 'Succeeded', attempt: { transport: 'Pull' } });
  }, 120_000);

  test('is killed while a job trains, and the proxy fails: the same pod goes on, no point is lost or doubled', async () => {
    await rig.create(namespace, 'outlives', table(3000, 100));
    const before = await rig.until(namespace, 'outlives', ({ status }) => (status?.progress?.step ?? 0) > 0, 60_000);
    expect(before.status?.progress?.step).toBeLessThan(3000);
    await rig.kill();
    // For whoever calls next, while the training goes on.
    rig.simulator.fault({ kind: 'loseProxyReply', times: 3 });
    rig.simulator.fault({ kind: 'proxyAway', times: 3 });
    await rig.start(withoutAddress);
    const after = await finished('outlives');
    expect(rig.simulator.faults.list()).toEqual([]);
    expect(after.status?.phase).toBe('Succeeded');
    expect(after.status?.attempt?.podID).toBe(before.status?.attempt?.podID);
    expect(bill('outlives')).toHaveLength(1);
    const steps = (await items(after, 'points?limit=10000')).map((item) => item['step']);
    expect(steps).toEqual(Array.from({ length: 120 }, (_, index) => (index + 1) * 25));
  }, 240_000);

  test('ends a job at its deadline: the stop reaches the trainer', async () => {
    const text = `
import sys, time
from trainingjob import report, should_stop
report(1, {"train/loss": 1.0})
while not should_stop():
    time.sleep(0.02)
sys.exit(130)
`;
    await rig.create(namespace, 'stopped', script(text, { runPolicy: { activeDeadlineSeconds: 2 } }));
    const { status } = await finished('stopped');
    expect(status?.failure).toMatchObject({ reason: 'DeadlineExceeded', exitCode: 130 });
  }, 120_000);

  test('that cannot end a pod tells its agent that it is not wanted, and the pod ends itself', async () => {
    rig.simulator.fault({ kind: 'slowPull', ms: 2000, match: 'unwanted' });
    rig.simulator.fault({
      kind: 'refuseDelete',
      status: 500,
      detail: 'internal error',
      match: 'unwanted',
      times: null,
    });
    await rig.create(namespace, 'unwanted', script('raise SystemExit("was started")'));
    const job = await rig.until(namespace, 'unwanted', ({ status }) => status?.attempt?.state === 'Observed');
    await kubectl(rig.plane, ['delete', 'tj', '-n', namespace, 'unwanted', '--wait=false']);
    await rig.simulator.nextCall((call) => call.byPod && call.method === 'DELETE', 30_000);
    const log = rig.simulator.podLog(job.status?.attempt?.podID ?? '');
    expect(log).not.toContain('was started');
    rig.simulator.faults.clear();
    await rig.untilGone(namespace, 'unwanted', 40_000);
    expect(bill('unwanted').filter((line) => line.endedAt === null)).toEqual([]);
  }, 120_000);

  test('that cannot reach a pod says so when its time is over', async () => {
    rig.simulator.fault({ kind: 'proxyAway', match: 'walled', times: null });
    const runPolicy = { startDeadlineSeconds: 3, hostFaultLimit: 0 };
    await rig.create(namespace, 'walled', script('', { runPolicy }));
    const { status } = await finished('walled');
    expect(status?.failure?.reason).toBe('StartDeadlineExceeded');
    expect(status?.failure?.message).toContain("the operator can reach the pod's HTTP port");
    rig.simulator.faults.clear();
  }, 120_000);
});
