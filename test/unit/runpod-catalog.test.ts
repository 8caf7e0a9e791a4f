import pino from 'pino';
import { expect, test } from 'vitest';
import { CatalogCache } from '../../controller/runpod/catalog.ts';
import { ManualClock, settle } from './manualclock.ts';

function cache() {
  const clock = new ManualClock();
  const state = { calls: 0, price: 1, failing: false, hold: Promise.resolve() };
  const catalog = new CatalogCache({
    async gpus() {
      state.calls += 1;
      const { price } = state;
      await state.hold;
      if (state.failing) throw new Error('no answer');
      return [{ id: 'H100', secure: price, community: price / 2 }];
    },
    cpus: async () => [{ id: 'cpu3c', perVcpu: 0.03 }],
    clock,
    log: pino({ enabled: false }),
    keepMs: 600_000,
  });
  return { clock, catalog, state, price: () => catalog.current()?.gpus.get('H100')?.secure };
}

test('prices are known by GPU type, cloud and CPU flavor', async () => {
  const { catalog } = cache();
  await catalog.refresh();
  expect(catalog.current()?.gpus.get('H100')).toEqual({ secure: 1, community: 0.5 });
  expect(catalog.current()?.cpus.get('cpu3c')).toBe(0.03);
});

test('nobody waits for a list: what is at hand is given while a newer one is fetched', async () => {
  const { clock, catalog, state, price } = cache();
  expect(catalog.current()).toBeUndefined();
  await settle();
  expect(price()).toBe(1);
  state.price = 2;
  await clock.pass(600_000);
  let go = (): void => undefined;
  state.hold = new Promise((resolve) => {
    go = resolve;
  });
  expect(price()).toBe(1);
  expect(price()).toBe(1);
  expect(state.calls).toBe(2);
  go();
  await settle();
  expect(price()).toBe(2);
});

test('a list is kept for its time and no longer', async () => {
  const { clock, catalog, state, price } = cache();
  await catalog.refresh();
  await clock.pass(599_999);
  price();
  expect(state.calls).toBe(1);
  await clock.pass(1);
  price();
  expect(state.calls).toBe(2);
});

test('while it cannot be read the last one stands, and it is tried again soon, not at once', async () => {
  const { clock, catalog, state, price } = cache();
  await catalog.refresh();
  state.failing = true;
  await clock.pass(600_000);
  expect(price()).toBe(1);
  await settle();
  expect(price()).toBe(1);
  expect(state.calls).toBe(2);
  state.failing = false;
  state.price = 3;
  await clock.pass(29_999);
  price();
  expect(state.calls).toBe(2);
  await clock.pass(1);
  price();
  await settle();
  expect(price()).toBe(3);
});

test('a refresh never rejects', async () => {
  const { catalog, state } = cache();
  state.failing = true;
  await expect(catalog.refresh()).resolves.toBeUndefined();
  expect(catalog.current()).toBeUndefined();
});
