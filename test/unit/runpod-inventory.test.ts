import pino from 'pino';
import { describe, expect, test } from 'vitest';
import type { CloudPod, CloudPodStatus } from '../../controller/runpod/cloudpod.ts';
import { RunpodError } from '../../controller/runpod/errors.ts';
import { Inventory } from '../../controller/runpod/inventory.ts';
import { ManualClock, settle } from './manualclock.ts';

const prefix = 'tj-abcdef-';

function pod(id: string, name = `${prefix}${id}`, status: CloudPodStatus = 'RUNNING'): CloudPod {
  return { id, name, status, costUsdPerHour: 1, createdAt: 0 };
}

interface Account {
  readonly clock: ManualClock;
  readonly inventory: Inventory;
  pods: readonly CloudPod[];
  failure: Error | undefined;
  expected: ReadonlySet<string>;
  /** How long an answer takes, and what happens meanwhile. */
  answerMs: number;
  meanwhile: () => void;
  lists: number;
}

function account(): Account {
  const clock = new ManualClock();
  const state: Account = {
    clock,
    pods: [],
    failure: undefined,
    expected: new Set(),
    answerMs: 0,
    meanwhile: () => undefined,
    lists: 0,
    inventory: new Inventory({
      async list() {
        state.lists += 1;
        const { pods } = state;
        state.meanwhile();
        if (state.answerMs > 0) await clock.sleep(state.answerMs);
        if (state.failure) throw state.failure;
        return pods;
      },
      clock,
      log: pino({ enabled: false }),
      namePrefix: prefix,
      unsettledMs: 2000,
      calmMs: 60_000,
      expected: () => state.expected,
      onList: () => undefined,
    }),
  };
  return state;
}

describe('a list', () => {
  test('shows our own pods, and knows by id and name every one that lives', async () => {
    const it = account();
    it.pods = [
      pod('a'),
      pod('b', 'notebook'),
      pod('c', `${prefix}c`, 'TERMINATED'),
      pod('d', ''),
      pod('e', 'tj-zzzzzz-e'),
    ];
    await it.inventory.look();
    const view = it.inventory.view();
    expect(view.pods.map(({ id }) => id)).toEqual(['a', 'c']);
    expect(view.lists).toHaveLength(1);
    expect([...view.lists[0]!.live].toSorted()).toEqual(
      ['', 'a', 'b', 'd', 'e', 'notebook', `${prefix}a`, 'tj-zzzzzz-e'].toSorted(),
    );
  });

  test('is as old as its start, not as its answer', async () => {
    const it = account();
    it.answerMs = 5000;
    const startedAt = it.clock.now();
    const looked = it.inventory.look();
    await it.clock.pass(5000);
    await looked;
    expect(it.inventory.view().lists[0]).toMatchObject({ startedAt, completedAt: startedAt + 5000 });
  });

  test('that fails is told, and what was known stays; the next one clears it', async () => {
    const it = account();
    it.pods = [pod('a')];
    await it.inventory.look();
    it.failure = new RunpodError('unauthorized', 'invalid bearer token');
    await it.inventory.look();
    expect(it.inventory.view().error).toBe(it.failure);
    expect(it.inventory.view().pods.map(({ id }) => id)).toEqual(['a']);
    expect(it.inventory.view().lists).toHaveLength(1);
    it.failure = undefined;
    await it.inventory.look();
    expect(it.inventory.view().error).toBeUndefined();
    expect(it.inventory.view().lists).toHaveLength(2);
  });

  test("that fails for no reason of Runpod's is told as one that may be repeated", async () => {
    const it = account();
    it.failure = new TypeError('a bug');
    await it.inventory.look();
    expect(it.inventory.view().error).toMatchObject({ kind: 'transient', message: 'TypeError: a bug' });
  });

  test('only so many are kept', async () => {
    const it = account();
    for (let count = 0; count < 100; count += 1) await it.inventory.look();
    expect(it.inventory.view().lists).toHaveLength(64);
  });
});

