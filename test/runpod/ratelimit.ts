export interface WindowLimit {
  readonly name: 'minute' | 'hour' | 'day';
  readonly requests: number;
}

export const publishedLimits: readonly WindowLimit[] = [
  { name: 'minute', requests: 60 },
  { name: 'hour', requests: 3000 },
  { name: 'day', requests: 50_000 },
];

const lengthSeconds = { minute: 60, hour: 3600, day: 86_400 } as const;

interface Window {
  readonly limit: WindowLimit;
  used: number;
  startedMs: number;
}

/** Counts the account's requests by window, as Runpod does, and says so in the published headers. */
export class RateLimit {
  readonly #windows: Window[];

  constructor(limits: readonly WindowLimit[]) {
    this.#windows = limits.map((limit) => ({ limit, used: 0, startedMs: Date.now() }));
  }

  /** Counts a request. Gives the window that is exhausted, and how long. */
  count(): { readonly window: string; readonly retryAfterSeconds: number } | undefined {
    const nowMs = Date.now();
    for (const window of this.#windows) {
      if (nowMs - window.startedMs >= lengthSeconds[window.limit.name] * 1000) {
        window.startedMs = nowMs;
        window.used = 0;
      }
    }
    const full = this.#windows.find((window) => window.used >= window.limit.requests);
    if (full) return { window: full.limit.name, retryAfterSeconds: secondsLeft(full, nowMs) };
    for (const window of this.#windows) window.used += 1;
    return undefined;
  }

  headers(): Record<string, string> {
    if (this.#windows.length === 0) return {};
    const nowMs = Date.now();
    return {
      RateLimit: this.#windows
        .map(
          (window) =>
            `"${window.limit.name}";r=${Math.max(0, window.limit.requests - window.used)};t=${secondsLeft(window, nowMs)}`,
        )
        .join(', '),
      'RateLimit-Policy': this.#windows
        .map(({ limit }) => `"${limit.name}";q=${limit.requests};w=${lengthSeconds[limit.name]}`)
        .join(', '),
    };
  }
}

function secondsLeft(window: Window, nowMs: number): number {
  return Math.max(1, Math.ceil((window.startedMs + lengthSeconds[window.limit.name] * 1000 - nowMs) / 1000));
}
