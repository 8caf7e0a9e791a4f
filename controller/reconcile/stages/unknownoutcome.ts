import type { Attempt } from '../../api/trainingjob.ts';
import { iso, nothing, type Plan } from '../plan.ts';
import type { CreateResult, Snapshot } from '../snapshot.ts';
import { ledgerEntry } from '../ledger.ts';
import { recordCreate } from '../record.ts';
import { accountTrouble } from './admit.ts';

/**
 * Did the create that was, or may have been, sent make a pod?
 *
 * Nothing else may happen before this is known: not a second create (I2), not the finalizer's removal (I4). An intent that
 * this process did not write itself counts as sent, because the process before it may have died right after sending.
 */
export function unknownOutcome(snapshot: Snapshot): Plan | undefined {
  const { attempt } = snapshot.status;
  if (!attempt || (attempt.state !== 'Unknown' && attempt.state !== 'Intent')) return undefined;
  if (attempt.state === 'Intent' && snapshot.own.freshIntent === attempt.number) return undefined;

  const create = snapshot.own.create?.attempt === attempt.number ? snapshot.own.create : undefined;
  const found = snapshot.inventory.pods
    .filter((pod) => pod.name === attempt.podName)
    .toSorted(
      (a, b) => Number(b.status === 'RUNNING') - Number(a.status === 'RUNNING') || a.createdAt - b.createdAt,
    )[0];
  const answer: CreateResult | undefined = found ? { kind: 'created', pod: found } : create?.result;
  if (answer && answer.kind !== 'unknown') {
    // Either the list shows the pod, or the answer came and only its status write failed.
    return { ...recordCreate(snapshot, attempt, answer), stage: 'unknownOutcome', action: nothing };
  }

  const sinceMs = create?.sentAtMs ?? snapshot.own.processStartedAtMs;
  const untilMs = sinceMs + snapshot.policy.createGraceMs;
  const { listedAtMs } = snapshot.inventory;
  const givenUp = snapshot.nowMs >= untilMs && listedAtMs !== undefined && listedAtMs >= untilMs;
  return givenUp ? abandoned(snapshot, attempt) : looking(snapshot, attempt, untilMs);
}

function abandoned(snapshot: Snapshot, attempt: Attempt): Plan {
  const message = `No pod named ${attempt.podName} appeared; if it does later, it is ended as an orphan.`;
  return {
    stage: 'unknownOutcome',
    action: nothing,
    record: {
      attempt: { ...attempt, state: 'Abandoned' },
      ledger: { ...ledgerEntry(snapshot, attempt, 'CreateOutcomeUnknown', message), endTime: iso(snapshot.nowMs) },
    },
    say: { reason: 'Placing', message },
    requeueAfterMs: 0,
  };
}

function looking(snapshot: Snapshot, attempt: Attempt, untilMs: number): Plan {
  return {
    stage: 'unknownOutcome',
    action: nothing,
    record: attempt.state === 'Intent' ? { attempt: { ...attempt, state: 'Unknown' } } : {},
    say: accountTrouble(snapshot) ?? {
      reason: 'CreateOutcomeUnknown',
      message: `It is not known whether Runpod created pod ${attempt.podName}; nothing else is asked for until lists of pods show it, or do not.`,
    },
    // After that time only another list can help, and it makes the job due by itself.
    ...(untilMs > snapshot.nowMs && { requeueAfterMs: untilMs - snapshot.nowMs }),
    wantsList: true,
  };
}
