import type { FastifyInstance } from 'fastify';
import type { ServerDependencies } from '../dependencies.ts';

/** For probes: alive, and able to do its work. */
export function healthRoutes(server: FastifyInstance, { ready }: ServerDependencies, done: () => void): void {
  server.get('/healthz', async () => ({ status: 'ok' }));
  server.get('/readyz', async (_request, reply) => {
    const state = ready();
    return reply
      .code(state.ready ? 200 : 503)
      .send({ status: state.ready ? 'ok' : 'notReady', reasons: state.reasons });
  });
  done();
}
