import { parsePodName } from '../../api/identity.ts';
import type { Candidate } from '../../api/trainingjob.ts';
import type { CloudPod } from '../../runpod/cloudpod.ts';
import { exposedAgentPort } from '../../runpod/request.ts';
import { mayHavePod, withPod } from '../attempts.ts';
import { breach } from '../breach.ts';
import { terminateStillTravels } from '../ending.ts';
import { iso, nothing, type Plan } from '../plan.ts';
import type { Snapshot } from '../snapshot.ts';

/**
 * Is there a pod of this job that status knows nothing of?
 *
 * Status was wiped or set back by hand or by a restored backup. The pod goes on as the recorded one; a second beside it would
 * be billed twice (I2). Where only the snapshot is old, the write of this record fails and nothing has happened.
 */
export function adopt(snapshot: Snapshot): Plan | undefined {
  const { attempt } = snapshot.status;
  const known = attempt?.number ?? 0;
  if (mayHavePod(attempt)) return undefined;
  const unknown = snapshot.inventory.pods
    .flatMap((pod) => {
      const identity = parsePodName(pod.name);
      return identity && identity.attempt > known ? [{ pod, identity }] : [];
    })
    .toSorted(
      (a, b) =>
        b.identity.attempt - a.identity.attempt ||
        Number(b.pod.status === 'RUNNING') - Number(a.pod.status === 'RUNNING') ||
        a.pod.createdAt - b.pod.createdAt,
    );
  // A pod that we ended a moment ago goes on only where its trainer's report is still to be taken into account.
  const found = unknown.find(
    ({ pod, identity }) =>
      !terminateStillTravels(snapshot, pod.id) || snapshot.telemetry?.finals[identity.attempt] !== undefined,
  );
  if (!found) return unknown[0] && ending(unknown[0].pod);
  const { pod, identity } = found;
  const time = iso(pod.createdAt);
  const fresh = {
    number: identity.attempt,
    nonce: identity.nonce,
    podName: pod.name,
    candidate: snapshot.job.spec.compute.candidates.find((candidate) => asksFor(candidate, pod))?.name ?? 'unknown',
    account: snapshot.account.name,
    state: 'Observed' as const,
    intentTime: time,
    // What the pod was born with; the spec may ask for another by now.
    transport: pod.ports?.includes(exposedAgentPort) ? ('Pull' as const) : ('Push' as const),
    createTime: time,
  };
  const adopted: Plan = {
    stage: 'adopt',
    action: nothing,
    record: { attempt: withPod(fresh, pod) },
    say: {
      reason: 'PodAdopted',
      message: `Pod ${pod.id} of this job was there, but not in its status; it is taken over.`,
    },
    requeueAfterMs: 0,
    wantsList: true,
  };
  // What was agreed to when it was rented is not known any more; what the spec says now is.
  return { ...adopted, ...breach(snapshot, fresh, pod) };
}

function ending({ id }: CloudPod): Plan {
  return {
    stage: 'adopt',
    action: nothing,
    record: {},
    say: {
      reason: 'PodEnding',
      message: `Pod ${id} of this job was asked to end; nothing is rented before a list of pods shows its end.`,
    },
    wantsList: true,
  };
}

/** The hardware is all that tells for which candidate a pod was asked for. */
function asksFor({ gpu, cpu }: Candidate, pod: CloudPod): boolean {
  if (gpu) return pod.gpuType === gpu.type && pod.gpuCount === gpu.count;
  return pod.gpuType === undefined && pod.cpuFlavor === cpu?.flavor && pod.vcpuCount === cpu?.vcpus;
}
