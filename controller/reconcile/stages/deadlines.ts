import { attemptOver } from '../attemptover.ts';
import { mayHavePod } from '../attempts.ts';
import { hardEndMs, reachedLimit } from '../limits.ts';
import { concluded } from '../outcome.ts';
import { iso, nothing, type Plan } from '../plan.ts';
import type { Snapshot } from '../snapshot.ts';

/**
 * Is a deadline, the budget or the trainer's silence over the limit?
 *
 * A final report that has arrived is stronger than any of them: what the trainer finished stays finished.
 */
export function deadlines(snapshot: Snapshot): Plan | undefined {
  const { attempt } = snapshot.status;
  if (snapshot.status.startTime === undefined) return undefined;
  // An intent that was not sent yet is still a job without a pod: what holds its create back may last for ever.
  if (!mayHavePod(attempt)) return withoutPod(snapshot);
  if (attempt.state === 'Intent' && attempt.number === snapshot.own.freshIntent) return withoutPod(snapshot);
  if (attempt.state !== 'Observed') return undefined;
  if (snapshot.telemetry?.finals[attempt.number]) return undefined;
  return stopping(snapshot) ?? silence(snapshot) ?? overLimit(snapshot) ?? noProgress(snapshot);
}

/** When the next of these limits is reached, in epoch milliseconds; undefined when none will be by time alone. */
export function nextDeadlineMs(snapshot: Snapshot): number | undefined {
  const { attempt } = snapshot.status;
  if (attempt?.state !== 'Observed') return undefined;
  const { spec } = snapshot.job;
  const times: number[] = [];
  if (attempt.stop) times.push(Date.parse(attempt.stop.time) + snapshot.policy.stopGraceMs);
  const connected = connectedAtMs(snapshot);
  if (connected === undefined) times.push(connectsByMs(snapshot));
  else {
    times.push(lastSignOfLifeMs(snapshot) + spec.watchdog.heartbeatTimeoutSeconds * 1000);
    const progressMs = lastProgressMs(snapshot);
    if (progressMs !== undefined && !attempt.stop)
      times.push(progressMs + spec.watchdog.noProgressTimeoutSeconds * 1000);
  }
  const endMs = hardEndMs(snapshot, connected);
  if (endMs !== undefined && !attempt.stop) times.push(endMs);
  return times.length === 0 ? undefined : Math.min(...times);
}

/** First contact of the current attempt's trainer, epoch milliseconds. */
export function connectedAtMs(snapshot: Snapshot): number | undefined {
  const { attempt } = snapshot.status;
  if (attempt?.connectedTime !== undefined) return Date.parse(attempt.connectedTime);
  const { telemetry } = snapshot;
  return telemetry && telemetry.attempt === attempt?.number ? telemetry.firstContactAt : undefined;
}

function withoutPod(snapshot: Snapshot): Plan | undefined {
  const { status, job, nowMs } = snapshot;
  if (status.outcome) return undefined;
  const over = reachedLimit(snapshot, undefined);
  if (over) return concluded(snapshot, 'deadlines', { result: 'Failed', ...over });
  // Only an attempt that had a pod starts the time anew; one whose pod never appeared is part of the wait.
  const lastPod = status.attempts?.findLast((entry) => entry.startTime !== undefined);
  const begun = [lastPod?.endTime, status.startTime ?? job.metadata.creationTimestamp, status.resumeTime];
  const sinceMs = Math.max(...begun.flatMap((time) => (time === undefined ? [] : [Date.parse(time)])));
  const limit = job.spec.runPolicy.placementDeadlineSeconds;
  if (nowMs < sinceMs + limit * 1000) return undefined;
  return concluded(snapshot, 'deadlines', {
    result: 'Failed',
    reason: 'PlacementDeadlineExceeded',
    message: `No pod could be had for ${limit} s (spec.runPolicy.placementDeadlineSeconds); see status.placement.refusals, then add candidates or raise the deadline in a new job.`,
  });
}

/** The trainer was asked to stop: its grace is the last it gets. */
function stopping(snapshot: Snapshot): Plan | undefined {
  const stop = snapshot.status.attempt?.stop;
  if (!stop || snapshot.nowMs < Date.parse(stop.time) + snapshot.policy.stopGraceMs) return undefined;
  return attemptOver(snapshot, 'deadlines', {
    reason: stop.reason,
    message: `${stop.message} The trainer did not confirm the stop in ${snapshot.policy.stopGraceMs / 1000} s.`,
  });
}

