import { amount, integer, nullable, object, text, type Shape } from './shape.ts';

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
  /** The image takes this long to come. */
  | { readonly kind: 'slowPull'; readonly ms: number }
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
  | {
      readonly kind: 'refuseDelete';
      readonly status: number;
      readonly detail: string;
      readonly retryAfterSeconds?: number;
    }
  | {
      readonly kind: 'refuseLogs';
      readonly status: number;
      readonly detail: string;
      readonly retryAfterSeconds?: number;
    }
  /** A request for a pod's log gets no answer. */
  | { readonly kind: 'hangLogs' }
  /** A pod's log is open, and says nothing. */
  | { readonly kind: 'silentLogs' }
  /** The pod's own key opens nothing. */
  | { readonly kind: 'podKeyRefused' }
  /** The HTTP proxy answers with a page of its own. */
  | { readonly kind: 'proxyAway' }
  /** The pod served a request by the proxy; the connection is cut instead of its answer. */
  | { readonly kind: 'loseProxyReply' }
);

export type FaultKind = Fault['kind'];

const refusal = [
  { status: integer(400, 599), detail: text(), retryAfterSeconds: integer(0) },
  ['status', 'detail'],
] as const;
const delay = [{ ms: integer(0) }, ['ms']] as const;
const plain = [{}, []] as const;

/** What each kind of fault is told besides its kind, and which of that it must be told. */
const kinds: Readonly<Record<FaultKind, readonly [Readonly<Record<string, Shape>>, readonly string[]]>> = {
  refuseCreate: refusal,
  loseCreateReply: plain,
  createThen500: plain,
  createWithoutId: plain,
  slowCreateReply: delay,
  slowPull: delay,
  refuseAll: refusal,
  htmlError: [{ status: integer(400, 599) }, ['status']],
  emptyList: plain,
  listLacks: plain,
  listLag: delay,
  otherDataCenter: [{ dataCenterId: text(1) }, ['dataCenterId']],
  chargedRate: [{ costUsdPerHour: amount }, ['costUsdPerHour']],
  otherGpuCount: [{ count: integer(0) }, ['count']],
  deleteIgnored: plain,
  deleteNotFound: plain,
  slowDeleteReply: delay,
  refuseDelete: refusal,
  refuseLogs: refusal,
  hangLogs: plain,
  silentLogs: plain,
  podKeyRefused: plain,
  proxyAway: plain,
  loseProxyReply: plain,
};

/** A fault that came as JSON; throws what is wrong with it. */
export function parseFault(value: unknown): Fault {
  const kind: unknown = value !== null && typeof value === 'object' && 'kind' in value ? value.kind : undefined;
  if (typeof kind !== 'string' || !Object.hasOwn(kinds, kind))
    throw new Error(`there is no fault "${String(kind)}"; write one of ${Object.keys(kinds).join(', ')}`);
  const [members, required] = kinds[kind as FaultKind];
  const errors = object({ kind: text(), times: nullable(integer(1)), match: text(), ...members }, [
    'kind',
    ...required,
  ])(value, kind);
  if (errors.length > 0) throw new Error(errors.join('; '));
  return value as Fault;
}

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
