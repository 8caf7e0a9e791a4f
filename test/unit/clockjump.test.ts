import { expect, test } from 'vitest';
import type { Clock } from '../../controller/clock.ts';
import { ClockJumps } from '../../controller/reconcile/clockjump.ts';

function moved(): { jumps: ClockJumps; pass: (ms: number) => void; set: (ms: number) => void } {
  let [wallMs, passedMs] = [1_800_000_000_000, 5000];
  const clock = { now: () => wallMs, monotonic: () => passedMs } as Clock;
  const pass = (ms: number): void => {
    wallMs += ms;
    passedMs += ms;
  };
  return { jumps: new ClockJumps(clock), pass, set: (ms) => void (wallMs += ms) };
}

test('time that passes is no jump, and neither are small corrections, however many', () => {
  const { jumps, pass, set } = moved();
  for (let minute = 0; minute < 1000; minute += 1) {
    pass(60_000);
    set(500);
    expect(jumps.lastAtMs()).toBe(0);
  }
});

test.each([3_600_000, -3_600_000, 30_000])('a clock that is set by %i ms has jumped, now', (ms) => {
  const { jumps, pass, set } = moved();
  pass(1000);
  set(ms);
  const jumpedAtMs = 1_800_000_000_000 + 1000 + ms;
  expect(jumps.lastAtMs()).toBe(jumpedAtMs);
  pass(60_000);
  expect(jumps.lastAtMs()).toBe(jumpedAtMs);
});
