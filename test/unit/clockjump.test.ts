import { expect, test } from 'vitest';
import { ClockJumps } from '../../controller/reconcile/clockjump.ts';
import { ManualClock } from './manualclock.ts';

test('time that passes is no jump, and neither are small corrections, however many', () => {
  const clock = new ManualClock();
  const jumps = new ClockJumps(clock);
  for (let minute = 0; minute < 1000; minute += 1) {
    clock.advance(60_000);
    clock.setWall(500);
    expect(jumps.lastAtMs()).toBe(0);
  }
});

test.each([3_600_000, -3_600_000, 30_000])('a clock that is set by %i ms has jumped, now', (ms) => {
  const clock = new ManualClock();
  const jumps = new ClockJumps(clock);
  clock.advance(1000);
  clock.setWall(ms);
  const jumpedAtMs = clock.now();
  expect(jumps.lastAtMs()).toBe(jumpedAtMs);
  clock.advance(60_000);
  expect(jumps.lastAtMs()).toBe(jumpedAtMs);
});
