import type { Clock } from '../clock.ts';

const leastJumpMs = 30_000;

/**
 * Tells when the host's wall clock was set: it then moved otherwise than the clock that nobody sets. Silence is counted anew
 * from there, as it is from the moment when we could hear at all; a jump ends no healthy pod.
 */
export class ClockJumps {
  readonly #clock: Clock;
  #offsetMs: number;
  #jumpedAtMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#offsetMs = clock.now() - clock.monotonic();
  }

  /** When the clock was last found to have jumped, by the clock as it is now; 0 for never. */
  lastAtMs(): number {
    const nowMs = this.#clock.now();
    const offsetMs = nowMs - this.#clock.monotonic();
    if (Math.abs(offsetMs - this.#offsetMs) >= leastJumpMs) this.#jumpedAtMs = nowMs;
    // Small corrections add up over months and are no jump.
    this.#offsetMs = offsetMs;
    return this.#jumpedAtMs;
  }
}
