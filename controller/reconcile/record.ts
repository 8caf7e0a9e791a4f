import type { Attempt } from '../api/trainingjob.ts';
import { withPod } from './attempts.ts';
import { breach } from './breach.ts';
import { iso, type Plan } from './plan.ts';
import { refusal } from './refusal.ts';
import type { CreateResult, Snapshot } from './snapshot.ts';
import { asking } from './standing.ts';

type Recorded = Pick<Plan, 'record' | 'say' | 'requeueAfterMs' | 'wantsList'>;

/** What a create's answer means for status: pure, and the same whether the answer came just now or a pass ago. */
export function recordCreate(snapshot: Snapshot, attempt: Attempt, result: CreateResult): Recorded {
  const createTime = attempt.createTime ?? iso(snapshot.own.create?.sentAtMs ?? snapshot.nowMs);
  switch (result.kind) {
    case 'created': {
      const sent = { ...attempt, createTime };
      const wrong = breach(snapshot, sent, result.pod);
      if (wrong) return wrong;
      return {
        record: { attempt: withPod(sent, result.pod) },
        say: { reason: 'PodStarting', message: `Pod ${result.pod.id} is rented; waiting for its trainer to connect.` },
        requeueAfterMs: 0,
      };
    }
    case 'refused': {
      const line = refusal(snapshot, attempt.candidate, result);
      return {
        record: { attempt: { ...attempt, createTime, state: 'Refused' }, refusals: [line] },
        say: asking(snapshot, `Candidate ${attempt.candidate} was refused.`),
        requeueAfterMs: 0,
      };
    }
    case 'unknown':
      return {
        record: { attempt: { ...attempt, createTime, state: 'Unknown' } },
        say: {
          reason: 'CreateOutcomeUnknown',
          message: `The create of pod ${attempt.podName} got no usable answer (${result.message}); looking for the pod before anything else is asked for.`,
        },
        requeueAfterMs: 0,
        wantsList: true,
      };
  }
}
