import { randomBytes } from 'node:crypto';
import { RateLimit, type WindowLimit } from './ratelimit.ts';

export const firstAccount = 'default';

/** The accounts at this Runpod and their API keys. Each account has its own pods and its own rate limit. */
export class Keys {
  readonly #accountByKey = new Map<string, string>();
  readonly #limits = new Map<string, RateLimit>();
  readonly #windows: readonly WindowLimit[];

  constructor(windows: readonly WindowLimit[]) {
    this.#windows = windows;
  }

  /** One more key of an account, which begins with its first key. */
  give(account: string, key = `rpa_${randomBytes(16).toString('hex')}`): string {
    this.#accountByKey.set(key, account);
    return key;
  }

  /** From now on the key opens nothing. */
  revoke(key: string): boolean {
    return this.#accountByKey.delete(key);
  }

  accountOf(key: string): string | undefined {
    return this.#accountByKey.get(key);
  }

  limitOf(account: string): RateLimit {
    const known = this.#limits.get(account);
    if (known) return known;
    const limit = new RateLimit(this.#windows);
    this.#limits.set(account, limit);
    return limit;
  }
}
