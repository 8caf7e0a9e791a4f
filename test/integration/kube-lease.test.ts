import pino from 'pino';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../controller/clock.ts';
import { KubeClient } from '../../controller/kube/client.ts';
import { kubeConnection } from '../../controller/kube/config.ts';
import { LeaderLease } from '../../controller/kube/lease.ts';
import { leases } from '../../controller/kube/resources.ts';
import { freshNamespace, sharedControlPlane, type SharedControlPlane } from '../controlplane/shared.ts';
import { FaultProxy } from '../controlplane/faultproxy.ts';

const durationMs = 2000;

let plane: SharedControlPlane;
let namespace: string;
let clients: KubeClient[] = [];
let proxies: FaultProxy[] = [];
beforeAll(async () => {
  plane = await sharedControlPlane();
});
beforeEach(async () => {
  namespace = await freshNamespace(plane, 'lease');
});
afterEach(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await Promise.all(proxies.map((proxy) => proxy.stop()));
  clients = [];
  proxies = [];
});

/** A process that wants to lead, with its own way to the API server. */
async function contender(identity: string): Promise<{ lease: LeaderLease; proxy: FaultProxy; client: KubeClient }> {
  const proxy = await FaultProxy.start(plane);
  const client = new KubeClient({
    connection: proxy.connection(kubeConnection(plane.kubeconfigPath)),
    clock: systemClock,
  });
  clients.push(client);
  proxies.push(proxy);
  const lease = new LeaderLease({
    client,
    clock: systemClock,
    log: pino({ enabled: false }),
    namespace,
    name: 'operator',
    identity,
    durationMs,
    renewDeadlineMs: 1200,
    retryMs: 100,
  });
  return { lease, proxy, client };
}

describe('leadership by a Lease', () => {
  test('one leads, the other stands by until it is given up, and then leads at once', async () => {
    const a = await contender('a');
    const b = await contender('b');
    expect(await a.lease.acquire()).toBe(true);
    expect(a.lease.holds()).toBe(true);
    const waiting = b.lease.acquire();
    await expect(Promise.race([waiting, systemClock.sleep(durationMs * 1.5).then(() => 'waits')])).resolves.toBe(
      'waits',
    );
    expect(b.lease.holds()).toBe(false);
    const before = performance.now();
    await a.lease.release();
    expect(a.lease.holds()).toBe(false);
    expect(await waiting).toBe(true);
    expect(performance.now() - before).toBeLessThan(durationMs);
    expect(b.lease.holds()).toBe(true);
    const { spec } = await b.client.get<{ spec: Record<string, unknown> }>(leases, namespace, 'operator');
    expect(spec).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1, leaseDurationSeconds: 2 });
    await b.lease.release();
  });

  test('a holder whose API server is away stops before another may begin (I15)', async () => {
    const a = await contender('a');
    const b = await contender('b');
    await a.lease.acquire();
    const waiting = b.lease.acquire();
    let release: () => void = () => undefined;
    const until = new Promise<void>((resolve) => {
      release = resolve;
    });
    a.proxy.fault = () => ({ kind: 'hold', until });
    let stoppedAtMs = 0;
    const lost = a.lease.lost.then((why) => {
      stoppedAtMs = performance.now();
      return why;
    });
    const ledAtMs = await waiting.then(() => {
      expect(a.lease.holds()).toBe(false);
      return performance.now();
    });
    expect(await lost).toBe('the lease could not be renewed in time');
    expect(stoppedAtMs).toBeLessThan(ledAtMs);
    release();
    await a.lease.release();
    await b.lease.release();
  });

  test('a lease that another took is lost at once', async () => {
    const a = await contender('a');
    await a.lease.acquire();
    const thief = await contender('thief');
    await thief.client.mergePatch(leases, namespace, 'operator', { spec: { holderIdentity: 'thief' } });
    expect(await a.lease.lost).toBe('thief took the lease over');
    expect(a.lease.holds()).toBe(false);
    await a.lease.release();
    // What is another's is not given up.
    const { spec } = await thief.client.get<{ spec: Record<string, unknown> }>(leases, namespace, 'operator');
    expect(spec['holderIdentity']).toBe('thief');
  });

  test('a lease that was deleted is made again, and nobody stops', async () => {
    const a = await contender('a');
    await a.lease.acquire();
    await a.client.delete(leases, namespace, 'operator');
    const made = async (): Promise<string> => {
      for (;;) {
        const found = await a.client
          .get<{ spec: { holderIdentity: string } }>(leases, namespace, 'operator')
          .catch(() => undefined);
        if (found) return found.spec.holderIdentity;
      }
    };
    expect(await made()).toBe('a');
    expect(a.lease.holds()).toBe(true);
    await a.lease.release();
  });

  test('one that stands by can be ended', async () => {
    const a = await contender('a');
    const b = await contender('b');
    await a.lease.acquire();
    const waiting = b.lease.acquire();
    await b.lease.release();
    expect(await waiting).toBe(false);
    expect(a.lease.holds()).toBe(true);
    await a.lease.release();
  });

  test('of five that start together one leads', async () => {
    const all = await Promise.all(['a', 'b', 'c', 'd', 'e'].map((identity) => contender(identity)));
    const leading = all.map(({ lease }) => lease.acquire());
    await Promise.race(leading);
    expect(all.filter(({ lease }) => lease.holds())).toHaveLength(1);
    await Promise.all(all.map(({ lease }) => lease.release()));
  });
});
