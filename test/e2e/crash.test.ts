import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { ControlPlane } from '../controlplane/controlplane.ts';
import { kubectl } from '../controlplane/crds.ts';
import { startPlane, startRig, stubSpec, type Rig } from '../rig/rig.ts';

let plane: ControlPlane;
let rig: Rig;
beforeAll(async () => {
  plane = await startPlane();
});
beforeEach(async () => {
  rig = await startRig({}, plane);
  await rig.start();
});
afterEach(() => rig.stop());
afterAll(() => plane.stop());

const creates = (): number =>
  rig.simulator.calls.filter((call) => call.method === 'POST' && call.path === '/v2/pods').length;

/** Runpod's list comes once as if nobody had a pod, between lists that are right. */
async function oneEmptyList(): Promise<void> {
  const list = (): Promise<unknown> =>
    rig.simulator.nextCall((call) => call.method === 'GET' && call.path === '/v2/pods');
  await list();
  rig.simulator.fault({ kind: 'emptyList' });
  await list();
  await list();
  await list();
}

describe('the operator is killed (SIGKILL) and started again', () => {
  test('after the intent was written, before the create was sent: the intent is given up and one pod is rented', async () => {
    const namespace = await rig.namespace();
    // A rate limit holds the create back, so that the intent stands alone.
    rig.simulator.fault({
      kind: 'refuseAll',
      status: 429,
      detail: 'rate limit exceeded for the minute window',
      retryAfterSeconds: 8,
    });
    await rig.simulator.nextCall((call) => call.status === 429);
    await rig.create(namespace, 'intent', stubSpec('heartbeat'));
    await rig.until(namespace, 'intent', ({ status }) => status?.attempt?.state === 'Intent');
    await rig.kill();
    expect(creates()).toBe(0);
    await rig.start();
    const job = await rig.until(namespace, 'intent', ({ status }) => status?.phase === 'Running');
    expect(job.status?.attempts).toMatchObject([{ number: 1, reason: 'CreateOutcomeUnknown' }]);
    expect(job.status?.attempt?.number).toBe(2);
    expect(rig.simulator.bill()).toHaveLength(1);
  });

  test('between a create and its reply: the pod is adopted, and it is the only one', async () => {
    const namespace = await rig.namespace();
    rig.simulator.fault({ kind: 'slowCreateReply', ms: 2500 });
    const created = rig.simulator.nextCall((call) => call.method === 'POST');
    await rig.create(namespace, 'sent', stubSpec('heartbeat'));
    await created;
    await rig.kill();
    await rig.start();
    const job = await rig.until(namespace, 'sent', ({ status }) => status?.phase === 'Running');
    expect(job.status?.attempt).toMatchObject({ number: 1, state: 'Observed', podID: rig.simulator.bill()[0]?.id });
    expect(rig.simulator.bill()).toHaveLength(1);
    expect(creates()).toBe(1);
  });

  test('after the pod was recorded: the same pod goes on', async () => {
    const namespace = await rig.namespace();
    await rig.create(namespace, 'recorded', stubSpec('heartbeat'));
    const before = await rig.until(namespace, 'recorded', ({ status }) => status?.attempt?.state === 'Observed');
    await rig.kill();
    await rig.start();
    const after = await rig.until(namespace, 'recorded', ({ status }) => status?.phase === 'Running');
    expect(after.status?.attempt?.podID).toBe(before.status?.attempt?.podID);
    expect(rig.simulator.bill()).toHaveLength(1);
    expect(rig.simulator.live()).toHaveLength(1);
  });

  test('after a terminate was sent: the pod is proved gone and the job goes', async () => {
    const namespace = await rig.namespace();
    await rig.create(namespace, 'ending', stubSpec('heartbeat'));
    await rig.until(namespace, 'ending', ({ status }) => status?.phase === 'Running');
    rig.simulator.fault({ kind: 'slowDeleteReply', ms: 2500 });
    const deleted = rig.simulator.nextCall((call) => call.method === 'DELETE');
    await kubectl(rig.plane, ['delete', 'tj', '-n', namespace, 'ending', '--wait=false']);
    await deleted;
    await rig.kill();
    await rig.start();
    await rig.untilGone(namespace, 'ending');
    expect(rig.simulator.live()).toEqual([]);
    expect(rig.simulator.bill()).toHaveLength(1);
  });
});

