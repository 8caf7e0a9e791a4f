import Fastify, { type FastifyError, type FastifyInstance } from 'fastify';
import type { ServerDependencies } from './dependencies.ts';
import { agentRoutes } from './routes/agent.ts';
import { healthRoutes } from './routes/health.ts';
import { readRoutes } from './routes/read.ts';
import { errorBody } from './errorbody.ts';
import { limits } from './schema.ts';

/** The public HTTP server: agents report and fetch their configuration here, people read points. */
export async function buildServer(dependencies: ServerDependencies): Promise<FastifyInstance> {
  const server = Fastify({
    logger: false,
    bodyLimit: limits.bodyBytes,
    requestTimeout: 30_000,
    connectionTimeout: 60_000,
    keepAliveTimeout: 75_000,
    routerOptions: { maxParamLength: 100 },
    // Nothing is converted, filled in or dropped: what does not fit is refused with the rule that it breaks.
    ajv: {
      customOptions: {
        coerceTypes: false,
        removeAdditional: false,
        useDefaults: false,
        discriminator: true,
        allowUnionTypes: true,
      },
    },
  });
  server.setErrorHandler((error: FastifyError, _request, reply) => {
    const status = error.statusCode ?? 500;
    const code = error.validation ? 'INVALID' : (error.code ?? 'INTERNAL');
    const message = status < 500 ? error.message : 'the operator failed to serve this request; try again';
    return reply.code(status).send(errorBody(code, message));
  });
  server.setNotFoundHandler((_request, reply) =>
    reply.code(404).send(errorBody('NOT_FOUND', 'there is nothing at this path')),
  );
  await server.register(agentRoutes, dependencies);
  await server.register(readRoutes, dependencies);
  await server.register(healthRoutes, dependencies);
  return server;
}
