/** What can be made to go wrong. `times` uses it up (1 when absent, null: until it is cleared); `match` picks pods by name. */
export type Fault = { readonly times?: number | null; readonly match?: string } & (
  | {
      readonly kind: 'refuseCreate';
      readonly status: number;
      readonly detail: string;
      readonly retryAfterSeconds?: number;
    }
  /** The pod is made; the connection is cut instead of an answer. */
  | { readonly kind: 'loseCreateReply' }
  /** The pod is made; the answer is a 500. */
  | { readonly kind: 'createThen500' }
  /** The pod is made; the answer lacks its id. */
  | { readonly kind: 'createWithoutId' }
  /** The pod is made; the answer comes later. */
  | { readonly kind: 'slowCreateReply'; readonly ms: number }
  /** Every call is answered so. */
  | {
      readonly kind: 'refuseAll';
      readonly status: number;
      readonly detail: string;
      readonly retryAfterSeconds?: number;
    }
  /** A page of a proxy instead of an answer of Runpod. */
  | { readonly kind: 'htmlError'; readonly status: number }
  | { readonly kind: 'emptyList' }
  | { readonly kind: 'listLacks' }
  /** Pods younger than this are not listed yet. */
  | { readonly kind: 'listLag'; readonly ms: number }
  | { readonly kind: 'otherDataCenter'; readonly dataCenterId: string }
  | { readonly kind: 'chargedRate'; readonly costUsdPerHour: number }
  | { readonly kind: 'otherGpuCount'; readonly count: number }
  /** Answered 204; the pod stays. */
  | { readonly kind: 'deleteIgnored' }
  /** Answered 404; the pod stays. */
  | { readonly kind: 'deleteNotFound' }
  /** The pod ends; the answer comes later. */
  | { readonly kind: 'slowDeleteReply'; readonly ms: number }
  | { readonly kind: 'refuseDelete'; readonly status: number; readonly detail: string }
  /** The pod's own key opens nothing. */
  | { readonly kind: 'podKeyRefused' }
);

export type FaultKind = Fault['kind'];

interface Active {
  readonly fault: Fault;
  left: number;
}

export class Faults {
  #active: Active[] = [];

  add(fault: Fault): void {
    this.#active.push({ fault, left: fault.times === null ? Number.POSITIVE_INFINITY : (fault.times ?? 1) });
  }

  clear(kind?: string): void {
    this.#active = kind === undefined ? [] : this.#active.filter(({ fault }) => fault.kind !== kind);
  }

  list(): readonly Fault[] {
    return this.#active.map(({ fault }) => fault);
  }

  /** The first fault of this kind that concerns a pod of this name; uses it once. */
  take<Kind extends FaultKind>(kind: Kind, podName = ''): Extract<Fault, { kind: Kind }> | undefined {
    const found = this.#active.find(({ fault }) => fault.kind === kind && podName.includes(fault.match ?? ''));
    if (!found) return undefined;
    found.left -= 1;
    if (found.left <= 0) this.#active = this.#active.filter((entry) => entry !== found);
    return found.fault as Extract<Fault, { kind: Kind }>;
  }
}
