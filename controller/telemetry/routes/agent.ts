import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Buckets } from '../bucket.ts';
import type { Batch } from '../protocol.ts';
import { attemptParams, batchSchema } from '../schema.ts';
import { bearer } from '../bearer.ts';
import type { ServerDependencies } from '../dependencies.ts';
import { errorBody } from '../errorbody.ts';
import type { Refusal } from '../admission.ts';

interface AttemptRoute {
  Params: { uid: string; attempt: string };
}

/** What the agent of an attempt calls: its events in, its configuration out. */
export function agentRoutes(
  server: FastifyInstance,
  { telemetry, clock, configFor }: ServerDependencies,
  done: () => void,
): void {
  const perAttempt = new Buckets(clock, 20, 40);
  const failures = new Buckets(clock, 10, 50);

  server.post<AttemptRoute & { Body: Batch }>(
    '/v1/jobs/:uid/attempts/:attempt/events',
    { schema: { params: attemptParams, body: batchSchema }, onRequest: authenticate },
    async (request, reply) => {
      const { uid, attempt } = request.params;
      const { body } = request;
      if ((body.sequence === undefined) !== (body.events.length === 0)) {
        return reply
          .code(400)
          .send(errorBody('SEQUENCE', 'a batch with events needs a sequence, and one without events has none'));
      }
      const result = await telemetry.accept(bearer(request.headers.authorization), uid, Number(attempt), body);
      return result.kind === 'accepted' ? result.answer : refuse(request, reply, result);
    },
  );

  server.get<AttemptRoute>(
    '/v1/jobs/:uid/attempts/:attempt/config',
    { schema: { params: attemptParams }, onRequest: authenticate },
    async (request, reply) => {
      const { uid, attempt } = request.params;
      const podID = request.headers['x-runpod-pod-id']?.toString() ?? '';
      const refusal = telemetry.admit(bearer(request.headers.authorization), uid, Number(attempt), podID);
      if (refusal) return refuse(request, reply, refusal);
      const answer = await configFor(uid, Number(attempt));
      switch (answer.status) {
        case 'ok':
          return reply.header('cache-control', 'no-store').send(answer.config);
        case 'wait':
          return refuse(request, reply, { kind: 'notYet', message: answer.reason });
        case 'superseded':
          return refuse(request, reply, { kind: 'superseded', message: 'this attempt is over; end the pod' });
      }
    },
  );

  /**
   * The token is looked at before anything is read of a body: who has none costs little and learns nothing of the protocol.
   * A good one is served whatever its neighbours do: many pods may share one address.
   */
  async function authenticate(
    request: FastifyRequest<AttemptRoute>,
    reply: FastifyReply,
  ): Promise<FastifyReply | undefined> {
    const { uid, attempt } = request.params;
    const refusal = telemetry.admit(bearer(request.headers.authorization), uid, Number(attempt), '');
    if (refusal?.kind === 'unauthorized') return refuse(request, reply, refusal);
    if (!perAttempt.take(`${uid}/${attempt}`))
      return tooMany(reply, 'more than 20 requests per second for one attempt');
    if (request.headers['content-encoding'] !== undefined) {
      return reply
        .code(415)
        .send(errorBody('ENCODING', 'the body must not be compressed; send it without Content-Encoding'));
    }
    return undefined;
  }

  function refuse(request: FastifyRequest, reply: FastifyReply, refusal: Refusal): FastifyReply {
    switch (refusal.kind) {
      case 'unauthorized':
        if (!failures.take(request.ip))
          return tooMany(reply, 'too many requests without a valid token from this address');
        return reply
          .code(401)
          .header('www-authenticate', 'Bearer')
          .send(errorBody('TOKEN_INVALID', 'the token does not open this attempt'));
      case 'superseded':
        return reply.code(410).send(errorBody('SUPERSEDED', refusal.message));
      case 'notYet':
        return reply.code(503).header('retry-after', '1').send(errorBody('NOT_YET', refusal.message));
      case 'conflict':
        return reply.code(409).send({ ...errorBody('SEQUENCE_CONFLICT', refusal.message), expected: refusal.expected });
    }
  }

  function tooMany(reply: FastifyReply, message: string): FastifyReply {
    return reply.code(429).header('retry-after', '1').send(errorBody('TOO_MANY_REQUESTS', message));
  }

  done();
}
