import { isDeepStrictEqual } from 'node:util';
import type { Attempt } from '../../api/trainingjob.ts';
import type { CloudPod } from '../../runpod/cloudpod.ts';
import { attemptOver } from '../attemptover.ts';
import { isProvedGone, withPod } from '../attempts.ts';
import { breach } from '../breach.ts';
import { concluded } from '../outcome.ts';
import { iso, nothing, type Plan, type Say } from '../plan.ts';
import type { Snapshot } from '../snapshot.ts';
import { accountTrouble } from './admit.ts';
import { connectedAtMs, nextDeadlineMs } from './deadlines.ts';
import { awaitingCheckpoint, suspendedByMs } from './suspend.ts';

/** A pod is rented: what do Runpod and the trainer say of it? */
export function track(snapshot: Snapshot): Plan | undefined {
  const { attempt } = snapshot.status;
  if (attempt?.state !== 'Observed') return undefined;
  const pod = snapshot.inventory.pods.find((entry) => entry.id === attempt.podID);
  return (
    reported(snapshot, attempt) ??
    (pod ? against(snapshot, attempt, pod) : missing(snapshot, attempt)) ??
    steady(snapshot, attempt, pod)
  );
}

/** The trainer's own final report decides; Runpod tells no exit code. */
function reported(snapshot: Snapshot, attempt: Attempt): Plan | undefined {
  const final = snapshot.telemetry?.finals[attempt.number];
  if (!final) return undefined;
  if (final.outcome === 'Succeeded') {
    return concluded(snapshot, 'track', { result: 'Succeeded', reason: 'TrainerSucceeded', message: final.message });
  }
  const stop = attempt.stop;
  if (stop && final.outcome === 'Stopped') {
    return attemptOver(snapshot, 'track', {
      reason: stop.reason,
      message: `${stop.message} The trainer stored what it had and stopped.`,
      exitCode: final.exitCode,
    });
  }
  return attemptOver(snapshot, 'track', { reason: final.reason, message: final.message, exitCode: final.exitCode });
}

/** A pod that stands still, or is not what was asked for. */
function against(snapshot: Snapshot, attempt: Attempt, pod: CloudPod): Plan | undefined {
  if (pod.status === 'ERROR' || pod.status === 'EXITED') {
    return attemptOver(snapshot, 'track', {
      reason: pod.status === 'ERROR' ? 'PodError' : 'PodStopped',
      message: `Runpod shows pod ${pod.id} as ${pod.status} without a final report of its trainer.`,
    });
  }
  // What was agreed to when the pod came stays agreed: a later change of spec.compute is for the next attempt.
  if (isDeepStrictEqual(withPod(attempt, pod), attempt)) return undefined;
  const wrong = breach(snapshot, attempt, pod);
  return wrong && { stage: 'track', action: nothing, ...wrong };
}

function missing(snapshot: Snapshot, attempt: Attempt): Plan | undefined {
  if (!isProvedGone(snapshot, attempt)) return undefined;
  return attemptOver(snapshot, 'track', {
    reason: 'PodLost',
    message: `Pod ${attempt.podID ?? attempt.podName} vanished from Runpod without a final report of its trainer.`,
  });
}

function steady(snapshot: Snapshot, attempt: Attempt, pod: CloudPod | undefined): Plan {
  const connectedMs = connectedAtMs(snapshot);
  const next: Attempt = {
    ...(pod ? withPod(attempt, pod) : attempt),
    ...(connectedMs !== undefined && { connectedTime: attempt.connectedTime ?? iso(connectedMs) }),
    ...told(snapshot, attempt),
  };
  const dueMs = [
    nextDeadlineMs(snapshot),
    // A stop stores a checkpoint itself, and has its own grace.
    !attempt.stop && attempt.checkpointing ? suspendedByMs(snapshot, attempt.checkpointing) : undefined,
  ].filter((ms) => ms !== undefined);
  const lost =
    !pod && (snapshot.inventory.listedAtMs ?? 0) > (snapshot.own.lastWriteAtMs ?? snapshot.own.processStartedAtMs);
  return {
    stage: 'track',
    action: nothing,
    record: { attempt: next },
    say: accountTrouble(snapshot) ?? words(snapshot, attempt, connectedMs !== undefined),
    ...(dueMs.length > 0 && { requeueAfterMs: Math.max(0, Math.min(...dueMs) - snapshot.nowMs) }),
    // Another pod of the job whose end was accepted must be seen to go, or be ended again.
    wantsList: connectedMs === undefined || lost || snapshot.inventory.pods.some((entry) => entry.id !== attempt.podID),
  };
}

/** What the attempt's agent told at its start. */
function told(
  { telemetry }: Snapshot,
  { number }: Attempt,
): Pick<Attempt, 'trainerVersion' | 'deadMan' | 'resumedFromStep'> {
  if (telemetry?.attempt !== number) return {};
  const { trainerVersion, deadMan, resumedFromStep } = telemetry;
  return {
    ...(trainerVersion !== undefined && { trainerVersion }),
    ...(deadMan !== undefined && { deadMan }),
    ...(resumedFromStep !== undefined && { resumedFromStep }),
  };
}

function words(snapshot: Snapshot, attempt: Attempt, connected: boolean): Say {
  if (attempt.stop) {
    return {
      reason: attempt.stop.reason,
      message: `${attempt.stop.message} The trainer was asked to store a checkpoint and stop.`,
    };
  }
  if (attempt.checkpointing) return awaitingCheckpoint;
  if (!connected)
    return {
      reason: 'PodStarting',
      message: `Pod ${attempt.podID ?? ''} is rented; waiting for its trainer to connect.`,
    };
  const { telemetry } = snapshot;
  if (telemetry && telemetry.evaluations === 0 && telemetry.nextEvaluationStep !== undefined) {
    return {
      reason: 'AwaitingFirstEvaluation',
      message: `The first evaluation is due at step ${telemetry.nextEvaluationStep}.`,
    };
  }
  return { reason: 'TrainerConnected', message: 'The trainer is at work; status.progress tells how far it is.' };
}