describe('answers and lists that cannot be trusted', () => {
  test("a create's lost reply: the pod is adopted, nothing is rented twice", async () => {
    const namespace = await rig.namespace();
    rig.simulator.fault({ kind: 'loseCreateReply' });
    await rig.create(namespace, 'lost', stubSpec('succeed'));
    const job = await rig.until(namespace, 'lost', ({ status }) => status?.phase === 'Succeeded');
    expect(job.status?.attempt?.number).toBe(1);
    expect(rig.simulator.bill()).toHaveLength(1);
    const events = await kubectl(rig.plane, ['get', 'events', '-n', namespace, '-o', 'jsonpath={.items[*].reason}']);
    expect(events).toContain('CreateOutcomeUnknown');
    expect(events).toContain('PodAdopted');
  });

  test.each(['createThen500', 'createWithoutId'] as const)('%s: the pod is adopted', async (kind) => {
    const namespace = await rig.namespace();
    rig.simulator.fault({ kind });
    await rig.create(namespace, 'odd', stubSpec('succeed'));
    await rig.until(namespace, 'odd', ({ status }) => status?.phase === 'Succeeded');
    expect(rig.simulator.bill()).toHaveLength(1);
  });

  test('an empty list once: healthy pods are neither lost nor ended', async () => {
    const namespace = await rig.namespace();
    for (const name of ['one', 'two', 'three']) await rig.create(namespace, name, stubSpec('heartbeat'));
    for (const name of ['one', 'two', 'three'])
      await rig.until(namespace, name, ({ status }) => status?.phase === 'Running');
    await oneEmptyList();
    for (const name of ['one', 'two', 'three']) expect(rig.get(namespace, name)?.status?.phase).toBe('Running');
    expect(rig.simulator.bill().filter((line) => line.endedAt !== null)).toEqual([]);
    expect(rig.log()).toContain('is not believed');
  });

  test('an empty list while one pod runs: one list alone is no proof', async () => {
    const namespace = await rig.namespace();
    await rig.create(namespace, 'single', stubSpec('heartbeat'));
    await rig.until(namespace, 'single', ({ status }) => status?.phase === 'Running');
    await oneEmptyList();
    expect(rig.get(namespace, 'single')?.status?.phase).toBe('Running');
    expect(rig.simulator.live()).toHaveLength(1);
  });

  test('a host that vanishes, with no retry left, fails the job with what is known', async () => {
    const namespace = await rig.namespace();
    await rig.create(namespace, 'vanished', stubSpec('heartbeat', { runPolicy: { hostFaultLimit: 0 } }));
    const job = await rig.until(namespace, 'vanished', ({ status }) => status?.phase === 'Running');
    rig.simulator.pods.lose(job.status?.attempt?.podID ?? '', 'vanish');
    const failed = await rig.until(namespace, 'vanished', ({ status }) => status?.phase === 'Failed');
    expect(failed.status?.failure?.reason).toBe('PodLost');
  });

  test('a pod that nobody owns is ended by the sweeper, a foreign one is left alone', async () => {
    const parsed = {
      image: 'stub:never',
      args: '',
      disk: 5,
      cloud: 'SECURE',
      env: {},
      ports: [],
      cpu: { id: 'cpu3c', vcpuCount: 2 },
      dataCenterIds: [],
    } as const;
    const data = 'jsonpath={.data.installation}';
    const installation = await kubectl(rig.plane, ['get', 'configmap', 'trainingjob-operator', '-o', data]);
    const orphan = rig.simulator.pods.create({ ...parsed, name: `tj-${installation}-0123456789ab-a1-abcd-orphan` });
    const foreign = rig.simulator.pods.create({ ...parsed, name: 'tj-zzzzzz-0123456789ab-a1-abcd-foreign' });
    const mine = rig.simulator.pods.create({ ...parsed, name: 'notebook' });
    await rig.simulator.nextCall((call) => call.method === 'DELETE' && call.path.endsWith(orphan.id), 30_000);
    expect(rig.simulator.live().map((pod) => pod.id)).toEqual(expect.arrayContaining([foreign.id, mine.id]));
  });
});
