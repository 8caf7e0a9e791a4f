import { RunpodError } from '../../controller/runpod/errors.ts';
import { Quota, type PermitClass } from '../../controller/runpod/quota.ts';
import type { VirtualClock } from './virtualclock.ts';

const windows = [
  { name: 'minute', requests: 60, lengthMs: 60_000 },
  { name: 'hour', requests: 3000, lengthMs: 3_600_000 },
] as const;

/** As long as the operator's client waits for a permit before it gives the call up. */
const patienceMs = 30_000;

interface Window {
  used: number;
  startedMs: number;
}

/**
 * Runpod's rate limit, closed: calls get a permit of the product's Quota first, as its client has it, and are then counted by
 * fixed windows, as Runpod counts them. Open, as it is at first, it lets everything through.
 */
export class Gate {
  readonly #clock: VirtualClock;
  #quota: Quota | undefined;
  #counted: readonly Window[] = [];
  /** Calls that were sent although no request was left. */
  tooMany = 0;
  /** Calls counted in each minute that Runpod began. */
  readonly minutes: number[] = [];

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  close(): void {
    this.#quota = new Quota(this.#clock);
    this.#counted = windows.map(() => ({ used: 0, startedMs: Number.NEGATIVE_INFINITY }));
  }

  async call<T>(permit: PermitClass, send: () => Promise<T>): Promise<T> {
    const quota = this.#quota;
    if (!quota) return send();
    const waited = new AbortController();
    const cancel = this.#clock.after(patienceMs, () => waited.abort());
    try {
      await quota.permit(permit, waited.signal);
    } catch {
      throw new RunpodError('rateLimited', 'the rate limit left no request; it was not sent');
    } finally {
      cancel();
    }
    try {
      this.#count();
      const answer = await send();
      quota.learn(this.#left(), policy);
      return answer;
    } finally {
      quota.ended();
    }
  }

  #count(): void {
    const nowMs = this.#clock.monotonic();
    for (const [index, window] of this.#counted.entries()) {
      const { lengthMs = 0, name } = windows[index] ?? {};
      if (nowMs - window.startedMs >= lengthMs) {
        window.startedMs = nowMs;
        window.used = 0;
        if (name === 'minute') this.minutes.push(0);
      }
    }
    if (this.#counted.some(({ used }, index) => used >= (windows[index]?.requests ?? 0))) {
      this.tooMany += 1;
      throw new RunpodError('rateLimited', 'too many requests', { status: 429 });
    }
    for (const window of this.#counted) window.used += 1;
    this.minutes[this.minutes.length - 1] = (this.minutes.at(-1) ?? 0) + 1;
  }

  #left(): string {
    const nowMs = this.#clock.monotonic();
    return windows
      .map(({ name, requests, lengthMs }, index) => {
        const { used = 0, startedMs = 0 } = this.#counted[index] ?? {};
        return `"${name}";r=${requests - used};t=${Math.max(1, Math.ceil((startedMs + lengthMs - nowMs) / 1000))}`;
      })
      .join(', ');
  }
}

const policy = windows.map(({ name, requests, lengthMs }) => `"${name}";q=${requests};w=${lengthMs / 1000}`).join(', ');
