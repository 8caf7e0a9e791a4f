import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { systemClock } from '../../controller/clock.ts';
import { Buckets } from '../../controller/telemetry/bucket.ts';

function buckets(perSecond: number, burst: number) {
  let nowMs = 0;
  const made = new Buckets({ ...systemClock, monotonic: () => nowMs }, perSecond, burst);
  return { take: (key = 'a') => made.take(key), pass: (ms: number) => (nowMs += ms) };
}

test('a burst at once, then the rate', () => {
  const { take, pass } = buckets(2, 3);
  expect([take(), take(), take(), take()]).toEqual([true, true, true, false]);
  pass(499);
  expect(take()).toBe(false);
  pass(1);
  expect([take(), take()]).toEqual([true, false]);
  pass(60_000);
  expect([take(), take(), take(), take()]).toEqual([true, true, true, false]);
});

test('who asks too often gets the rate all the same, at any pace', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 40 }), (perSecond, everyMs) => {
      const { take, pass } = buckets(perSecond, 1);
      take();
      let served = 0;
      for (let elapsed = 0; elapsed < 10_000; elapsed += everyMs) {
        pass(everyMs);
        if (take()) served += 1;
      }
      const offered = Math.ceil(10_000 / everyMs);
      // With room for one token, up to one interval of each wait is lost.
      const least = Math.min(offered, 10_000 / (1000 / perSecond + everyMs)) - 1;
      expect(served).toBeGreaterThanOrEqual(Math.floor(least));
      expect(served).toBeLessThanOrEqual(perSecond * 10 + 2);
    }),
  );
});

test('a key has its own bucket, and their number is bounded without taking from the one that asks', () => {
  const { take } = buckets(0, 2);
  expect([take('a'), take('a'), take('a'), take('b')]).toEqual([true, true, false, true]);
  for (let index = 0; index < 25_000; index += 1) expect(take(`stranger ${index}`)).toBe(true);
  expect(take('stranger 24999')).toBe(true);
  expect(take('stranger 24999')).toBe(false);
});
