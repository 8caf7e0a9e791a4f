import type { Attempt, Refusal } from '../api/trainingjob.ts';
import { refusalWaitMs, withPod } from './attempts.ts';
import { iso, type Plan } from './plan.ts';
import type { CreateResult, Snapshot } from './snapshot.ts';

type Recorded = Pick<Plan, 'record' | 'say' | 'requeueAfterMs' | 'wantsList'>;

/** What a create's answer means for status: pure, and the same whether the answer came just now or a pass ago. */
export function recordCreate(snapshot: Snapshot, attempt: Attempt, result: CreateResult): Recorded {
  const createTime = attempt.createTime ?? iso(snapshot.own.create?.sentAtMs ?? snapshot.nowMs);
  switch (result.kind) {
    case 'created':
      return {
        record: { attempt: withPod({ ...attempt, createTime }, result.pod) },
        say: { reason: 'PodStarting', message: `Pod ${result.pod.id} is rented; waiting for its trainer to connect.` },
        requeueAfterMs: 0,
      };
    case 'refused': {
      const refusal = refused(snapshot, attempt.candidate, result);
      return {
        record: { attempt: { ...attempt, createTime, state: 'Refused' }, refusals: [refusal] },
        say: { reason: 'Placing', message: `Candidate ${attempt.candidate} was refused.` },
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

/** The candidate's line of refusals after one more. Counts go on while the spec and the class stay the same. */
export function refused(
  snapshot: Snapshot,
  candidate: string,
  refusal: { readonly class: Refusal['class']; readonly message: string; readonly retryAfterMs?: number },
): Refusal {
  const before = snapshot.status.placement?.refusals?.find((entry) => entry.candidate === candidate);
  const { generation } = snapshot.job.metadata;
  const count = before?.class === refusal.class && before.generation === generation ? before.count + 1 : 1;
  const waitMs = refusalWaitMs(snapshot, { ...refusal, count });
  return {
    candidate,
    class: refusal.class,
    message: refusal.message.slice(0, 512),
    count,
    generation,
    lastTime: iso(snapshot.nowMs),
    retryTime: iso(snapshot.nowMs + waitMs),
  };
}
