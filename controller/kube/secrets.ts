import type { Clock } from '../clock.ts';
import type { KubeClient } from './client.ts';
import { secrets } from './resources.ts';

export type SecretKey =
  | { readonly kind: 'value'; readonly value: string }
  /** `message` says what is missing, where, and what is there instead. */
  | { readonly kind: 'missing'; readonly message: string };

interface Secret {
  readonly data?: Readonly<Record<string, string>>;
}

interface Entry {
  readonly readAtMs: number;
  /** Undefined: there is no such Secret. */
  readonly secret: Promise<Secret | undefined>;
}

/**
 * Reads keys of Secrets, one at a time and only by name: the operator may not list them. An answer is kept for a short time,
 * so that a job whose Secret is missing can be looked at again and again for one request.
 */
export class SecretReader {
  readonly #client: KubeClient;
  readonly #clock: Clock;
  readonly #keepMs: number;
  readonly #entries = new Map<string, Entry>();

  constructor(client: KubeClient, clock: Clock, keepMs = 10_000) {
    this.#client = client;
    this.#clock = clock;
    this.#keepMs = keepMs;
  }

  /** One key's value as text. A missing Secret or key is an answer; any other failure throws a KubeError and is not kept. */
  async readSecretKey(namespace: string, name: string, key: string): Promise<SecretKey> {
    const secret = await this.#secret(namespace, name);
    if (!secret) {
      return {
        kind: 'missing',
        message: `Secret ${name} is not in namespace ${namespace}; create it with the key ${key}.`,
      };
    }
    const encoded = secret.data && Object.hasOwn(secret.data, key) ? secret.data[key] : undefined;
    if (encoded !== undefined) return { kind: 'value', value: Buffer.from(encoded, 'base64').toString('utf8') };
    const there = Object.keys(secret.data ?? {}).sort();
    const keys = there.length === 0 ? 'has no keys' : `has the keys ${there.join(', ')}`;
    return {
      kind: 'missing',
      message: `Secret ${name} in namespace ${namespace} lacks the key ${key} (it ${keys}); add it, or name one that is there.`,
    };
  }

  #secret(namespace: string, name: string): Promise<Secret | undefined> {
    const nowMs = this.#clock.monotonic();
    // Values must not outlive their use in memory, so everything that is out of date goes, not only what is asked for.
    for (const [id, entry] of this.#entries) {
      if (nowMs - entry.readAtMs < this.#keepMs) break;
      this.#entries.delete(id);
    }
    const id = `${namespace}/${name}`;
    const kept = this.#entries.get(id);
    if (kept) return kept.secret;
    const secret = this.#client.find<Secret>(secrets, namespace, name).catch((error: unknown) => {
      if (this.#entries.get(id)?.secret === secret) this.#entries.delete(id);
      throw error;
    });
    this.#entries.set(id, { readAtMs: nowMs, secret });
    return secret;
  }
}
