import { hardEndSeconds } from '../limits.ts';
import type { Plan } from '../plan.ts';
import { iso, nothing } from '../plan.ts';
import type { Snapshot } from '../snapshot.ts';
import { asking } from '../standing.ts';

/** Is an intent written whose create was not sent? The intent is in status by now, confirmed by the API server (I3). */
export function launch(snapshot: Snapshot): Plan | undefined {
  const { attempt } = snapshot.status;
  if (attempt?.state !== 'Intent' || snapshot.own.freshIntent !== attempt.number) return undefined;
  const candidate = snapshot.job.spec.compute.candidates.find((entry) => entry.name === attempt.candidate);
  if (!candidate) {
    return {
      stage: 'launch',
      action: nothing,
      record: { attempt: { ...attempt, state: 'Abandoned' } },
      say: { reason: 'Placing', message: `Candidate ${attempt.candidate} is no longer in the spec.` },
      requeueAfterMs: 0,
    };
  }
  const endSeconds = hardEndSeconds(snapshot, candidate);
  return {
    stage: 'launch',
    action: {
      kind: 'createPod',
      attempt: { ...attempt, createTime: iso(snapshot.nowMs) },
      candidate,
      ...(endSeconds !== undefined && { hardEndSeconds: endSeconds }),
    },
    record: {},
    say: asking(snapshot, `Asking Runpod for candidate ${candidate.name}.`),
    requeueAfterMs: 0,
  };
}
