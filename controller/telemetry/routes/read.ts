import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { evaluationItems, pointItems, predictionItems } from '../history.ts';
import { jobParams } from '../schema.ts';
import { bearer } from '../bearer.ts';
import type { ServerDependencies } from '../dependencies.ts';
import { errorBody } from '../errorbody.ts';

interface JobRoute {
  Params: { uid: string };
  Querystring: Record<string, string>;
}

const step = { type: 'string', pattern: '^[0-9]{1,15}$' } as const;

/** A query that knows these members besides those of every page. */
const queryOf = (more: object) => ({
  type: 'object',
  additionalProperties: false,
  properties: {
    attempt: { type: 'string', pattern: '^[1-9][0-9]{0,8}$' },
    afterStep: step,
    limit: { type: 'string', pattern: '^[1-9][0-9]{0,4}$' },
    continue: { type: 'string', pattern: '^[0-9]{1,15}\\.[0-9]{1,4}$' },
    ...more,
  },
});

/** Which page of what is asked for; a prediction is some kilobytes, a point some hundred bytes. */
function pageOf({ attempt, afterStep, limit, continue: from }: JobRoute['Querystring'], most: number) {
  return {
    ...(attempt !== undefined && { attempt: Number(attempt) }),
    ...(afterStep !== undefined && { afterStep: Number(afterStep) }),
    ...(from !== undefined && { from }),
    limit: Math.min(most, Number(limit ?? most / 10)),
  };
}

/**
 * What was reported, for people: needs a Kubernetes token that may get the TrainingJob. A job that is not known and one that
 * may not be seen answer alike.
 */
export function readRoutes(server: FastifyInstance, dependencies: ServerDependencies, done: () => void): void {
  const { telemetry, store, authorize } = dependencies;

  async function guard(request: FastifyRequest<JobRoute>, reply: FastifyReply): Promise<FastifyReply | undefined> {
    const { uid } = request.params;
    const token = bearer(request.headers.authorization);
    const job = telemetry.jobOf(uid);
    // Asked for a job that is not known, too: the time of an answer must not tell which are.
    const verdict = token === '' ? 'unauthenticated' : await access(token, job ?? { namespace: 'default', name: uid });
    if (verdict === 'unknown') {
      return reply
        .code(503)
        .header('retry-after', '1')
        .send(errorBody('NOT_NOW', 'the API server cannot be asked about this token at the moment; try again'));
    }
    if (verdict === 'unauthenticated') {
      return reply
        .code(401)
        .header('www-authenticate', 'Bearer')
        .send(
          errorBody('UNAUTHENTICATED', 'send a Kubernetes token: Authorization: Bearer $(kubectl create token NAME)'),
        );
    }
    if (verdict === 'denied' || !job) {
      return reply.code(404).send(errorBody('NOT_FOUND', 'no TrainingJob of this uid that you may get has reported'));
    }
    return undefined;
  }

  async function access(token: string, job: { readonly namespace: string; readonly name: string }) {
    try {
      return await authorize(token, job);
    } catch {
      return 'unknown';
    }
  }

  const options = (more: object) => ({
    schema: { params: jobParams, querystring: queryOf(more) },
    onRequest: guard,
  });
  const ofPoints = options({ metric: { type: 'string', maxLength: 64 } });

  server.get<JobRoute>('/v1/jobs/:uid/points', ofPoints, async ({ params, query }) => {
    const { metric } = query;
    return pointItems(store, params.uid, { ...pageOf(query, 10_000), ...(metric !== undefined && { metric }) });
  });

  server.get<JobRoute>('/v1/jobs/:uid/predictions', options({ step }), async ({ params, query }) =>
    predictionItems(store, params.uid, {
      ...pageOf(query, 1000),
      ...(query['step'] !== undefined && { step: Number(query['step']) }),
    }),
  );

  server.get<JobRoute>('/v1/jobs/:uid/evaluations', ofPoints, async (request) => ({
    items: await evaluationItems(store, telemetry, request.params.uid),
  }));

  server.get<JobRoute>('/v1/jobs/:uid/checkpoints', ofPoints, async (request) => ({
    items: (telemetry.summary(request.params.uid)?.checkpoints ?? []).map(
      ({ attempt, step, uri, manifestSHA256, verified, time }) => ({
        attempt,
        step,
        uri,
        manifestSHA256,
        verified,
        time: new Date(time).toISOString(),
      }),
    ),
  }));

  done();
}
