import { Puller, type PullOptions, type PullTarget } from './puller.ts';

/** The pods that are called: one loop for each live attempt of transport Pull, on the leader only. */
export class Pulls {
  readonly #options: PullOptions;
  readonly #pullers = new Map<string, Puller>();
  readonly #ending = new Set<Promise<void>>();

  constructor(options: PullOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#pullers.size;
  }

  /** From now on this pod is called, and no other of its job. The same again changes nothing. */
  begin(target: PullTarget): void {
    if (this.#pullers.get(target.uid)?.calls(target)) return;
    this.end(target.uid);
    this.#pullers.set(target.uid, new Puller(target, this.#options));
  }

  /** No pod of this job is called any more (I17). */
  end(uid: string): void {
    const puller = this.#pullers.get(uid);
    if (!puller) return;
    this.#pullers.delete(uid);
    const ended = puller.end().finally(() => this.#ending.delete(ended));
    this.#ending.add(ended);
  }

  async close(): Promise<void> {
    for (const uid of this.#pullers.keys()) this.end(uid);
    await Promise.all(this.#ending);
  }
}
