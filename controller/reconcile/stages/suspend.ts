import type { Attempt } from '../../api/trainingjob.ts';
import { iso, nothing, type Plan } from '../plan.ts';
import type { Snapshot } from '../snapshot.ts';
import { connectedAtMs } from './deadlines.ts';

/** Is a job with a pod to be suspended? A checkpoint is asked for and waited for, and then the pod is ended. */
export function suspend(snapshot: Snapshot): Plan | undefined {
  const { status, job, telemetry, nowMs } = snapshot;
  const { attempt } = status;
  if (attempt?.state !== 'Observed' || attempt.end || attempt.stop || telemetry?.finals[attempt.number])
    return undefined;
  if (!job.spec.suspend) return attempt.checkpointing && withdrawn(attempt);
  if (connectedAtMs(snapshot) === undefined) return ended(snapshot, attempt, 'Its trainer had not connected.');
  if (!attempt.checkpointing) return asked(snapshot, attempt);
  const stored = telemetry?.checkpoints.findLast(
    (entry) =>
      entry.verified && entry.attempt === attempt.number && entry.time >= Date.parse(attempt.checkpointing?.time ?? ''),
  );
  if (stored) return ended(snapshot, attempt, `The checkpoint of step ${stored.step} was stored and verified.`);
  if (nowMs < suspendedByMs(snapshot, attempt.checkpointing)) return undefined;
  const graceSeconds = snapshot.policy.stopGraceMs / 1000;
  return ended(
    snapshot,
    attempt,
    `No verified checkpoint came in ${graceSeconds} s; the run goes on from the one before.`,
  );
}

/** Until when the checkpoint is waited for. */
export function suspendedByMs({ policy }: Snapshot, checkpointing: NonNullable<Attempt['checkpointing']>): number {
  return Date.parse(checkpointing.time) + policy.stopGraceMs;
}

export const awaitingCheckpoint = {
  reason: 'AwaitingCheckpoint',
  message: 'spec.suspend is true: the trainer was asked for a checkpoint, after which its pod is ended.',
};

function asked({ nowMs, policy }: Snapshot, attempt: Attempt): Plan {
  // To the millisecond: a checkpoint that was reported before does not count.
  const checkpointing = { time: new Date(nowMs).toISOString() };
  return {
    stage: 'suspend',
    action: nothing,
    record: { attempt: { ...attempt, checkpointing } },
    say: awaitingCheckpoint,
    requeueAfterMs: policy.stopGraceMs,
  };
}

function withdrawn(attempt: Attempt): Plan {
  const { checkpointing: _withdrawn, ...rest } = attempt;
  return {
    stage: 'suspend',
    action: nothing,
    record: { attempt: rest },
    say: { reason: 'TrainerConnected', message: 'The job is not to be suspended any more.' },
    requeueAfterMs: 0,
  };
}

function ended({ nowMs }: Snapshot, attempt: Attempt, detail: string): Plan {
  const end = { reason: 'Suspended', message: `spec.suspend is true. ${detail}`, time: iso(nowMs) };
  return {
    stage: 'suspend',
    action: nothing,
    record: { attempt: { ...attempt, end } },
    say: { reason: end.reason, message: end.message },
    requeueAfterMs: 0,
    wantsList: true,
  };
}
