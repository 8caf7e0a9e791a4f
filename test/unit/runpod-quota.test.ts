import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Quota, type PermitClass } from '../../controller/runpod/quota.ts';
import { ManualClock, settle } from './manualclock.ts';

interface Desk {
  readonly clock: ManualClock;
  readonly quota: Quota;
  /** Classes in the order in which they were let through. */
  readonly granted: PermitClass[];
  readonly ask: (permit: PermitClass, times?: number) => Promise<void>;
}

function desk(): Desk {
  const clock = new ManualClock();
  const quota = new Quota(clock);
  const granted: PermitClass[] = [];
  return {
    clock,
    quota,
    granted,
    async ask(permit, times = 1) {
      for (let count = 0; count < times; count += 1) void quota.permit(permit).then(() => granted.push(permit));
      await settle();
    },
  };
}

/** What a call does when its answer comes. */
function answer(quota: Quota, rateLimit?: string, policy?: string): void {
  quota.learn(rateLimit, policy);
  quota.ended();
}

const policy = '"minute";q=60;w=60, "hour";q=3000;w=3600, "day";q=50000;w=86400';

describe('who is served first', () => {
  test('ends of pods, then lists, creates and prices, whenever they came', async () => {
    const { quota, clock, granted, ask } = desk();
    await ask('list');
    answer(quota, '"minute";r=0;t=30', policy);
    for (const permit of ['catalog', 'create', 'list', 'terminate', 'create', 'terminate'] as const) await ask(permit);
    expect(granted).toEqual(['list']);
    await clock.pass(30_000);
    expect(granted).toEqual(['list', 'terminate', 'terminate', 'list', 'create', 'create', 'catalog']);
  });

  test('a fifth of each window is kept for ends of pods', async () => {
    const { quota, granted, ask } = desk();
    await ask('list');
    answer(quota, '"minute";r=15;t=50', policy);
    await ask('create', 10);
    expect(granted.filter((permit) => permit === 'create')).toHaveLength(3);
    await ask('terminate', 12);
    expect(granted.filter((permit) => permit === 'terminate')).toHaveLength(12);
    await ask('terminate');
    expect(granted.filter((permit) => permit === 'terminate')).toHaveLength(12);
  });

  test('one window that is used up holds everything back, though others have room', async () => {
    const { quota, clock, granted, ask } = desk();
    await ask('list');
    answer(quota, '"minute";r=59;t=60, "hour";r=0;t=600, "day";r=40000;t=9999', policy);
    await ask('terminate');
    await clock.pass(599_000);
    expect(granted).toEqual(['list']);
    await clock.pass(2000);
    expect(granted).toEqual(['list', 'terminate']);
  });
});

describe("Runpod's counts", () => {
  test.each<[string, string | undefined, string | undefined, number]>([
    ['none', undefined, undefined, 47],
    ['empty', '', '', 47],
    ['no list', 'lots', 'plenty', 47],
    ['without quotes', 'minute;r=3;t=9', policy, 47],
    ['without a reset', '"minute";r=3', policy, 47],
    ['a negative one', '"minute";r=-3;t=9', policy, 47],
    ['a broken one', '"minute";r=3.5;t=9', policy, 47],
    ['as published', '"minute";r=30;t=9', policy, 18],
    ['with spaces and more parameters', '"minute"; r=30 ; t=9 ; pk=:cA==:', policy, 18],
    ['without a policy', '"minute";r=30;t=9', undefined, 18],
    ['with a policy of zero', '"minute";r=30;t=9', '"minute";q=0;w=0', 24],
    ['more left than there is', '"minute";r=90;t=9', policy, 72],
    ['the same window twice', '"minute";r=30;t=9, "minute";r=20;t=9', policy, 8],
    ['a window of its own', '"second";r=10;t=1', '"second";q=10;w=1', 8],
    ['a window of its own without a policy', '"second";r=10;t=1', undefined, 8],
    ['one window that can be read beside one that cannot', '"minute";r=x;t=9, "hour";r=603;t=9', policy, 3],
  ])('%s', async (_, rateLimit, given, creates) => {
    const { quota, granted, ask } = desk();
    await ask('list');
    answer(quota, rateLimit, given);
    await ask('create', 200);
    expect(granted.length - 1).toBe(creates);
  });

  test.each([
    ['a year from now', '"minute";r=0;t=31536000', policy, 60_000],
    ['a year from now, without a policy', '"minute";r=0;t=31536000', undefined, 60_000],
    ['nothing ever', '"week";r=0;t=99', '"week";q=0;w=0', 60_000],
    ['a window of a year', '"year";r=0;t=31536000', '"year";q=1;w=31536000', 86_400_000],
    ['at once', '"minute";r=0;t=0', policy, 10],
  ])('a reset %s holds an end back for a time, not for good', async (_, rateLimit, given, ms) => {
    const { quota, clock, granted, ask } = desk();
    await ask('list');
    answer(quota, rateLimit, given);
    await ask('terminate');
    await clock.pass(ms);
    expect(granted).toEqual(['list', 'terminate']);
  });

  test('a burst never outruns the window, however late and in whatever order the answers come', () =>
    fc.assert(
      fc.asyncProperty(fc.infiniteStream(fc.nat()), fc.integer({ min: 50, max: 200 }), async (order, creates) => {
        const clock = new ManualClock();
        const quota = new Quota(clock);
        const underway: (() => void)[] = [];
        let used = 0;
        for (let count = 0; count < creates; count += 1) {
          const answered = (): void => {
            used += 1;
            answer(quota, `"minute";r=${Math.max(0, 60 - used)};t=60`, policy);
          };
          void quota.permit('create').then(() => underway.push(answered));
        }
        await settle();
        while (underway.length > 0) {
          underway.splice(order.next().value! % underway.length, 1)[0]?.();
          await settle();
        }
        expect(used).toBeLessThanOrEqual(48);
        expect(used).toBeGreaterThanOrEqual(47);
      }),
      { numRuns: 20 },
    ));

  test('calls that fail without an answer are not thought to be under way for ever', async () => {
    const { quota, granted, ask } = desk();
    await ask('list', 20);
    for (let count = 0; count < 20; count += 1) quota.ended();
    await ask('list');
    answer(quota, '"minute";r=40;t=50', policy);
    await ask('create', 100);
    expect(granted.filter((permit) => permit === 'create')).toHaveLength(28);
  });

  test('a wall clock that is set back or forward changes nothing', async () => {
    for (const by of [-3_600_000, 3_600_000]) {
      const { quota, clock, granted, ask } = desk();
      await ask('list');
      answer(quota, '"minute";r=0;t=30', policy);
      clock.setWall(by);
      await ask('create');
      await clock.pass(29_000);
      expect(granted).toEqual(['list']);
      await clock.pass(2000);
      expect(granted).toEqual(['list', 'create']);
    }
  });
});

