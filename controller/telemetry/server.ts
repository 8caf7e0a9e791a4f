import Fastify, { type FastifyError, type FastifyInstance } from 'fastify';
import type { ServerDependencies } from './dependencies.ts';
import { agentRoutes } from './routes/agent.ts';
import { healthRoutes } from './routes/health.ts';
import { readRoutes } from './routes/read.ts';
import { errorBody } from './errorbody.ts';
import { invalidSentence } from './invalid.ts';
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
    schemaErrorFormatter: invalidSentence,
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
  server.removeContentTypeParser('text/plain');
  server.setErrorHandler((error: FastifyError, _request, reply) => {
    const status = error.statusCode ?? 500;
    const { code, message } = refusalOf(status, error);
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

/** What the framework refused before a route saw it, in this protocol's words. */
function refusalOf(status: number, error: FastifyError): { readonly code: string; readonly message: string } {
  if (error.validation) return { code: 'INVALID', message: error.message };
  switch (status) {
    case 413:
      return { code: 'TOO_LARGE', message: `the body is over ${limits.bodyBytes} bytes; send fewer events at once` };
    case 415:
      return { code: 'CONTENT_TYPE', message: 'the body must be JSON; send it with Content-Type: application/json' };
    default:
      return status < 500
        ? { code: 'MALFORMED', message: error.message }
        : { code: 'INTERNAL', message: 'the operator failed to serve this request; try again' };
  }
}
