import { createServer, type Server, type ServerResponse } from 'node:http';

export interface Operations {
  /** The exposition format of Prometheus. */
  readonly metrics: () => Promise<string>;
  readonly ready: () => { readonly ready: boolean; readonly reasons: readonly string[] };
}

/** Serves /metrics and the probes /healthz and /readyz, on a port of its own that no pod and no tenant needs to reach. */
export function operationsServer({ metrics, ready }: Operations): Server {
  return createServer((request, response) => {
    const path = request.url?.split('?')[0] ?? '';
    if (!['/metrics', '/healthz', '/readyz'].includes(path)) {
      plain(response, 404, 'metrics are at /metrics, probes at /healthz and /readyz\n');
      return;
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      plain(response, 405, `${path} is only read\n`);
      return;
    }
    if (path === '/healthz') {
      plain(response, 200, 'ok\n');
    } else if (path === '/readyz') {
      const state = ready();
      plain(response, state.ready ? 200 : 503, state.ready ? 'ok\n' : `${state.reasons.join('\n')}\n`);
    } else {
      metrics().then(
        (text) => plain(response, 200, text, 'text/plain; version=0.0.4; charset=utf-8'),
        (error: unknown) => plain(response, 500, `${String(error)}\n`),
      );
    }
  });
}

function plain(response: ServerResponse, status: number, text: string, type = 'text/plain'): void {
  response.writeHead(status, { 'content-type': type }).end(text);
}
