import { parsePodName, uid12 } from '../api/identity.ts';
import type { TrainingJob } from '../api/trainingjob.ts';
import type { CloudPod } from '../runpod/cloudpod.ts';

export interface Orphan {
  readonly podID: string;
  readonly podName: string;
  readonly reason: 'UnknownJob' | 'OldAttempt' | 'AttemptOver';
}

/** Pods of this installation that belong to no live attempt of any job. Pure; foreign names are never in it. */
export function orphans(
  pods: readonly CloudPod[],
  jobs: readonly TrainingJob[],
  installation: string,
): readonly Orphan[] {
  const byUid12 = new Map(jobs.map((job) => [uid12(job.metadata.uid), job]));
  return pods.flatMap((pod) => {
    const identity = parsePodName(pod.name);
    if (identity?.installation !== installation || pod.status === 'TERMINATED') return [];
    const reason = orphanReason(pod, identity.attempt, byUid12.get(identity.uid12));
    return reason ? [{ podID: pod.id, podName: pod.name, reason }] : [];
  });
}

function orphanReason(
  pod: CloudPod,
  attemptNumber: number,
  job: TrainingJob | undefined,
): Orphan['reason'] | undefined {
  if (!job) return 'UnknownJob';
  const attempt = job.status?.attempt;
  // Finished by what the store knew: no pod of it is the recorded one.
  if (!attempt && job.status?.completionTime !== undefined) return 'AttemptOver';
  // A later attempt than the cached status knows: the cache is behind, the pod is not wrong.
  if (!attempt || attemptNumber > attempt.number) return undefined;
  if (attemptNumber < attempt.number) return 'OldAttempt';
  if (attempt.state === 'Gone' || attempt.state === 'Abandoned' || attempt.state === 'Refused') return 'AttemptOver';
  return attempt.state === 'Observed' && attempt.podID !== pod.id ? 'OldAttempt' : undefined;
}

/** Remembers when each orphan was first seen; only one that is still there after the gap is ripe to be ended. */
export class Sightings {
  readonly #firstSeenMs = new Map<string, number>();

  /** Ripe orphans of this look. `listedAtMs` is when the list behind it was started. */
  ripe(found: readonly Orphan[], listedAtMs: number, gapMs: number): readonly Orphan[] {
    const present = new Set(found.map((orphan) => orphan.podID));
    for (const podID of this.#firstSeenMs.keys()) if (!present.has(podID)) this.#firstSeenMs.delete(podID);
    return found.filter((orphan) => {
      const first = this.#firstSeenMs.get(orphan.podID);
      if (first === undefined) this.#firstSeenMs.set(orphan.podID, listedAtMs);
      return first !== undefined && listedAtMs - first >= gapMs;
    });
  }
}
