import type { FastifyInstance } from 'fastify';
import type { Answer, Question } from './question.ts';

/** Whose question it is: the attempt that was called, and the token with which its pod proved to be the one. */
export interface Asker {
  readonly uid: string;
  readonly attempt: number;
  readonly token: string;
}

/**
 * A question that was pulled is a request to the telemetry server like any other, only without a network: the same schema,
 * limits and rules, so that no report is taken in one direction that would be refused in the other.
 */
export function servedBy(server: FastifyInstance): (question: Question, asker: Asker) => Promise<Answer> {
  return async ({ id, podID, kind, body }, { uid, attempt, token }) => {
    const posted = kind === 'events';
    const response = await server.inject({
      method: posted ? 'POST' : 'GET',
      url: `/v1/jobs/${uid}/attempts/${attempt}/${kind}`,
      headers: {
        authorization: `Bearer ${token}`,
        'x-runpod-pod-id': podID,
        ...(posted && { 'content-type': 'application/json' }),
      },
      ...(posted && { payload: JSON.stringify(body) }),
    });
    const retryAfter = Number(response.headers['retry-after'] ?? Number.NaN);
    return {
      id,
      status: response.statusCode,
      body: JSON.parse(response.payload) as unknown,
      retryAfterSeconds: Number.isFinite(retryAfter) ? retryAfter : null,
    };
  };
}
