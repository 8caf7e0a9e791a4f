import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { kubectl } from '../controlplane/crds.ts';
import { condition, startRig, stubSpec, type DeepPartial, type Rig } from '../rig/rig.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
  await rig.start();
});
afterAll(() => rig.stop());
afterEach(() => rig.simulator.faults.clear());

const gpu = (type: string, more: object = {}): DeepPartial => ({
  compute: { candidates: [{ name: 'gpu', gpu: { type, count: 1 }, ...more }] },
});
const podsOf = (name: string): readonly string[] =>
  rig.simulator.bill().flatMap((line) => (line.name.endsWith(`-${name}`) ? [line.id] : []));

describe('what keeps a job from a pod is told in its conditions', () => {
  test('a missing Secret: nothing is rented until it is there', async () => {
    const namespace = await rig.namespace();
    const env = [{ name: 'TOKEN', valueFrom: { secretKeyRef: { name: 'hub', key: 'token' } } }];
    const spec = stubSpec('succeed') as { trainer: object };
    await rig.create(namespace, 'secretless', { ...spec, trainer: { ...spec.trainer, env } });
    const waiting = await rig.until(
      namespace,
      'secretless',
      (job) => condition(job, 'Stalled')?.reason === 'SecretMissing',
    );
    expect(condition(waiting, 'Stalled')?.message).toContain('Secret hub is not in namespace');
    expect(podsOf('secretless')).toEqual([]);
    await kubectl(rig.plane, ['create', 'secret', 'generic', 'hub', '-n', namespace, '--from-literal=other=x']);
    const wrongKey = await rig.until(
      namespace,
      'secretless',
      (job) => condition(job, 'Stalled')?.message.includes('lacks the key') === true,
      30_000,
    );
    expect(condition(wrongKey, 'Stalled')?.message).toContain('it has the keys other');
    await kubectl(rig.plane, ['patch', 'secret', 'hub', '-n', namespace, '-p', '{"stringData":{"token":"t"}}']);
    await rig.until(namespace, 'secretless', ({ status }) => status?.phase === 'Succeeded', 30_000);
  }, 90_000);

  test('an unknown GPU type is answered with the nearest one, and costs no create', async () => {
    const namespace = await rig.namespace();
    await rig.create(namespace, 'typo', stubSpec('succeed', gpu('NVIDIA H100 80GB HBM')));
    const job = await rig.until(namespace, 'typo', (found) => condition(found, 'Stalled')?.status === 'True');
    expect(condition(job, 'Stalled')).toMatchObject({ reason: 'InvalidCandidate' });
    expect(condition(job, 'Stalled')?.message).toContain('Did you mean "NVIDIA H100 80GB HBM3"?');
    expect(podsOf('typo')).toEqual([]);
  });

  test('nothing in stock: waits with growing waits, shows the refusals, and goes on when there is stock', async () => {
    const namespace = await rig.namespace();
    const offer = rig.simulator.catalog.offer('NVIDIA L40S');
    const places = [...(offer?.stock.keys() ?? [])];
    for (const place of places) offer?.stock.set(place, 0);
    await rig.create(namespace, 'soldout', stubSpec('succeed', gpu('NVIDIA L40S')));
    const job = await rig.until(
      namespace,
      'soldout',
      ({ status }) => (status?.placement?.refusals?.[0]?.count ?? 0) >= 2,
    );
    expect(job.status?.placement?.refusals?.[0]).toMatchObject({ candidate: 'gpu', class: 'NoCapacity' });
    expect(condition(job, 'Ready')?.status).toBe('False');
    const explained = await rig.until(
      namespace,
      'soldout',
      (found) => condition(found, 'Ready')?.reason === 'NoCapacity',
    );
    expect(condition(explained, 'Ready')?.message).toContain('not in stock');
    for (const place of places) offer?.stock.set(place, 10);
    const done = await rig.until(namespace, 'soldout', ({ status }) => status?.phase === 'Succeeded');
    expect(done.status?.attempt?.number).toBeGreaterThan(2);
    expect(podsOf('soldout')).toHaveLength(1);
  });

  test('the second candidate is taken when the first is out of stock', async () => {
    const namespace = await rig.namespace();
    rig.simulator.fault({
      kind: 'refuseCreate',
      status: 400,
      detail: 'There are no longer any instances available',
      match: 'second',
    });
    const candidates = [
      { name: 'first', gpu: { type: 'NVIDIA H200' } },
      { name: 'second', cpu: { flavor: 'cpu3c', vcpus: 2 } },
    ];
    await rig.create(namespace, 'second', stubSpec('succeed', { compute: { candidates } }));
    const job = await rig.until(namespace, 'second', ({ status }) => status?.phase === 'Succeeded');
    expect(job.status?.attempt?.candidate).toBe('second');
    expect(job.status?.placement?.refusals).toMatchObject([{ candidate: 'first', class: 'NoCapacity' }]);
  });

  test('a list price above the cap is never asked for', async () => {
    const namespace = await rig.namespace();
    await rig.create(namespace, 'dear', stubSpec('succeed', gpu('NVIDIA H100 80GB HBM3', { maxPricePerHour: '1.00' })));
    const job = await rig.until(namespace, 'dear', (found) => condition(found, 'Ready')?.reason === 'PriceAboveCap');
    expect(condition(job, 'Ready')?.message).toContain('above maxPricePerHour 1.00');
    expect(podsOf('dear')).toEqual([]);
  });

  test('a pod that is charged more than the cap is ended and its candidate left out', async () => {
    const namespace = await rig.namespace();
    rig.simulator.fault({ kind: 'chargedRate', costUsdPerHour: 9, match: 'overcharged' });
    const candidates = [
      { name: 'first', cpu: { flavor: 'cpu3c', vcpus: 2 }, maxPricePerHour: '0.10' },
      { name: 'second', cpu: { flavor: 'cpu5c', vcpus: 2 } },
    ];
    await rig.create(namespace, 'overcharged', stubSpec('succeed', { compute: { candidates } }));
    const job = await rig.until(namespace, 'overcharged', ({ status }) => status?.phase === 'Succeeded');
    expect(job.status?.attempt?.candidate).toBe('second');
    expect(job.status?.attempts?.[0]).toMatchObject({ candidate: 'first', reason: 'PriceAboveCap' });
    expect(rig.simulator.live().filter((pod) => pod.body.name.endsWith('-overcharged'))).toEqual([]);
  });

  test('a pod in another data center, or with fewer GPUs, is ended', async () => {
    const namespace = await rig.namespace();
    rig.simulator.fault({ kind: 'otherDataCenter', dataCenterId: 'US-TX-3', match: 'elsewhere' });
    rig.simulator.fault({ kind: 'otherGpuCount', count: 0, match: 'elsewhere' });
    const candidates = ['a', 'b', 'c'].map((name) => ({
      name,
      gpu: { type: 'NVIDIA L40S', count: 1 },
      dataCenters: ['EU-RO-1'],
    }));
    await rig.create(namespace, 'elsewhere', stubSpec('succeed', { compute: { candidates } }));
    const job = await rig.until(namespace, 'elsewhere', ({ status }) => status?.phase === 'Succeeded');
    expect(job.status?.attempts?.map((entry) => entry.reason)).toEqual(['WrongPlace', 'TrainerSucceeded']);
    expect(rig.simulator.live().filter((pod) => pod.body.name.endsWith('-elsewhere'))).toEqual([]);
  });

  test.each([
    [402, 'insufficient balance', 'InsufficientBalance', 'Balance', 'add credit'],
    [403, 'access denied', 'AccountForbidden', 'Forbidden', 'give it access'],
    [400, 'flux capacitor misaligned', 'Unclassified', 'Unclassified', 'flux capacitor misaligned'],
    [422, 'name is too long', 'InvalidCandidate', 'Invalid', 'change the candidate'],
  ])('a create refused with %d "%s" is told as %s', async (status, detail, reason, refusalClass, advice) => {
    const namespace = await rig.namespace();
    const name = `refused${status}`;
    rig.simulator.fault({ kind: 'refuseCreate', status, detail, match: name, times: null });
    await rig.create(namespace, name, stubSpec('succeed'));
    const job = await rig.until(namespace, name, (found) => condition(found, 'Ready')?.reason === reason);
    expect(condition(job, 'Ready')?.message).toContain(advice);
    expect(job.status?.placement?.refusals?.[0]).toMatchObject({ class: refusalClass });
    rig.simulator.faults.clear();
    if (refusalClass !== 'Invalid') await rig.until(namespace, name, (found) => found.status?.phase === 'Succeeded');
    expect(rig.simulator.live().filter((pod) => pod.body.name.endsWith(`-${name}`))).toEqual([]);
  });

  test('a rate limit is waited out as long as Runpod asks', async () => {
    const namespace = await rig.namespace();
    rig.simulator.fault({
      kind: 'refuseCreate',
      status: 429,
      detail: 'rate limit exceeded for the minute window',
      retryAfterSeconds: 2,
      match: 'limited',
    });
    const answered = (status: number): ReturnType<typeof rig.simulator.nextCall> =>
      rig.simulator.nextCall((call) => call.method === 'POST' && call.status === status);
    const [refused, served] = await Promise.all([
      answered(429),
      answered(201),
      rig.create(namespace, 'limited', stubSpec('succeed')),
    ]);
    expect(served.atMs - refused.atMs).toBeGreaterThanOrEqual(1900);
    const job = await rig.until(namespace, 'limited', ({ status }) => status?.phase === 'Succeeded');
    expect(job.status?.attempts).toHaveLength(1);
  });
});
