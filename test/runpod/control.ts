import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Catalog } from './catalog.ts';
import { parseFault } from './faults.ts';
import { amount, integer, object, oneOf, text } from './shape.ts';
import type { Simulator } from './simulator.ts';

type Controlled = Omit<Simulator, 'url' | 'proxyUrl' | 'stop'>;

const keyShape = object({ account: text(1) }, ['account']);
const lossShape = object({ how: oneOf('vanish', 'error', 'exit') }, ['how']);

/** The simulator's own switches, under /_sim/; see README.md. They need no key: the server listens on this machine only. */
export function serveControl(
  simulator: Controlled,
  request: IncomingMessage,
  response: ServerResponse,
  body: string,
): void {
  const send = (status: number, json: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(json)}\n`);
  };
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
  const lost = /^\/_sim\/pods\/([^/]+)\/lose$/.exec(pathname)?.[1];
  try {
    if (lost !== undefined && request.method === 'POST') {
      const { how } = checked(json(body), lossShape) as { how: 'vanish' | 'error' | 'exit' };
      if (!simulator.pods.live(lost)) return send(404, { error: `there is no pod "${lost}"` });
      simulator.pods.lose(lost, how);
      return send(200, {});
    }
    switch (`${request.method} ${pathname}`) {
      case 'GET /_sim/bill':
        return send(200, { pods: simulator.bill() });
      case 'POST /_sim/keys': {
        const { account } = checked(json(body), keyShape) as { account: string };
        return send(200, { account, apiKey: simulator.keys.give(account) });
      }
      case 'DELETE /_sim/keys': {
        const key = searchParams.get('key') ?? '';
        return simulator.keys.revoke(key) ? send(200, {}) : send(404, { error: `there is no key "${key}"` });
      }
      case 'GET /_sim/calls':
        return send(200, { calls: simulator.calls });
      case 'GET /_sim/faults':
        return send(200, { faults: simulator.faults.list() });
      case 'POST /_sim/faults':
        simulator.fault(parseFault(json(body)));
        return send(200, {});
      case 'DELETE /_sim/faults':
        simulator.faults.clear(searchParams.get('kind') ?? undefined);
        return send(200, {});
      case 'POST /_sim/offers':
        return send(200, changeOffer(simulator.catalog, json(body)));
      default:
        return send(404, { error: `there is no ${request.method} ${pathname}; see test/runpod/README.md` });
    }
  } catch (error) {
    return send(400, { error: error instanceof Error ? error.message : String(error) });
  }
}

interface OfferChange {
  readonly id: string;
  readonly secure?: number;
  readonly community?: number;
  readonly perVcpu?: number;
  /** Pods in stock, in every data center or in the one named. */
  readonly stock?: number;
  readonly dataCenterId?: string;
}

const stockMembers = { id: text(1), stock: integer(0), dataCenterId: text(1) };
const gpuChange = object({ ...stockMembers, secure: amount, community: amount }, ['id']);
const cpuChange = object({ ...stockMembers, perVcpu: amount }, ['id']);

/** Changes price and stock of a GPU type or CPU flavor; throws what is wrong with the change. */
export function changeOffer(catalog: Catalog, value: unknown): object {
  const id: unknown = value !== null && typeof value === 'object' && 'id' in value ? value.id : undefined;
  const offer = catalog.offer(String(id));
  if (!offer) {
    const known = [...catalog.gpus, ...catalog.cpus].map((entry) => `"${entry.id}"`).join(', ');
    throw new Error(`there is no GPU type or CPU flavor "${String(id)}"; write one of ${known} as id`);
  }
  const wanted = checked(value, 'perVcpu' in offer ? cpuChange : gpuChange) as OfferChange;
  const { dataCenterId } = wanted;
  if (dataCenterId !== undefined && !offer.stock.has(dataCenterId))
    throw new Error(`there is no data center "${dataCenterId}"; write one of ${[...offer.stock.keys()].join(', ')}`);
  if ('perVcpu' in offer) offer.perVcpu = wanted.perVcpu ?? offer.perVcpu;
  else {
    offer.secure = wanted.secure ?? offer.secure;
    offer.community = wanted.community ?? offer.community;
  }
  for (const place of wanted.stock === undefined ? [] : offer.stock.keys()) {
    if (dataCenterId === undefined || dataCenterId === place) offer.stock.set(place, wanted.stock ?? 0);
  }
  return { id: offer.id, stock: Object.fromEntries(offer.stock) };
}

function checked(value: unknown, shape: ReturnType<typeof object>): unknown {
  const errors = shape(value, '$');
  if (errors.length > 0) throw new Error(errors.join('; '));
  return value;
}

function json(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new Error('the body is not JSON');
  }
}
