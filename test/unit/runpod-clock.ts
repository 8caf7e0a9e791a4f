import type { Clock } from '../../controller/clock.ts';

export interface HandClock extends Clock {
  /** Lets time pass: timers that become due run in their order, and what they set off runs before the next. */
  pass(ms: number): Promise<void>;
  /** Sets the wall clock forward or back, as an administrator does; no time passes. */
  setWall(byMs: number): void;
}

/** A clock that stands still until it is moved. */
export function handClock(startMs = 1_700_000_000_000): HandClock {
  let elapsedMs = 0;
  let wallMs = startMs;
  let timers: readonly { readonly atMs: number; readonly run: () => void }[] = [];
  const clock: HandClock = {
    now: () => wallMs + elapsedMs,
    monotonic: () => elapsedMs,
    after(ms, run) {
      const timer = { atMs: elapsedMs + ms, run };
      timers = [...timers, timer];
      return () => {
        timers = timers.filter((entry) => entry !== timer);
      };
    },
    sleep: (ms) => new Promise((resolve) => clock.after(ms, resolve)),
    async pass(ms) {
      const untilMs = elapsedMs + ms;
      await settle();
      for (;;) {
        const next = timers.toSorted((a, b) => a.atMs - b.atMs)[0];
        if (!next || next.atMs > untilMs) break;
        elapsedMs = Math.max(elapsedMs, next.atMs);
        timers = timers.filter((entry) => entry !== next);
        next.run();
        await settle();
      }
      elapsedMs = untilMs;
      await settle();
    },
    setWall(byMs) {
      wallMs += byMs;
    },
  };
  return clock;
}

/** Resolves when every promise that could go on has gone on. */
export function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
