import type { Attempt, Candidate } from '../api/trainingjob.ts';
import type { CloudPod } from '../runpod/cloudpod.ts';
import { withPod } from './attempts.ts';
import { iso, type Plan } from './plan.ts';
import { refusal } from './refusal.ts';
import type { Snapshot } from './snapshot.ts';

type Recorded = Pick<Plan, 'record' | 'say' | 'requeueAfterMs' | 'wantsList'>;

/**
 * Runpod may place and charge otherwise than asked. Such a pod is ended and its candidate left out for a while; looked at on
 * the create's answer and on every list.
 */
export function breach(snapshot: Snapshot, attempt: Attempt, pod: CloudPod): Recorded | undefined {
  const candidate = snapshot.job.spec.compute.candidates.find((entry) => entry.name === attempt.candidate);
  const wrong = candidate && wrongOf(candidate, pod);
  if (!wrong) return undefined;
  const { class: reason } = wrong;
  const message = wrong.message.slice(0, 1024);
  return {
    record: {
      attempt: { ...withPod(attempt, pod), end: { reason, message, time: iso(snapshot.nowMs) } },
      refusals: [refusal(snapshot, attempt.candidate, wrong)],
    },
    say: { reason, message },
    requeueAfterMs: 0,
    wantsList: true,
  };
}

function wrongOf(
  candidate: Candidate,
  pod: CloudPod,
): { class: 'PriceAboveCap' | 'WrongPlace'; message: string } | undefined {
  const { maxPricePerHour, dataCenters, gpu } = candidate;
  if (maxPricePerHour !== undefined && pod.costUsdPerHour > Number(maxPricePerHour)) {
    return {
      class: 'PriceAboveCap',
      message: `Pod ${pod.id} is charged ${pod.costUsdPerHour} USD per hour, more than maxPricePerHour ${maxPricePerHour}.`,
    };
  }
  if (
    dataCenters &&
    dataCenters.length > 0 &&
    pod.dataCenterId !== undefined &&
    !dataCenters.includes(pod.dataCenterId)
  ) {
    return {
      class: 'WrongPlace',
      message: `Pod ${pod.id} came up in ${pod.dataCenterId}, not in ${dataCenters.join(', ')}.`,
    };
  }
  if (gpu && (pod.gpuType !== gpu.type || pod.gpuCount !== gpu.count)) {
    return {
      class: 'WrongPlace',
      message: `Pod ${pod.id} has ${pod.gpuCount ?? 0}x ${pod.gpuType ?? 'no GPU'}, not ${gpu.count}x ${gpu.type}.`,
    };
  }
  return undefined;
}
