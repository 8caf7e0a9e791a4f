import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type { KubeClient } from './client.ts';
import { KubeError } from './errors.ts';
import { leases } from './resources.ts';

export interface LeaderLeaseOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly namespace: string;
  readonly name: string;
  /** Of this process alone: one that starts again under the same name is another. */
  readonly identity: string;
  /** How long a lease that is not renewed keeps others out. */
  readonly durationMs: number;
  /** A holder that could not renew for so long stops; below `durationMs`, so that it stops before another may begin. */
  readonly renewDeadlineMs: number;
  readonly retryMs: number;
}

interface LeaseObject {
  readonly metadata: { readonly resourceVersion: string };
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly leaseTransitions?: number;
    readonly acquireTime?: string;
  };
}

/**
 * Leadership by a coordination.k8s.io Lease, as other controllers have it: the holder renews, others take over when they saw
 * no renewal for the lease's duration on their own clock. A lease is no fence, so the holder asks `holds` right before each
 * write (I15).
 */
export class LeaderLease {
  readonly #options: LeaderLeaseOptions;
  readonly #stopped = new AbortController();
  /** Monotonic; before it this process leads. */
  #holdsUntilMs = Number.NEGATIVE_INFINITY;
  /** What another's lease looked like, and when this process first saw it so. */
  #seen: { readonly resourceVersion: string; readonly atMs: number } | undefined;
  #renewing: Promise<void> | undefined;
  #trying: Promise<string> = Promise.resolve('');
  #resolveLost: (why: string) => void = () => undefined;
  /** Resolves with why this process does not lead any more; never after an orderly release. */
  readonly lost: Promise<string>;

  constructor(options: LeaderLeaseOptions) {
    this.#options = options;
    this.lost = new Promise((resolve) => {
      this.#resolveLost = resolve;
    });
  }

  /** Whether this process leads now, by its own clock. */
  holds(): boolean {
    return this.#options.clock.monotonic() < this.#holdsUntilMs;
  }

  /** Waits until this process leads; false when it was released first. */
  async acquire(): Promise<boolean> {
    const { clock, retryMs, log, identity } = this.#options;
    const { signal } = this.#stopped;
    for (let told = ''; !signal.aborted; await clock.sleep(retryMs, signal)) {
      const holder = await this.#next();
      if (holder === identity) {
        log.info({ identity }, 'leading');
        this.#renewing = this.#renew();
        return true;
      }
      if (holder !== told) log.info({ holder }, 'standing by: another process leads');
      told = holder;
    }
    return false;
  }

  /** Gives the lease up, so that another may lead at once. To be called when nothing more is written. */
  async release(): Promise<void> {
    const { client, clock, namespace, name, identity, log } = this.#options;
    const held = this.holds();
    this.#stopped.abort();
    await this.#renewing;
    // A renewal that is still under way would take back what is given up here.
    await Promise.race([this.#trying, clock.sleep(2000)]);
    this.#holdsUntilMs = Number.NEGATIVE_INFINITY;
    if (!held) return;
    try {
      const lease = await client.get<LeaseObject>(leases, namespace, name);
      if (lease.spec?.holderIdentity !== identity) return;
      await this.#patch(lease, { holderIdentity: '', renewTime: micro(clock.now()) });
    } catch (error) {
      log.warn({ error: words(error) }, 'the lease could not be given up; others wait until it ends');
    }
  }

  async #renew(): Promise<void> {
    const { clock, retryMs, identity } = this.#options;
    const { signal } = this.#stopped;
    for (;;) {
      await clock.sleep(retryMs, signal);
      if (signal.aborted) return;
      // An API server that does not answer must not hide that the time is over.
      const leftMs = Math.max(0, this.#holdsUntilMs - clock.monotonic());
      const holder = await Promise.race([this.#next(), clock.sleep(leftMs, signal).then(() => '')]);
      if (signal.aborted) return;
      if (holder !== identity && holder !== '') {
        this.#holdsUntilMs = Number.NEGATIVE_INFINITY;
        return this.#resolveLost(`${holder} took the lease over`);
      }
      if (!this.holds()) return this.#resolveLost('the lease could not be renewed in time');
    }
  }

  #next(): Promise<string> {
    this.#trying = this.#try();
    return this.#trying;
  }

  /** One look, and a write where it is ours to write. Gives who holds the lease; empty when that could not be found out. */
  async #try(): Promise<string> {
    const { client, clock, namespace, name, identity, durationMs, renewDeadlineMs, log } = this.#options;
    const startedMs = clock.monotonic();
    const now = micro(clock.now());
    const mine = { holderIdentity: identity, leaseDurationSeconds: Math.ceil(durationMs / 1000), renewTime: now };
    try {
      const lease = await client.find<LeaseObject>(leases, namespace, name);
      if (!lease) {
        const metadata = { name, namespace };
        const spec = { ...mine, acquireTime: now, leaseTransitions: 0 };
        await client.create(leases, namespace, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec });
      } else {
        const holder = lease.spec?.holderIdentity ?? '';
        if (holder !== identity && holder !== '' && !this.#isOver(lease, startedMs)) return holder;
        const transitions = (lease.spec?.leaseTransitions ?? 0) + (holder === identity ? 0 : 1);
        await this.#patch(lease, {
          ...mine,
          acquireTime: holder === identity ? lease.spec?.acquireTime : now,
          leaseTransitions: transitions,
        });
      }
      // Counted from before the request: what the API server wrote is at least as new.
      this.#holdsUntilMs = startedMs + renewDeadlineMs;
      return identity;
    } catch (error) {
      if (!(error instanceof KubeError && (error.kind === 'conflict' || error.kind === 'alreadyExists')))
        log.warn({ error: words(error) }, 'the lease could not be read or written');
      return '';
    }
  }

  /** Only our own clock counts: the holder's may be wrong by hours. */
  #isOver(lease: LeaseObject, nowMs: number): boolean {
    const { resourceVersion } = lease.metadata;
    if (this.#seen?.resourceVersion !== resourceVersion) this.#seen = { resourceVersion, atMs: nowMs };
    const durationMs = (lease.spec?.leaseDurationSeconds ?? 0) * 1000 || this.#options.durationMs;
    return nowMs - this.#seen.atMs >= durationMs;
  }

  #patch(lease: LeaseObject, spec: object): Promise<unknown> {
    const { client, namespace, name } = this.#options;
    const { resourceVersion } = lease.metadata;
    return client.mergePatch(leases, namespace, name, { metadata: { resourceVersion }, spec });
  }
}

/** Kubernetes' MicroTime has exactly six places. */
function micro(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
