import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Fault } from './faults.ts';
import type { Simulator } from './simulator.ts';

type Controlled = Omit<Simulator, 'url' | 'stop'>;

interface OfferChange {
  readonly id: string;
  readonly secure?: number;
  readonly community?: number;
  readonly perVcpu?: number;
  /** Pods in stock, in every data center or in the one named. */
  readonly stock?: number;
  readonly dataCenterId?: string;
}

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
  const lose = /^\/_sim\/pods\/([^/]+)\/lose$/.exec(pathname)?.[1];
  try {
    if (lose !== undefined && request.method === 'POST') {
      simulator.pods.lose(lose, (JSON.parse(body) as { how: 'vanish' | 'error' | 'exit' }).how);
      return send(200, {});
    }
    switch (`${request.method} ${pathname}`) {
      case 'GET /_sim/bill':
        return send(200, { pods: simulator.bill() });
      case 'GET /_sim/calls':
        return send(200, { calls: simulator.calls });
      case 'GET /_sim/faults':
        return send(200, { faults: simulator.faults.list() });
      case 'POST /_sim/faults':
        simulator.fault(JSON.parse(body) as Fault);
        return send(200, {});
      case 'DELETE /_sim/faults':
        simulator.faults.clear(searchParams.get('kind') ?? undefined);
        return send(200, {});
      case 'POST /_sim/offers':
        return send(200, change(simulator, JSON.parse(body) as OfferChange));
      default:
        return send(404, { error: `there is no ${request.method} ${pathname}; see test/runpod/README.md` });
    }
  } catch (error) {
    return send(400, { error: String(error) });
  }
}

function change({ catalog }: Controlled, wanted: OfferChange): object {
  const offer = catalog.offer(wanted.id);
  if (!offer) throw new Error(`no GPU type or CPU flavor "${wanted.id}"`);
  if ('perVcpu' in offer) offer.perVcpu = wanted.perVcpu ?? offer.perVcpu;
  else {
    offer.secure = wanted.secure ?? offer.secure;
    offer.community = wanted.community ?? offer.community;
  }
  if (wanted.stock !== undefined) {
    for (const place of offer.stock.keys()) {
      if (wanted.dataCenterId === undefined || wanted.dataCenterId === place) offer.stock.set(place, wanted.stock);
    }
  }
  return { id: offer.id, stock: Object.fromEntries(offer.stock) };
}
