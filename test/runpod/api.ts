import type { Catalog } from './catalog.ts';
import { podBilling } from './billing.ts';
import { parseCreate } from './create.ts';
import type { Faults } from './faults.ts';
import { parseLogQuery, type LogQuery } from './logstream.ts';
import { PodLog } from './podlog.ts';
import { podJson, type Pods, type SimulatedPod, type Volume } from './pods.ts';
import { Problem } from './problem.ts';

export interface ApiRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: string;
  /** Whose key was sent; nothing of another account is there for it. */
  readonly account: string;
  readonly lastEventID: string | undefined;
  /** The pod whose own key was sent; undefined for the account's key. */
  readonly podKeyOf: string | undefined;
}

export interface ApiAnswer {
  readonly status: number;
  readonly json?: unknown;
  /** Sent instead of an answer. */
  readonly cut?: true;
  readonly html?: string;
  readonly delayMs?: number;
  /** Sent as events, until the other side ends it. */
  readonly stream?: { readonly log: PodLog; readonly query: LogQuery };
  readonly hangs?: true;
}

export interface ApiContext {
  readonly pods: Pods;
  readonly catalog: Catalog;
  readonly faults: Faults;
  readonly volumes: readonly Volume[];
}

/** Runpod's API v2, as far as an operator and an agent use it. Errors are thrown as Problems. */
export async function serveApi(context: ApiContext, request: ApiRequest): Promise<ApiAnswer> {
  const { catalog, volumes, pods } = context;
  const { pod, logs } = podIn(request.path);
  if (request.podKeyOf !== undefined && request.podKeyOf !== pod) throw new Problem(403, 'access denied');
  if (pod !== undefined && logs) return serveLogs(context, request, pod);
  if (pod !== undefined) return servePod(context, request, pod);
  switch (request.path) {
    case '/v2/pods':
      if (request.method === 'POST') return create(context, request);
      return get(request, () => ({ pods: listed(context, request.account).map(podJson) }), 'GET, POST');
    case '/v2/catalog/gpus':
      return get(request, () => catalog.gpuList(request.query));
    case '/v2/catalog/cpus':
      return get(request, () => catalog.cpuList(request.query));
    case '/v2/network-volumes':
      return get(request, () => ({ networkVolumes: volumes.map((volume) => ({ ...volume, type: 'STANDARD' })) }));
    case '/v2/billing/pods':
      return get(request, () => podBilling(pods.of(request.account), request.query.get('podId')));
    default:
      throw new Problem(404, 'resource not found');
  }
}

function podIn(path: string): { readonly pod: string | undefined; readonly logs: boolean } {
  const [, id, logs] = /^\/v2\/pods\/([^/]+)(\/logs)?$/.exec(path) ?? [];
  try {
    return { pod: id === undefined ? undefined : decodeURIComponent(id), logs: logs !== undefined };
  } catch {
    throw new Problem(404, 'resource not found');
  }
}

function get(request: ApiRequest, json: () => unknown, allowed = 'GET'): ApiAnswer {
  if (request.method !== 'GET') throw notAllowed(allowed);
  return { status: 200, json: json() };
}

function notAllowed(allowed: string): Problem {
  return new Problem(405, 'The requested method is not allowed for this path.', [], { Allow: allowed });
}

function create({ pods, faults }: ApiContext, { body: text, account }: ApiRequest): ApiAnswer {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw new Problem(400, 'malformed JSON in request body');
  }
  const parsed = parseCreate(body);
  const refusal = faults.take('refuseCreate', parsed.name);
  if (refusal) throw refused(refusal);
  const pod = pods.create(parsed, account);
  const json = podJson(pod);
  if (faults.take('loseCreateReply', parsed.name)) return { status: 201, cut: true };
  if (faults.take('createThen500', parsed.name)) throw new Problem(500, 'internal error');
  if (faults.take('createWithoutId', parsed.name)) return { status: 201, json: { ...json, id: undefined } };
  const slow = faults.take('slowCreateReply', parsed.name);
  return { status: 201, json, ...(slow && { delayMs: slow.ms }) };
}

export function refused(fault: {
  readonly status: number;
  readonly detail: string;
  readonly retryAfterSeconds?: number;
}): Problem {
  const headers: Record<string, string> =
    fault.retryAfterSeconds === undefined ? {} : { 'Retry-After': String(fault.retryAfterSeconds) };
  return new Problem(fault.status, fault.detail, [], headers);
}

function listed({ pods, faults }: ApiContext, account: string): readonly SimulatedPod[] {
  if (faults.take('emptyList')) return [];
  const live = pods.of(account).filter((pod) => pod.endedMs === undefined);
  return live.filter((pod) => {
    if (faults.take('listLacks', pod.body.name)) return false;
    const lag = faults.list().find((fault) => fault.kind === 'listLag' && pod.body.name.includes(fault.match ?? ''));
    return !(lag?.kind === 'listLag' && Date.now() - pod.createdMs < lag.ms);
  });
}

async function servePod({ pods, faults }: ApiContext, request: ApiRequest, id: string): Promise<ApiAnswer> {
  const pod = pods.live(id);
  if (pod?.account !== request.account) throw new Problem(404, 'resource not found');
  if (request.method === 'GET') return { status: 200, json: podJson(pod) };
  if (request.method !== 'DELETE') throw notAllowed('GET, DELETE');
  const refusal = faults.take('refuseDelete', pod.body.name);
  if (refusal) throw refused(refusal);
  if (faults.take('deleteNotFound', pod.body.name)) throw new Problem(404, 'resource not found');
  if (!faults.take('deleteIgnored', pod.body.name)) void pods.delete(id);
  const slow = faults.take('slowDeleteReply', pod.body.name);
  return { status: 204, ...(slow && { delayMs: slow.ms }) };
}

function serveLogs({ pods, faults }: ApiContext, request: ApiRequest, id: string): ApiAnswer {
  if (request.method !== 'GET') throw notAllowed('GET');
  const pod = pods.live(id);
  if (pod?.account !== request.account) throw new Problem(404, 'resource not found');
  const refusal = faults.take('refuseLogs', pod.body.name);
  if (refusal) throw refused(refusal);
  const query = parseLogQuery(request.query, request.lastEventID);
  if (faults.take('hangLogs', pod.body.name)) return { status: 200, hangs: true };
  const log = faults.take('silentLogs', pod.body.name) ? new PodLog() : pod.log;
  return { status: 200, stream: { log, query } };
}
