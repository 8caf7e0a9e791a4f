import type { Attempt, TrainingJob, TrainingJobStatus } from '../api/trainingjob.ts';
import type { CloudPod } from '../runpod/cloudpod.ts';
import { isGone } from '../runpod/gone.ts';
import { iso } from './plan.ts';
import type { RefusalClass, Snapshot } from './snapshot.ts';

/** A pod of this attempt may exist: it is recorded, or a create may have made one. */
export function mayHavePod(attempt: Attempt | undefined): attempt is Attempt {
  return attempt !== undefined && ['Intent', 'Unknown', 'Observed'].includes(attempt.state);
}

/** The account that the job's pod is rented in; without a pod, the one that the next would be rented in. */
export function accountOf({ spec, status }: TrainingJob): string {
  return mayHavePod(status?.attempt) ? status.attempt.account : spec.accountRef.name;
}

/** Pods of the job that bill, the dearest first, as each second of them costs. */
export function livePods(snapshot: Snapshot): readonly CloudPod[] {
  return snapshot.inventory.pods.toSorted((a, b) => b.costUsdPerHour - a.costUsdPerHour);
}

/**
 * The attempt's pod is proved gone: absent from two believed lists far enough apart, both started after our last write (I4).
 * After a restart the process's own start stands for the writes it cannot remember.
 */
export function isProvedGone(snapshot: Snapshot, attempt: Attempt): boolean {
  const { own, telemetry } = snapshot;
  // A pod that reports is there, whatever a list leaves out.
  const heardAtMs = telemetry?.attempt === attempt.number ? telemetry.lastReportAt : 0;
  const afterMs = Math.max(own.lastWriteAtMs ?? own.processStartedAtMs, heardAtMs);
  return isGone(
    snapshot.inventory.view,
    { name: attempt.podName, ...(attempt.podID !== undefined && { podID: attempt.podID }) },
    afterMs,
    snapshot.policy.goneGapMs,
  );
}

/** The attempt with what Runpod says of its pod. */
export function withPod(attempt: Attempt, pod: CloudPod): Attempt {
  return {
    ...attempt,
    state: 'Observed',
    podID: pod.id,
    instance: instanceOf(pod),
    ...(pod.gpuType !== undefined && { gpuType: pod.gpuType }),
    ...(pod.dataCenterId !== undefined && { dataCenter: pod.dataCenterId }),
    // A pod that is stopped shows a rate of 0; the rate it was rented at still stands.
    ...(pod.costUsdPerHour > 0 && { pricePerHour: rate(pod.costUsdPerHour) }),
    billedFrom: attempt.billedFrom ?? iso(pod.createdAt),
  };
}

export function instanceOf(pod: CloudPod): string {
  if (pod.gpuType !== undefined) return `${pod.gpuCount ?? 0}x ${pod.gpuType}`.slice(0, 96);
  return `${pod.cpuFlavor ?? 'cpu'} ${pod.vcpuCount ?? '?'} vCPU`;
}

/** A rate with as many places as it needs, at least two: 0.12, 0.0625. */
export function rate(usdPerHour: number): string {
  const text = usdPerHour.toFixed(4);
  return text.replace(/0{1,2}$/, '');
}

/** Number of the first attempt of the present run; what earlier ones reported says nothing of it. */
export function firstAttempt({ run }: TrainingJobStatus): number {
  return run?.firstAttempt ?? 1;
}

/** Longest wait that Runpod may ask for: its longest rate window is a day. */
const longestRetryMs = 86_400_000;

/** Milliseconds to wait before a candidate that was refused `count` times in a row is asked again. */
export function refusalWaitMs(
  snapshot: Snapshot,
  refusal: { class: RefusalClass; count: number; retryAfterMs?: number },
): number {
  const { refusalBackoffMs, refusalBackoffMaxMs, excludeMs } = snapshot.policy;
  if (refusal.class === 'PriceAboveCap' || refusal.class === 'WrongPlace') return excludeMs;
  const backoff = Math.min(refusalBackoffMaxMs, refusalBackoffMs * 2 ** Math.min(refusal.count - 1, 20));
  return Math.max(backoff, Math.min(longestRetryMs, refusal.retryAfterMs ?? 0));
}
