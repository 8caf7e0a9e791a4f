import { createServer, request as send, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Exchange } from './exchange.ts';

export interface Recorder {
  readonly url: string;
  readonly exchanges: readonly Exchange[];
  stop(): Promise<void>;
}

/** A server in front of another that passes everything on and keeps a record of both sides, as they went over the wire. */
export async function startRecorder(target: string): Promise<Recorder> {
  const exchanges: Exchange[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const requestBody = await text(request);
      const forward = send(new URL(request.url ?? '/', target), { method: request.method, headers: request.headers });
      forward.once('error', () => response.destroy());
      forward.once('response', (answer) => {
        const record = (body: string): void => {
          exchanges.push({
            method: request.method ?? '',
            target: request.url ?? '/',
            requestHeaders: flat(request.headers),
            requestBody,
            status: answer.statusCode ?? 0,
            headers: flat(answer.headers),
            body,
          });
        };
        if (answer.headers['content-type'] === 'text/event-stream') {
          const chunks: Buffer[] = [];
          answer.on('data', (chunk: Buffer) => chunks.push(chunk));
          answer.on('error', () => undefined);
          response.writeHead(answer.statusCode ?? 502, answer.headers);
          response.flushHeaders();
          answer.pipe(response);
          // Its end is that of whoever listens.
          response.once('close', () => {
            forward.destroy();
            record(Buffer.concat(chunks).toString('utf8'));
          });
          return;
        }
        void (async () => {
          const body = await text(answer);
          record(body);
          response.writeHead(answer.statusCode ?? 502, answer.headers).end(body);
        })();
      });
      forward.end(requestBody);
    })();
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    exchanges,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function flat(headers: IncomingMessage['headers']): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [[name, value.toString()]])),
  );
}

async function text(message: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of message as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
