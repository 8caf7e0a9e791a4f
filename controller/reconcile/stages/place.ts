import { podName, uid12 } from '../../api/identity.ts';
import type { Candidate } from '../../api/trainingjob.ts';
import { mayHavePod } from '../attempts.ts';
import { iso, nothing, type Plan } from '../plan.ts';
import type { Snapshot } from '../snapshot.ts';
import { asking, shortage, standings } from '../standing.ts';

/**
 * Which candidate is asked for next? The first in the user's order that is not waiting out a refusal.
 *
 * The answer is an intent: written before the create is sent, so that a pod whose create's answer is lost has a known name.
 */
export function place(snapshot: Snapshot): Plan | undefined {
  const { nowMs, policy, status } = snapshot;
  if (mayHavePod(status.attempt)) return undefined;
  const verdicts = standings(snapshot);
  const next = verdicts.find((verdict) => verdict.free);
  if (next) return intent(snapshot, next.candidate);

  const retryMs = verdicts.flatMap((verdict) => (verdict.retryAtMs === undefined ? [] : [verdict.retryAtMs]));
  return {
    stage: 'place',
    action: nothing,
    record: {},
    say: shortage(verdicts),
    requeueAfterMs: Math.max(0, Math.min(...retryMs, nowMs + policy.refusalBackoffMaxMs) - nowMs),
  };
}

function intent(snapshot: Snapshot, candidate: Candidate): Plan {
  const { job, status, installation, nonce } = snapshot;
  // A status that was wiped forgets the number; the store does not, and no number is used twice.
  const known = [status.attempt?.number ?? 0, snapshot.telemetry?.attempt ?? 0, snapshot.ran?.own?.attempts ?? 0];
  const number = Math.max(...known) + 1;
  const name = podName({ installation, uid12: uid12(job.metadata.uid), attempt: number, nonce }, job.metadata.name);
  return {
    stage: 'place',
    action: nothing,
    record: {
      attempt: {
        number,
        nonce,
        podName: name,
        candidate: candidate.name,
        account: snapshot.account.name,
        state: 'Intent',
        intentTime: iso(snapshot.nowMs),
        transport: job.spec.telemetry?.transport ?? snapshot.policy.transport,
      },
    },
    say: asking(snapshot, `Asking Runpod for candidate ${candidate.name}.`),
    requeueAfterMs: 0,
  };
}