function silence(snapshot: Snapshot): Plan | undefined {
  const { nowMs, job } = snapshot;
  const { runPolicy, watchdog } = job.spec;
  if (connectedAtMs(snapshot) === undefined) {
    if (nowMs < connectsByMs(snapshot)) return undefined;
    return attemptOver(snapshot, 'deadlines', {
      reason: 'StartDeadlineExceeded',
      message: `The trainer did not connect within ${runPolicy.startDeadlineSeconds} s of the pod's create (spec.runPolicy.startDeadlineSeconds); check that the image exists, that its entry point is the agent, and that ${reach(snapshot)}.`,
    });
  }
  if (nowMs < lastSignOfLifeMs(snapshot) + watchdog.heartbeatTimeoutSeconds * 1000) return undefined;
  return attemptOver(snapshot, 'deadlines', {
    reason: 'HeartbeatLost',
    message: `The trainer was silent for ${watchdog.heartbeatTimeoutSeconds} s (spec.watchdog.heartbeatTimeoutSeconds); its last words are in status.attempts.`,
  });
}

function reach({ status }: Snapshot): string {
  return status.attempt?.transport === 'Pull'
    ? "the operator can reach the pod's HTTP port (its setting RUNPOD_PROXY_URL)"
    : "pods can reach the operator's address";
}

function overLimit(snapshot: Snapshot): Plan | undefined {
  if (snapshot.status.attempt?.stop) return undefined;
  const limit = reachedLimit(snapshot, connectedAtMs(snapshot));
  return limit && asked(snapshot, limit);
}

function noProgress(snapshot: Snapshot): Plan | undefined {
  if (snapshot.status.attempt?.stop) return undefined;
  const { noProgressTimeoutSeconds } = snapshot.job.spec.watchdog;
  const progressMs = lastProgressMs(snapshot);
  if (progressMs === undefined || snapshot.nowMs < progressMs + noProgressTimeoutSeconds * 1000) return undefined;
  return asked(snapshot, {
    reason: 'NoProgress',
    message: `The trainer reported no new step or stage for ${noProgressTimeoutSeconds} s (spec.watchdog.noProgressTimeoutSeconds).`,
  });
}

/** Asks the trainer to stop with a checkpoint; a pod whose trainer never connected has none to make. */
function asked(snapshot: Snapshot, why: { readonly reason: string; readonly message: string }): Plan {
  const { attempt } = snapshot.status;
  if (!attempt || connectedAtMs(snapshot) === undefined)
    return concluded(snapshot, 'deadlines', { result: 'Failed', ...why });
  return {
    stage: 'deadlines',
    action: nothing,
    record: { attempt: { ...attempt, stop: { ...why, time: iso(snapshot.nowMs) } } },
    say: { reason: why.reason, message: `${why.message} The trainer was asked to store a checkpoint and stop.` },
    requeueAfterMs: snapshot.policy.stopGraceMs,
  };
}

/**
 * Until when the trainer must have connected. One that tried while we were away tries again in moments: from our return on it gets the
 * time that silence gets, and not the whole start once more, as its pod bills all the while.
 */
function connectsByMs({ job, status, ingestReadyAtMs }: Snapshot): number {
  const { runPolicy, watchdog } = job.spec;
  const { attempt } = status;
  const createdMs = Date.parse(attempt?.createTime ?? attempt?.intentTime ?? job.metadata.creationTimestamp);
  const startMs = runPolicy.startDeadlineSeconds * 1000;
  return Math.max(createdMs + startMs, ingestReadyAtMs + Math.min(startMs, watchdog.heartbeatTimeoutSeconds * 1000));
}

/**
 * When the trainer last got further, or we could hear of it again. Undefined for one that tells neither steps nor stages: it
 * cannot be judged by them.
 */
function lastProgressMs({ telemetry, status, ingestReadyAtMs }: Snapshot): number | undefined {
  if (telemetry?.progressAt === undefined || telemetry.attempt !== status.attempt?.number) return undefined;
  return Math.max(telemetry.progressAt, ingestReadyAtMs);
}

/** Silence counts from the later of the last report and the moment we could hear one: our own outage ends no healthy pod. */
function lastSignOfLifeMs(snapshot: Snapshot): number {
  const { attempt } = snapshot.status;
  const reported = snapshot.telemetry?.attempt === attempt?.number ? snapshot.telemetry?.lastReportAt : undefined;
  return Math.max(reported ?? connectedAtMs(snapshot) ?? 0, snapshot.ingestReadyAtMs);
}
