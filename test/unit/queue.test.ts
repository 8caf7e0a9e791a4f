import { describe, expect, test } from 'vitest';
import { Backoff } from '../../controller/queue/backoff.ts';
import { priorities, WorkQueue, type QueueObserver } from '../../controller/queue/workqueue.ts';
import { ManualClock } from './manualclock.ts';

describe('backoff', () => {
  const exact = { jitter: 0, minMs: 50, maxMs: 30_000 };

  test('doubles with each failure of a key, up to the longest wait', () => {
    const backoff = new Backoff(exact);
    const waits = Array.from({ length: 12 }, () => backoff.next('a'));
    expect(waits).toEqual([50, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
  });

  test('keys are apart, and one that succeeded begins anew', () => {
    const backoff = new Backoff(exact);
    backoff.next('a');
    backoff.next('a');
    expect(backoff.next('b')).toBe(50);
    backoff.forget('a');
    expect(backoff.next('a')).toBe(50);
  });

  test('stays finite after any number of failures', () => {
    const backoff = new Backoff(exact);
    for (let failures = 0; failures < 5000; failures += 1) backoff.next('a');
    expect(backoff.next('a')).toBe(30_000);
  });

  test.each([
    [0, 100],
    [0.5, 90],
    [0.999, 80.02],
  ])('chance %d spreads a wait of 100 over its last fifth: %d', (random, expected) => {
    expect(new Backoff({ minMs: 100, jitter: 0.2, random: () => random }).next('a')).toBeCloseTo(expected, 5);
  });
});

describe('work queue', () => {
  test('a key that is added often is worked on once', async () => {
    const queue = new WorkQueue(new ManualClock());
    for (let times = 0; times < 5; times += 1) queue.add('a');
    expect(queue.size).toBe(1);
    expect(await queue.take()).toBe('a');
    expect(queue.size).toBe(0);
  });

  test('urgent before change before list, each in the order of its coming', async () => {
    const queue = new WorkQueue(new ManualClock());
    queue.add('l1', priorities.list);
    queue.add('c1');
    queue.add('l2', priorities.list);
    queue.add('u1', priorities.urgent);
    queue.add('c2');
    queue.add('l1', priorities.urgent); // raised
    queue.add('u1', priorities.list); // not lowered
    const order: (string | undefined)[] = [];
    while (queue.size > 0) order.push(await queue.take());
    expect(order).toEqual(['u1', 'l1', 'c1', 'c2', 'l2']);
  });

  test('a key that is added while it is worked on comes back when its worker is done', async () => {
    const queue = new WorkQueue(new ManualClock());
    queue.add('a');
    await queue.take();
    queue.add('a', priorities.list);
    queue.add('a', priorities.urgent);
    queue.add('b');
    expect(queue.size).toBe(1);
    queue.done('a');
    expect(await queue.take()).toBe('a');
    expect(await queue.take()).toBe('b');
  });

  test('of several delays the soonest counts, and an add ends the wait', async () => {
    const clock = new ManualClock();
    const queue = new WorkQueue(clock);
    queue.addAfter('a', 1000);
    queue.addAfter('a', 500);
    queue.addAfter('a', 2000);
    queue.addAfter('b', 700);
    clock.advance(499);
    expect(queue.size).toBe(0);
    clock.advance(1);
    expect(await queue.take()).toBe('a');
    queue.add('b');
    expect(await queue.take()).toBe('b');
    queue.done('b');
    clock.advance(10_000);
    expect(queue.size).toBe(0);
    expect(clock.pending).toBe(0);
  });

  test.each([0, -5])('a delay of %d is none', async (ms) => {
    const queue = new WorkQueue(new ManualClock());
    queue.addAfter('a', ms);
    expect(await queue.take()).toBe('a');
  });

  test('of one priority the heaviest is served first, those of equal weight as they came; priority goes before weight', async () => {
    const weights: Record<string, number> = { cheap: 0.1, dear: 3, dearest: 9 };
    const queue = new WorkQueue(new ManualClock(), { weight: (key) => weights[key] ?? 0 });
    for (const key of ['a', 'cheap', 'b', 'dearest', 'dear']) queue.add(key);
    queue.add('report', priorities.urgent);
    const order: (string | undefined)[] = [];
    for (let count = 0; count < 6; count += 1) order.push(await queue.take());
    expect(order).toEqual(['report', 'dearest', 'dear', 'cheap', 'a', 'b']);
  });

  test('those who wait for a key get it in their order; closing frees them', async () => {
    const clock = new ManualClock();
    const queue = new WorkQueue(clock);
    const takers = [queue.take(), queue.take(), queue.take()];
    queue.add('a');
    queue.add('b');
    queue.addAfter('c', 5);
    queue.close();
    expect(await Promise.all(takers)).toEqual(['a', 'b', undefined]);
    queue.add('d');
    queue.done('a');
    clock.advance(10);
    expect(await queue.take()).toBeUndefined();
    expect(queue.size).toBe(0);
    expect(clock.pending).toBe(0);
  });

  test('done of a key that nobody works on changes nothing', () => {
    const queue = new WorkQueue(new ManualClock());
    queue.add('a');
    queue.done('a');
    expect(queue.size).toBe(1);
  });

  test('tells what it does', async () => {
    const clock = new ManualClock();
    const told: string[] = [];
    const observe: QueueObserver = {
      add: () => told.push('add'),
      depth: (items) => told.push(`depth ${items}`),
      latencySeconds: (seconds) => told.push(`latency ${seconds}`),
      workSeconds: (seconds) => told.push(`work ${seconds}`),
      retry: () => told.push('retry'),
    };
    const queue = new WorkQueue(clock, { observe });
    queue.add('a');
    clock.advance(2000);
    await queue.take();
    clock.advance(3000);
    queue.done('a');
    expect(told).toEqual(['add', 'depth 1', 'latency 2', 'depth 0', 'work 3']);
  });
});
