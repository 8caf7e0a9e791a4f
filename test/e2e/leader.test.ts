import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { OperatorProcess } from '../rig/process.ts';
import { startRig, stubSpec, type Rig } from '../rig/rig.ts';

type Replica = OperatorProcess & { readonly metricsUrl: string };

const jobs = Number(process.env['LEADER_JOBS'] ?? 12);
const kills = Number(process.env['LEADER_KILLS'] ?? 3);

let rig: Rig;
let replicas: Replica[] = [];
beforeAll(async () => {
  rig = await startRig();
});
afterAll(async () => {
  await Promise.all(replicas.map((replica) => replica.end()));
  await rig.stop();
});

const isReady = async (replica: Replica): Promise<boolean> =>
  (await fetch(`${replica.metricsUrl}/readyz`).catch(() => undefined))?.ok === true;

/** The replica that leads, as soon as one does. */
async function leader(): Promise<Replica> {
  const deadline = performance.now() + 30_000;
  while (performance.now() < deadline) {
    for (const replica of replicas) if (await isReady(replica)) return replica;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`nobody leads:\n${rig.log().slice(-3000)}`);
}

describe('two operators side by side', () => {
  test('one leads, serves telemetry and is ready; the other says that it stands by', async () => {
    replicas = [await rig.another(), await rig.another()];
    const leading = await leader();
    const standing = replicas.find((replica) => replica !== leading) as Replica;
    const answer = await fetch(`${standing.metricsUrl}/readyz`);
    expect(answer.status).toBe(503);
    expect(await answer.text()).toContain('standing by');
    expect((await fetch(`${standing.metricsUrl}/healthz`)).status).toBe(200);
    expect(await (await fetch(`${standing.metricsUrl}/metrics`)).text()).toContain('process_cpu_seconds_total');
    expect((await fetch(`${rig.telemetryUrl}/readyz`)).status).toBe(200);
  });

  test('an orderly end hands over at once', async () => {
    const leading = await leader();
    const before = performance.now();
    await leading.end();
    replicas = replicas.filter((replica) => replica !== leading);
    await leader();
    // Well below the four seconds that a lease lasts which was not given up.
    expect(performance.now() - before).toBeLessThan(3500);
    replicas.push(await rig.another());
  });

  test(
    'leaders that are killed again and again: every job has one pod, and every pod its end',
    async () => {
      const namespace = await rig.namespace();
      const names = Array.from({ length: jobs }, (_, index) => `job-${index}`);
      const created = (async () => {
        for (const name of names) {
          await rig.create(namespace, name, stubSpec('succeed'));
          // One after the other, so that every leader has some to begin with.
          await rig.until(namespace, name, ({ status }) => status?.attempt !== undefined, 60_000);
        }
      })();
      const handOvers: number[] = [];
      for (let kill = 0; kill < kills; kill += 1) {
        const leading = await leader();
        // In the middle of things: right after the next call that changes something at Runpod, if there is one.
        await rig.simulator.nextCall((call) => call.method !== 'GET', 2000).catch(() => undefined);
        leading.child.kill('SIGKILL');
        await leading.exited;
        const before = performance.now();
        replicas = replicas.filter((replica) => replica !== leading);
        await leader();
        handOvers.push(performance.now() - before);
        replicas.push(await rig.another());
      }
      await created;
      for (const name of names) await rig.until(namespace, name, ({ status }) => status?.phase === 'Succeeded', 60_000);
      for (const name of names) {
        const pods = rig.simulator.bill().filter((line) => line.name.endsWith(`-${name}`));
        expect(pods.map((line) => [name, line.endedAt === null])).toEqual([[name, false]]);
      }
      process.stdout.write(
        `hand-over after ${kills} kills, seconds: ${handOvers.map((ms) => (ms / 1000).toFixed(1)).join(' ')}\n`,
      );
    },
    120_000 + kills * 20_000,
  );
});
