import type { Account } from './account.ts';
import type { Cluster } from './cluster.ts';
import type { OperatorProcess } from './operator.ts';
import { never, type VirtualClock } from './virtualclock.ts';

export type WriteKind = 'finalizers' | 'status' | 'event' | 'create' | 'terminate' | 'delete' | 'store';

/** One write of the operator to the outside, in the order of a run. */
export interface Write {
  readonly kind: WriteKind;
  readonly target: string;
}

export type Mishap =
  | 'crashBefore'
  | 'crashAfter'
  | 'failBefore'
  | 'failAfter'
  | `stale${'Resource' | 'Inventory' | 'Both'}${'' | 'Crash'}`
  /** The lease is lost: this write is not sent, nor any after it, while another process takes over at once. */
  | 'leaseLost';

/** What happens at the write of this number. */
export interface Strike {
  readonly at: number;
  readonly mishap: Mishap;
}

interface Outside {
  readonly clock: VirtualClock;
  readonly cluster: Cluster;
  readonly account: Account;
  readonly crash: (process: OperatorProcess) => void;
  /** Starts another process; the one before it ends later. */
  readonly replace: (process: OperatorProcess) => void;
}

const travelMs = 10;
/** An old view lasts for so many passes, or so long: a job that waits for a list makes no passes. */
const stalePasses = 3;
const mostStaleMs = { resource: 45_000, inventory: 15_000 } as const;

/** Every write to the outside goes through here: it is written down, it travels, and it may be struck. */
export class Seam {
  readonly writes: Write[] = [];
  /** Whether an old view was shown at any time. */
  grewStale = false;
  readonly #outside: Outside;
  readonly #strikes: Strike[];
  readonly #thaws = new Set<{ left: number; readonly thaw: () => void }>();

  constructor(outside: Outside, strikes: readonly Strike[]) {
    this.#outside = outside;
    this.#strikes = [...strikes];
  }

  /** The write that follows after so many others meets this. */
  strike(mishap: Mishap, after: number): void {
    this.#strikes.push({ at: this.writes.length + after, mishap });
  }

  /** From now on nothing goes wrong any more. */
  calm(): void {
    this.#strikes.length = 0;
  }

  async write<T>(process: OperatorProcess, write: Write, commit: () => T, cut: () => Error): Promise<T> {
    if (process.dead) return never();
    const { clock, cluster, crash, replace } = this.#outside;
    if (process.fenced) throw cut();
    const mishap = this.#strikes.find(({ at }) => at === this.writes.length)?.mishap;
    this.writes.push(write);
    if (mishap === 'crashBefore') {
      crash(process);
      return never();
    }
    if (mishap === 'failBefore') throw cut();
    if (mishap === 'leaseLost') {
      process.fenced = true;
      replace(process);
      throw cut();
    }
    // What was sent arrives, whatever becomes of its sender.
    await clock.sleep(travelMs);
    const before = { version: cluster.version, atMs: clock.now() - 1 };
    const result = run(commit);
    if (mishap?.startsWith('stale')) this.#growStale(mishap, before);
    if (mishap === 'crashAfter' || mishap?.endsWith('Crash')) crash(process);
    else await clock.sleep(travelMs);
    if (process.dead) return never();
    if (mishap === 'failAfter') throw cut();
    return result();
  }

  /** A write that nobody waits for. */
  tell(process: OperatorProcess, write: Write): void {
    if (process.dead) return;
    const mishap = this.#strikes.find(({ at }) => at === this.writes.length)?.mishap;
    this.writes.push(write);
    if (mishap?.startsWith('crash') || mishap?.endsWith('Crash')) this.#outside.crash(process);
  }

  passed(): void {
    for (const entry of this.#thaws) {
      entry.left -= 1;
      if (entry.left <= 0) entry.thaw();
    }
  }

  #growStale(mishap: Mishap, before: { readonly version: number; readonly atMs: number }): void {
    const { cluster, account } = this.#outside;
    this.grewStale = true;
    if (/Resource|Both/.test(mishap)) {
      cluster.freeze(before.version);
      this.#thawLater(() => cluster.freeze(undefined), mostStaleMs.resource);
    }
    if (/Inventory|Both/.test(mishap)) {
      account.frozenAtMs = before.atMs;
      this.#thawLater(() => (account.frozenAtMs = undefined), mostStaleMs.inventory);
    }
  }

  #thawLater(end: () => void, mostMs: number): void {
    const thaw = (): void => {
      this.#thaws.delete(entry);
      cancel();
      end();
    };
    const entry = { left: stalePasses, thaw };
    const cancel = this.#outside.clock.after(mostMs, thaw);
    this.#thaws.add(entry);
  }
}

/** The commit's end, to be told once the answer has travelled. */
function run<T>(commit: () => T): () => T {
  try {
    const value = commit();
    return () => value;
  } catch (error) {
    return () => {
      throw error;
    };
  }
}