describe('a list that lacks pods', () => {
  test.each<[number, number, boolean]>([
    [0, 0, true],
    [1, 1, true],
    [2, 1, true],
    [2, 2, false],
    [3, 1, true],
    [3, 2, false],
    [4, 1, true],
    [4, 2, false],
    [5, 2, true],
    [5, 3, false],
    [100, 49, true],
    [100, 50, false],
  ])('of %d expected ones, without %d of them, is believed: %j', async (expected, missing, believed) => {
    const it = account();
    const all = Array.from({ length: expected }, (_, index) => pod(`p${index}`));
    it.pods = all;
    await it.inventory.look();
    it.expected = new Set(all.map(({ id }) => id));
    it.pods = all.slice(missing);
    await it.inventory.look();
    const view = it.inventory.view();
    expect(view.suspicious).toBe(!believed);
    expect(view.lists.at(-1)?.believed).toBe(believed);
    expect(view.pods).toHaveLength(believed ? expected - missing : expected);
  });

  test('is believed once it stayed so for ten minutes, whatever the wall clock does', async () => {
    const it = account();
    it.expected = new Set(['a', 'b']);
    await it.inventory.look();
    it.clock.setWall(3_600_000);
    await it.clock.pass(599_000);
    await it.inventory.look();
    expect(it.inventory.view().suspicious).toBe(true);
    it.clock.setWall(-7_200_000);
    await it.clock.pass(1000);
    await it.inventory.look();
    expect(it.inventory.view()).toMatchObject({ suspicious: false, pods: [] });
  });

  test('counts anew after one that was right', async () => {
    const it = account();
    it.expected = new Set(['a', 'b']);
    await it.inventory.look();
    await it.clock.pass(300_000);
    it.pods = [pod('a'), pod('b')];
    await it.inventory.look();
    it.pods = [];
    await it.clock.pass(300_000);
    await it.inventory.look();
    expect(it.inventory.view().suspicious).toBe(true);
  });

  test('is not blamed for pods that were rented, or ended, while it was on its way', async () => {
    const rented = account();
    rented.meanwhile = () => {
      rented.expected = new Set(['a', 'b']);
    };
    await rented.inventory.look();
    expect(rented.inventory.view().suspicious).toBe(false);

    const ended = account();
    ended.expected = new Set(['a', 'b']);
    ended.meanwhile = () => {
      ended.expected = new Set();
    };
    await ended.inventory.look();
    expect(ended.inventory.view().suspicious).toBe(false);
  });
});

describe('how often lists come', () => {
  test('often while a job waits for one, seldom otherwise; a change takes effect at once', async () => {
    const it = account();
    it.inventory.start();
    await it.inventory.looked;
    await it.clock.pass(6000);
    expect(it.lists).toBe(4);
    it.inventory.setUnsettled(false);
    await it.clock.pass(2000);
    const calm = it.lists;
    await it.clock.pass(57_000);
    expect(it.lists).toBe(calm);
    it.inventory.setUnsettled(true);
    await settle();
    expect(it.lists).toBe(calm + 1);
    await it.clock.pass(2000);
    expect(it.lists).toBe(calm + 2);
    await it.inventory.stop();
  });

  test('becoming unsettled right after a list does not ask before the shorter time is over', async () => {
    const it = account();
    it.inventory.setUnsettled(false);
    it.inventory.start();
    await it.inventory.looked;
    await it.clock.pass(500);
    it.inventory.setUnsettled(true);
    await settle();
    expect(it.lists).toBe(1);
    await it.clock.pass(1499);
    expect(it.lists).toBe(1);
    await it.clock.pass(1);
    expect(it.lists).toBe(2);
    await it.inventory.stop();
  });

  test('one at a time, however slow they are, and none after the stop', async () => {
    const it = account();
    it.answerMs = 10_000;
    it.inventory.start();
    it.inventory.start();
    await it.clock.pass(25_000);
    expect(it.lists).toBe(3);
    const stopped = it.inventory.stop();
    await it.clock.pass(60_000);
    await stopped;
    expect(it.lists).toBe(3);
  });

  test('the first look counts, failed or not', async () => {
    const it = account();
    it.failure = new RunpodError('transient', 'no answer');
    it.inventory.start();
    await it.inventory.looked;
    expect(it.inventory.view().error?.kind).toBe('transient');
    await it.inventory.stop();
  });
});
