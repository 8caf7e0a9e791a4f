import type { Clock } from '../clock.ts';

/** Served in this order when permits are short: ends of pods first, looks at the price list last. */
export type PermitClass = 'terminate' | 'list' | 'create' | 'catalog';

const order: readonly PermitClass[] = ['terminate', 'list', 'create', 'catalog'];

export interface QuotaWindow {
  readonly name: string;
  /** Requests that the window takes in all. */
  readonly limit: number;
  readonly remaining: number;
  readonly resetAtMs: number;
}

export interface QuotaObserver {
  quota(window: string, remaining: number): void;
}

interface Waiter {
  readonly permit: PermitClass;
  readonly grant: () => void;
}

const defaultPolicy: Readonly<Record<string, { readonly limit: number; readonly windowMs: number }>> = {
  minute: { limit: 60, windowMs: 60_000 },
  hour: { limit: 3000, windowMs: 3_600_000 },
  day: { limit: 50_000, windowMs: 86_400_000 },
};

/**
 * Permits for calls to Runpod, counted by Runpod's own RateLimit headers. A fifth of every window is kept for terminates, so
 * that no burst of creates can keep a pod billing (I14).
 */
export class Quota {
  readonly #clock: Clock;
  readonly #observe: QuotaObserver | undefined;
  readonly #windows = new Map<string, QuotaWindow>();
  readonly #waiters: Waiter[] = [];
  #blockedUntilMs = 0;
  #cancelWake: (() => void) | undefined;

  constructor(clock: Clock, observe?: QuotaObserver) {
    this.#clock = clock;
    this.#observe = observe;
  }

  /** Resolves when the call may be sent; rejects with the signal's reason when it is aborted first. */
  async permit(permit: PermitClass, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const waiter: Waiter = {
        permit,
        grant: () => {
          signal?.removeEventListener('abort', abort);
          resolve();
        },
      };
      const abort = (): void => {
        const index = this.#waiters.indexOf(waiter);
        if (index >= 0) this.#waiters.splice(index, 1);
        reject(signal?.reason as Error);
      };
      signal?.addEventListener('abort', abort, { once: true });
      this.#waiters.push(waiter);
      this.#serve();
    });
  }

  /** Takes the counts of an answer's headers; what cannot be read changes nothing. */
  learn(rateLimit: string | undefined, policy: string | undefined): void {
    const limits = new Map(members(policy).map(({ name, q }) => [name, q]));
    for (const { name, r, t } of members(rateLimit)) {
      if (r === undefined || t === undefined) continue;
      const limit = limits.get(name) ?? defaultPolicy[name]?.limit ?? r;
      this.#windows.set(name, {
        name,
        limit: Math.max(limit, r),
        remaining: r,
        resetAtMs: this.#clock.now() + t * 1000,
      });
      this.#observe?.quota(name, r);
    }
    this.#serve();
  }

  /** Runpod said "too many requests": nothing but terminates is sent before then, and they only after a second. */
  blocked(retryAfterMs: number): void {
    this.#blockedUntilMs = Math.max(this.#blockedUntilMs, this.#clock.now() + Math.max(1000, retryAfterMs));
  }

  #serve(): void {
    const nowMs = this.#clock.now();
    this.#refill(nowMs);
    for (const permit of order) {
      for (const waiter of this.#waiters.filter((entry) => entry.permit === permit)) {
        if (!this.#allows(permit, nowMs)) break;
        this.#spend(nowMs);
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        waiter.grant();
      }
    }
    this.#wakeLater(nowMs);
  }

  #allows(permit: PermitClass, nowMs: number): boolean {
    if (nowMs < this.#blockedUntilMs) return false;
    return [...this.#windows.values()].every(({ remaining, limit }) =>
      permit === 'terminate' ? remaining > 0 : remaining > limit / 5,
    );
  }

  /** Calls under way are not in Runpod's newest count yet. */
  #spend(nowMs: number): void {
    if (this.#windows.size === 0) {
      for (const [name, { limit, windowMs }] of Object.entries(defaultPolicy)) {
        this.#windows.set(name, { name, limit, remaining: limit, resetAtMs: nowMs + windowMs });
      }
    }
    for (const [name, window] of this.#windows) this.#windows.set(name, { ...window, remaining: window.remaining - 1 });
  }

  #refill(nowMs: number): void {
    for (const [name, window] of this.#windows) {
      if (nowMs < window.resetAtMs) continue;
      const length = defaultPolicy[name]?.windowMs ?? 60_000;
      this.#windows.set(name, { ...window, remaining: window.limit, resetAtMs: nowMs + length });
    }
  }

  #wakeLater(nowMs: number): void {
    this.#cancelWake?.();
    this.#cancelWake = undefined;
    if (this.#waiters.length === 0) return;
    const times = [...this.#windows.values()]
      .filter(({ remaining, limit }) => remaining <= limit / 5)
      .map(({ resetAtMs }) => resetAtMs);
    const wakeAtMs = Math.max(this.#blockedUntilMs, Math.min(...times, nowMs + 60_000));
    this.#cancelWake = this.#clock.after(Math.max(10, Math.min(wakeAtMs - nowMs, 60_000)), () => this.#serve());
  }
}

/** `"minute";r=0;t=12, "hour";r=2800;t=1812` as records; members that cannot be read are left out. */
function members(header: string | undefined): readonly { name: string; r?: number; t?: number; q?: number }[] {
  return (header ?? '').split(',').flatMap((part) => {
    const [quoted = '', ...parameters] = part.split(';').map((word) => word.trim());
    const name = /^"([a-z]{1,16})"$/.exec(quoted)?.[1];
    if (name === undefined) return [];
    const numbers = parameters.flatMap((parameter) => {
      const match = /^([a-z])=(\d{1,9})$/.exec(parameter);
      return match ? [[match[1], Number(match[2])] as const] : [];
    });
    return [{ name, ...(Object.fromEntries(numbers) as { r?: number; t?: number; q?: number }) }];
  });
}
