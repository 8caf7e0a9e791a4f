import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Agent, request } from 'node:https';
import { readFileSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { KubeConnection } from '../../controller/kube/config.ts';
import type { SharedControlPlane } from './shared.ts';

/** What happens to a request instead of, or to, its answer. */
export type Fault =
  /** The connection ends without an answer. */
  | { readonly kind: 'cut' }
  /** This answer, without asking the API server. */
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly body: string;
      readonly headers?: Record<string, string>;
    }
  /** The API server does what it is asked; the connection ends instead of its answer. */
  | { readonly kind: 'lose' }
  /** The answer ends in the middle. */
  | { readonly kind: 'half' }
  /** The API server is asked something else instead. */
  | { readonly kind: 'rewrite'; readonly query: Readonly<Record<string, string>> }
  /** Nothing is sent on before this is settled. */
  | { readonly kind: 'hold'; readonly until: Promise<void> }
  /** Nothing of the answer's body comes through: the way to the API server is silent, and open. */
  | { readonly kind: 'silent' }
  /** These lines come first in the stream, then the API server's own. */
  | { readonly kind: 'inject'; readonly lines: readonly string[] }
  | { readonly kind: 'pass' };

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
}

/** Between a client and the real API server: passes everything on, but for the faults that a test asks for. */
export class FaultProxy {
  /** Decides on each request; undefined passes it on. */
  fault: ((request: SeenRequest) => Fault | undefined) | undefined;
  #away = false;
  readonly requests: SeenRequest[] = [];
  readonly #server: Server;
  readonly #agent: Agent;
  readonly #url: URL;
  readonly #streams = new Set<ServerResponse>();

  static async start(plane: Pick<SharedControlPlane, 'url' | 'caPath'>): Promise<FaultProxy> {
    const proxy = new FaultProxy(plane);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  private constructor(plane: Pick<SharedControlPlane, 'url' | 'caPath'>) {
    this.#url = new URL(plane.url);
    this.#agent = new Agent({ ca: readFileSync(plane.caPath), keepAlive: true });
    this.#server = createServer((incoming, outgoing) => {
      this.#serve(incoming, outgoing).catch(() => outgoing.destroy());
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The same user by way of this proxy. */
  connection(direct: KubeConnection): KubeConnection {
    return { ...direct, server: this.url };
  }

  /** How many watches are open, those that are held or silent among them. */
  get openStreams(): number {
    return this.#streams.size;
  }

  /** True: nothing answers here any more, and whatever was under way ends; false: all is as before. */
  setAway(away: boolean): void {
    this.#away = away;
    if (away) this.#server.closeAllConnections();
  }

  /** Ends the open watches in the middle of what they say. */
  cutStreams(): void {
    for (const stream of this.#streams) stream.destroy();
  }

  watches(): readonly SeenRequest[] {
    return this.requests.filter(({ query }) => query.get('watch') === 'true');
  }

  lists(plural: string): readonly SeenRequest[] {
    return this.requests.filter(
      ({ method, path, query }) => method === 'GET' && path.endsWith(`/${plural}`) && query.get('watch') === null,
    );
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#agent.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? '/', this.#url);
    const seen = { method: incoming.method ?? '', path: url.pathname, query: url.searchParams };
    if (this.#away) return void outgoing.destroy();
    this.requests.push(seen);
    if (seen.query.get('watch') === 'true') {
      this.#streams.add(outgoing);
      outgoing.once('close', () => this.#streams.delete(outgoing));
    }
    const fault = this.fault?.(seen) ?? { kind: 'pass' };
    if (fault.kind === 'cut') return void outgoing.destroy();
    if (fault.kind === 'answer') {
      outgoing.writeHead(fault.status, { 'content-type': 'application/json', ...fault.headers }).end(fault.body);
      return;
    }
    if (fault.kind === 'hold') await fault.until;
    if (fault.kind === 'rewrite')
      for (const [name, value] of Object.entries(fault.query)) url.searchParams.set(name, value);
    const upstream = request(url, {
      method: incoming.method,
      agent: this.#agent,
      headers: { ...incoming.headers, host: this.#url.host },
    });
    outgoing.once('close', () => upstream.destroy());
    incoming.pipe(upstream);
    const [answer] = (await once(upstream, 'response')) as [IncomingMessage];
    answer.on('error', () => outgoing.destroy());
    upstream.on('error', () => outgoing.destroy());
    if (fault.kind === 'lose') {
      answer.resume().once('end', () => outgoing.destroy());
      return;
    }
    if (fault.kind === 'half') {
      const body = await buffer(answer);
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      outgoing.write(body.subarray(0, body.length / 2), () => outgoing.destroy());
      return;
    }
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
    outgoing.flushHeaders();
    if (fault.kind === 'silent') return void answer.resume();
    if (fault.kind === 'inject') outgoing.write(fault.lines.map((line) => `${line}\n`).join(''));
    answer.pipe(outgoing);
  }
}
