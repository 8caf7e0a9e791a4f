import { beforeAll, describe, expect, test } from 'vitest';
import type { Scenario } from './scenario.ts';
import { plain } from './scenarios.ts';
import { World } from './world.ts';

/** 200 jobs whose pods must end at once, at 60 calls a minute. */

const jobs = 200;
const names = Array.from({ length: jobs }, (_, index) => `fit${index}`);

const burst: Scenario = {
  name: 'a burst of ends',
  spec: plain,
  ends: 'Nothing',
  trainer: () => ({ trainSeconds: 100_000, end: 'Succeeded' }),
  prepare(world) {
    // No two neighbours in time cost the same, and none is dearer for being later.
    world.account.place = (_body, count) => ({ costUsdPerHour: 0.1 + ((count * 37) % jobs) / 100 });
  },
};

describe('200 jobs are deleted at once', () => {
  const world = new World(burst);
  world.workers = 8;

  beforeAll(async () => {
    world.begin();
    for (const name of names) world.cluster.apply(name, burst.spec);
    await world.clock.pass(120_000);
    const running = world.cluster.jobs().filter((job) => job.status?.phase === 'Running').length;
    if (running !== jobs) throw new Error(`${running} jobs run, not ${jobs}`);
    world.gate.close();
    for (const name of names) world.cluster.delete(name);
    await world.clock.pass(1_800_000, () => world.cluster.jobs().length === 0);
    world.operator?.kill();
  });

  test('each pod ends and each job goes, and no call is one too many', () => {
    expect(world.account.billing()).toHaveLength(0);
    expect(world.cluster.jobs()).toHaveLength(0);
    expect(world.monitors.broken).toEqual([]);
    expect(world.gate.tooMany).toBe(0);
  });

  test('nine tenths of the quota are used until the last pod is gone', () => {
    const lastMs = Math.max(...world.account.rented.map(({ billedToMs = Number.POSITIVE_INFINITY }) => billedToMs));
    const firstMs = Math.min(...world.account.rented.map(({ billedToMs = 0 }) => billedToMs));
    const full = world.gate.minutes.slice(0, Math.floor((lastMs - firstMs) / 60_000));
    expect(full.length).toBeGreaterThan(1);
    for (const used of full) expect(used).toBeGreaterThanOrEqual(54);
  });

  test('the dearest pods end first', () => {
    const order = world.account.rented
      .toSorted((a, b) => (a.billedToMs ?? 0) - (b.billedToMs ?? 0))
      .map(({ pod }) => pod.costUsdPerHour);
    // The workers took what came first before they could know of the rest; from then on they choose.
    const chosen = order.slice(world.workers);
    const dearest = chosen.toSorted((a, b) => b - a);
    // As many as there are workers are on their way at any time, and may overtake each other.
    for (const [place, price] of chosen.entries())
      expect(dearest.indexOf(price)).toBeLessThanOrEqual(place + world.workers);
  });
});
