import type { Clock } from '../clock.ts';

/** Served in this order when permits are short: ends of pods first, looks at the price list last. */
export type PermitClass = 'terminate' | 'list' | 'create' | 'catalog';

const order: readonly PermitClass[] = ['terminate', 'list', 'create', 'catalog'];

interface QuotaWindow {
  /** Requests that the window takes in all. */
  readonly limit: number;
  readonly lengthMs: number;
  readonly remaining: number;
  /** On the clock that never goes back: a changed wall clock must not hold back the end of a pod. */
  readonly resetAtMs: number;
}

export interface QuotaObserver {
  quota(window: string, remaining: number): void;
}

interface Waiter {
  readonly permit: PermitClass;
  readonly grant: () => void;
}

const dayMs = 86_400_000;

/** Counted by while Runpod says nothing. */
const assumed: Readonly<Record<string, { readonly limit: number; readonly lengthMs: number }>> = {
  minute: { limit: 60, lengthMs: 60_000 },
  hour: { limit: 3000, lengthMs: 3_600_000 },
  day: { limit: 50_000, lengthMs: dayMs },
};

const probeMs = 1000;

/**
 * Permits for calls to Runpod, counted by Runpod's own RateLimit headers. A fifth of every window is kept for terminates, so
 * that no burst of creates can keep a pod billing (I14).
 */
export class Quota {
  readonly #clock: Clock;
  readonly #observe: QuotaObserver | undefined;
  readonly #windows = new Map<string, QuotaWindow>();
  readonly #waiters: Waiter[] = [];
  #underway = 0;
  #blockedUntilMs = Number.NEGATIVE_INFINITY;
  #probeAtMs = Number.NEGATIVE_INFINITY;
  #cancelWake: (() => void) | undefined;

  constructor(clock: Clock, observe?: QuotaObserver) {
    this.#clock = clock;
    this.#observe = observe;
  }

  /**
   * Resolves when the call may be sent; rejects with the signal's reason when it is aborted first. Who got a permit says `ended`
   * when its call is over.
   */
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

  /**
   * A permit at once or not at all, for a call that may as well not be made: only out of what nobody waits for and nobody is likely
   * to need. Who got it says `ended` as others do.
   */
  spare(): boolean {
    const nowMs = this.#clock.monotonic();
    this.#refill(nowMs);
    const plenty = [...this.#windows.values()].every(({ remaining, limit }) => remaining > (limit * 3) / 4);
    if (nowMs < this.#blockedUntilMs || this.#waiters.length > 0 || !plenty) return false;
    this.#spend(nowMs);
    return true;
  }

  /**
   * Takes the counts of an answer's headers, while its call still counts as under way. What cannot be read changes nothing, and
   * no window lasts longer than its own length, so that a wrong number is over in time.
   */
  learn(rateLimit: string | undefined, policy: string | undefined): void {
    const policies = new Map(members(policy).map((member) => [member.name, member]));
    for (const { name, r, t } of members(rateLimit)) {
      if (r === undefined || t === undefined) continue;
      const { q, w } = policies.get(name) ?? {};
      const lengthMs = Math.min(dayMs, w !== undefined && w > 0 ? w * 1000 : (assumed[name]?.lengthMs ?? 60_000));
      this.#windows.set(name, {
        limit: Math.max(1, r, q ?? assumed[name]?.limit ?? 0),
        lengthMs,
        // Runpod may not have counted the other calls that are on their way.
        remaining: Math.max(0, r - Math.max(0, this.#underway - 1)),
        resetAtMs: this.#clock.monotonic() + Math.min(t * 1000, lengthMs),
      });
      this.#observe?.quota(name, r);
    }
    this.#serve();
  }

  /** A call that had a permit is over, with an answer or without. */
  ended(): void {
    this.#underway -= 1;
  }

  /** Runpod said "too many requests": nothing is sent before then but one terminate in a second. */
  blocked(retryAfterMs: number): void {
    const nowMs = this.#clock.monotonic();
    this.#blockedUntilMs = Math.max(this.#blockedUntilMs, nowMs + Math.max(probeMs, retryAfterMs));
    this.#probeAtMs = nowMs + probeMs;
  }

  #serve(): void {
    const nowMs = this.#clock.monotonic();
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
    if (nowMs < this.#blockedUntilMs && (permit !== 'terminate' || nowMs < this.#probeAtMs)) return false;
    return [...this.#windows.values()].every(({ remaining, limit }) =>
      permit === 'terminate' ? remaining > 0 : remaining > limit / 5,
    );
  }

  #spend(nowMs: number): void {
    this.#underway += 1;
    this.#probeAtMs = nowMs + probeMs;
    if (this.#windows.size === 0) {
      for (const [name, { limit, lengthMs }] of Object.entries(assumed)) {
        this.#windows.set(name, { limit, lengthMs, remaining: limit, resetAtMs: nowMs + lengthMs });
      }
    }
    for (const [name, window] of this.#windows) {
      this.#windows.set(name, { ...window, remaining: Math.max(0, window.remaining - 1) });
    }
  }

  #refill(nowMs: number): void {
    for (const [name, window] of this.#windows) {
      if (nowMs < window.resetAtMs) continue;
      this.#windows.set(name, { ...window, remaining: window.limit, resetAtMs: nowMs + window.lengthMs });
    }
  }

  #wakeLater(nowMs: number): void {
    this.#cancelWake?.();
    this.#cancelWake = undefined;
    if (this.#waiters.length === 0) return;
    const changes = [
      this.#blockedUntilMs,
      this.#probeAtMs,
      ...[...this.#windows.values()].map(({ resetAtMs }) => resetAtMs),
    ].filter((atMs) => atMs > nowMs);
    const waitMs = Math.min(60_000, ...changes.map((atMs) => atMs - nowMs));
    this.#cancelWake = this.#clock.after(Math.max(10, waitMs), () => this.#serve());
  }
}

interface Member {
  readonly name: string;
  readonly r?: number;
  readonly t?: number;
  readonly q?: number;
  readonly w?: number;
}

/** `"minute";r=0;t=12, "hour";r=2800;t=1812` as records; members that cannot be read are left out. */
function members(header: string | undefined): readonly Member[] {
  return (header ?? '').split(',').flatMap((part) => {
    const [quoted = '', ...parameters] = part.split(';').map((word) => word.trim());
    const name = /^"([a-z]{1,16})"$/.exec(quoted)?.[1];
    if (name === undefined) return [];
    const numbers = parameters.flatMap((parameter) => {
      const match = /^([rtqw])=(\d{1,9})$/.exec(parameter);
      return match ? [[match[1], Number(match[2])] as const] : [];
    });
    return [{ name, ...(Object.fromEntries(numbers) as Omit<Member, 'name'>) }];
  });
}
