import { request as forward, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Faults } from './faults.ts';
import type { Pods } from './pods.ts';

/** One request that passed the proxy, with all that Runpod could read of it. */
export interface Passed {
  readonly podID: string;
  readonly port: number;
  readonly method: string;
  readonly path: string;
  /** What the caller got. */
  readonly status: number;
  readonly request: Buffer;
  readonly response: Buffer;
}

export interface ProxyOptions {
  readonly pods: Pods;
  readonly faults: Faults;
  /** Longest time for one request; Runpod's is 100 s. */
  readonly limitMs: number;
  readonly passed: (passed: Passed) => void;
}

/** `/_proxy/{podID}/{port}/…` stands for Runpod's `https://{podID}-{port}.proxy.runpod.net/…`. */
export const proxyPath = '/_proxy/';

const hopByHop = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'host']);

/**
 * Runpod's HTTP proxy: needs no key, knows the pods' exposed HTTP ports only, and answers with pages of its own while nothing
 * listens. TLS would end here, so it sees every byte.
 */
export async function serveProxy(
  { pods, faults, limitMs, passed }: ProxyOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const [, , podID = '', port = '', ...rest] = (request.url ?? '').split('/');
  const path = `/${rest.join('/')}`;
  const body = await bytes(request);
  const method = request.method ?? 'GET';
  const end = (status: number, content: Buffer): void =>
    passed({ podID, port: Number(port), method, path, status, request: body, response: content });
  const page = (status: number): void => {
    const content = Buffer.from(`<html><body>${status}</body></html>`);
    response.writeHead(status, { 'content-type': 'text/html' }).end(content);
    end(status, content);
  };
  const pod = pods.live(podID);
  if (!pod?.body.ports.includes(`${port}/http`)) return page(404);
  if (faults.take('proxyAway', pod.body.name)) return page(502);
  const hostPort = pod.hostPorts.get(Number(port));
  if (pod.state !== 'RUNNING' || hostPort === undefined) return page(502);
  const losesReply = faults.take('loseProxyReply', pod.body.name) !== undefined;
  await new Promise<void>((resolve) => {
    const headers = Object.fromEntries(
      Object.entries(request.headers).filter(([name]) => !hopByHop.has(name) && name !== 'content-length'),
    );
    const onward = forward({
      host: '127.0.0.1',
      port: hostPort,
      method,
      path,
      headers: { ...headers, host: `${podID}-${port}`, 'content-length': String(body.length) },
    });
    const timer = setTimeout(() => fail(524), limitMs);
    let over = false;
    function finish(act: () => void): void {
      if (over) return;
      over = true;
      clearTimeout(timer);
      act();
      resolve();
    }
    function fail(status: number): void {
      finish(() => page(status));
      onward.destroy();
    }
    response.once('close', () => {
      finish(() => undefined);
      onward.destroy();
    });
    onward.once('error', () => fail(502));
    onward.once('response', (answer) => {
      bytes(answer).then(
        (content) =>
          finish(() => {
            const status = answer.statusCode ?? 502;
            end(status, content);
            if (losesReply) request.socket.destroy();
            else
              response
                .writeHead(status, { 'content-type': answer.headers['content-type'] ?? 'application/octet-stream' })
                .end(content);
          }),
        () => fail(502),
      );
    });
    onward.end(body);
  });
}

async function bytes(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}