describe('too many requests', () => {
  test('nothing is sent before Retry-After but one end of a pod in a second', async () => {
    const { quota, clock, granted, ask } = desk();
    await ask('list');
    quota.blocked(10_000);
    answer(quota);
    await ask('terminate', 3);
    await ask('create');
    expect(granted).toEqual(['list']);
    await clock.pass(1000);
    expect(granted).toEqual(['list', 'terminate']);
    await clock.pass(1000);
    expect(granted).toEqual(['list', 'terminate', 'terminate']);
    await clock.pass(7900);
    expect(granted).toEqual(['list', 'terminate', 'terminate', 'terminate']);
    await clock.pass(200);
    expect(granted.at(-1)).toBe('create');
  });

  test('without Retry-After it is one second', async () => {
    const { quota, clock, granted, ask } = desk();
    await ask('list');
    quota.blocked(0);
    answer(quota);
    await ask('create');
    await clock.pass(990);
    expect(granted).toEqual(['list']);
    await clock.pass(20);
    expect(granted).toEqual(['list', 'create']);
  });

  test('a shorter Retry-After does not end a longer one', async () => {
    const { quota, clock, granted, ask } = desk();
    quota.blocked(10_000);
    quota.blocked(1000);
    await ask('create');
    await clock.pass(9900);
    expect(granted).toEqual([]);
    await clock.pass(200);
    expect(granted).toEqual(['create']);
  });
});

describe('who no longer waits', () => {
  test('is not served, and takes nothing', async () => {
    const { quota, clock, granted, ask } = desk();
    await ask('list');
    answer(quota, '"minute";r=13;t=30', policy);
    await ask('create');
    const gaveUp = new AbortController();
    const waiting = quota.permit('create', gaveUp.signal);
    gaveUp.abort(new Error('gave up'));
    await expect(waiting).rejects.toThrow('gave up');
    await expect(quota.permit('create', gaveUp.signal)).rejects.toThrow('gave up');
    await ask('create');
    await clock.pass(31_000);
    expect(granted).toEqual(['list', 'create', 'create']);
  });
});

describe('a call that may as well not be made', () => {
  test('is let through while three quarters of every window are left, and counts', async () => {
    const { quota } = desk();
    expect(quota.spare()).toBe(true);
    answer(quota, '"minute";r=46;t=30', policy);
    expect([quota.spare(), quota.spare()]).toEqual([true, false]);
  });

  test('goes before nobody: not while anyone waits, nor while Runpod says to wait', async () => {
    const { quota, ask, clock } = desk();
    await ask('list');
    answer(quota, '"minute";r=0;t=30', policy);
    await ask('create');
    await clock.pass(30_000);
    expect(quota.spare()).toBe(true);
    quota.blocked(5000);
    expect(quota.spare()).toBe(false);
  });

  test('never waits for the next window', async () => {
    const { quota, clock, ask } = desk();
    await ask('list');
    answer(quota, '"minute";r=20;t=30', policy);
    expect(quota.spare()).toBe(false);
    await clock.pass(30_000);
    expect(quota.spare()).toBe(true);
  });
});
