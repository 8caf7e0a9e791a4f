import type { ResolvedSpec } from '../api/resolve.ts';
import type { TrainingJobStatus } from '../api/trainingjob.ts';
import { counted, faultOf, retriesOf, retryWaitMs, type AttemptEnd } from './faults.ts';
import { concluded } from './outcome.ts';
import { iso, isoUp, nothing, type Plan, type Say } from './plan.ts';
import type { Snapshot } from './snapshot.ts';

/** Leaves room for what is said besides: a message in status has 1024 characters. */
const mostOfMessage = 800;

/** The plan for an attempt that ended without success: it is tried again as long as its kind of fault may be, or the job fails. */
export function attemptOver(snapshot: Snapshot, stage: string, end: AttemptEnd): Plan {
  const { status, job, nowMs, policy } = snapshot;
  const { attempt } = status;
  const fault = faultOf(end);
  if (!attempt || !fault) return concluded(snapshot, stage, { result: 'Failed', ...end });
  const message = end.message.slice(0, mostOfMessage);
  const { used, limit, field } = retriesOf(fault, status, job.spec.runPolicy);
  if (used >= limit) {
    const why = limit === 0 ? `${field} is 0` : `the retries that ${field} allows, ${limit}, are used up`;
    return concluded(snapshot, stage, {
      result: 'Failed',
      ...end,
      message: `${message} Attempt ${attempt.number} was the last: ${why}.`,
    });
  }
  const over = { ...attempt, end: { reason: end.reason, message, time: iso(nowMs), fault } };
  const retries = counted(status.retries, fault);
  const retryTime = isoUp(nowMs + retryWaitMs(retries, policy));
  const record = { attempt: over, retries, retryTime };
  return {
    stage,
    action: nothing,
    record,
    say: recovering({ ...status, ...record }, job.spec.runPolicy) ?? { reason: end.reason, message },
    requeueAfterMs: 0,
    wantsList: true,
  };
}

/** What is said between an attempt that ended in a fault and the next one. */
export function recovering(status: TrainingJobStatus, runPolicy: ResolvedSpec['runPolicy']): Say | undefined {
  const { attempt, retryTime } = status;
  if (!attempt?.end?.fault) return undefined;
  const { reason, message, fault } = attempt.end;
  const { used, limit, field } = retriesOf(fault, status, runPolicy);
  const from = retryTime === undefined ? '' : ` from ${retryTime} on`;
  return {
    reason,
    message: `Attempt ${attempt.number} ended: ${message} It is tried again${from}; after that, ${Math.max(0, limit - used)} of ${limit} retries are left (${field}).`,
  };
}
