import { mayHavePod } from '../attempts.ts';
import { jobCostUsd, stopReserveUsd, usd } from '../cost.ts';
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
  return stopping(snapshot) ?? silence(snapshot) ?? limits(snapshot);
}

/** When the next of these limits is reached, in epoch milliseconds; undefined when none will be by time alone. */
export function nextDeadlineMs(snapshot: Snapshot): number | undefined {
  const { attempt } = snapshot.status;
  if (attempt?.state !== 'Observed') return undefined;
  const { spec } = snapshot.job;
  const times: number[] = [];
  if (attempt.stop) times.push(Date.parse(attempt.stop.time) + snapshot.policy.stopGraceMs);
  const connected = connectedAtMs(snapshot);
  if (connected === undefined) times.push(startedAtMs(snapshot) + spec.runPolicy.startDeadlineSeconds * 1000);
  else {
    times.push(lastSignOfLifeMs(snapshot) + spec.watchdog.heartbeatTimeoutSeconds * 1000);
    if (spec.runPolicy.activeDeadlineSeconds !== undefined && !attempt.stop) {
      times.push(connected + spec.runPolicy.activeDeadlineSeconds * 1000);
    }
  }
  const left = budgetLeftUsd(snapshot);
  const rate = Number(attempt.pricePerHour ?? 0);
  if (left !== undefined && rate > 0 && !attempt.stop)
    times.push(snapshot.nowMs + (Math.max(0, left) / rate) * 3_600_000);
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
  const left = budgetLeftUsd(snapshot);
  if (left !== undefined && left <= 0)
    return concluded(snapshot, 'deadlines', { result: 'Failed', ...overBudget(snapshot) });
  // Only an attempt that had a pod starts the time anew; one whose pod never appeared is part of the wait.
  const lastPod = status.attempts?.findLast((entry) => entry.startTime !== undefined);
  const sinceMs = Date.parse(lastPod?.endTime ?? status.startTime ?? job.metadata.creationTimestamp);
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
  return concluded(snapshot, 'deadlines', {
    result: 'Failed',
    reason: stop.reason,
    message: `${stop.message} The trainer did not confirm the stop in ${snapshot.policy.stopGraceMs / 1000} s.`,
  });
}

function silence(snapshot: Snapshot): Plan | undefined {
  const { nowMs, job } = snapshot;
  const { runPolicy, watchdog } = job.spec;
  if (connectedAtMs(snapshot) === undefined) {
    if (nowMs < startedAtMs(snapshot) + runPolicy.startDeadlineSeconds * 1000) return undefined;
    return concluded(snapshot, 'deadlines', {
      result: 'Failed',
      reason: 'StartDeadlineExceeded',
      message: `The trainer did not connect within ${runPolicy.startDeadlineSeconds} s of the pod's create (spec.runPolicy.startDeadlineSeconds); check that the image exists, that its entry point is the agent, and that pods can reach the operator's address.`,
    });
  }
  if (nowMs < lastSignOfLifeMs(snapshot) + watchdog.heartbeatTimeoutSeconds * 1000) return undefined;
  return concluded(snapshot, 'deadlines', {
    result: 'Failed',
    reason: 'HeartbeatLost',
    message: `The trainer was silent for ${watchdog.heartbeatTimeoutSeconds} s (spec.watchdog.heartbeatTimeoutSeconds); its last words are in status.attempts.`,
  });
}

function limits(snapshot: Snapshot): Plan | undefined {
  const { attempt } = snapshot.status;
  if (!attempt || attempt.stop) return undefined;
  const { activeDeadlineSeconds } = snapshot.job.spec.runPolicy;
  const connected = connectedAtMs(snapshot);
  if (
    activeDeadlineSeconds !== undefined &&
    connected !== undefined &&
    snapshot.nowMs >= connected + activeDeadlineSeconds * 1000
  ) {
    return asked(snapshot, {
      reason: 'DeadlineExceeded',
      message: `The run took longer than ${activeDeadlineSeconds} s (spec.runPolicy.activeDeadlineSeconds).`,
    });
  }
  const left = budgetLeftUsd(snapshot);
  if (left !== undefined && left <= 0) return asked(snapshot, overBudget(snapshot));
  return undefined;
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

function overBudget(snapshot: Snapshot): { readonly reason: string; readonly message: string } {
  const limit = snapshot.job.spec.budget?.maxTotal ?? '';
  return {
    reason: 'BudgetExceeded',
    message: `The job's cost reached ${limit} USD (spec.budget.maxTotal), less what the last checkpoint may cost.`,
  };
}

/** USD until the budget stops the job; undefined without a budget. */
function budgetLeftUsd(snapshot: Snapshot): number | undefined {
  const { budget } = snapshot.job.spec;
  if (!budget) return undefined;
  const rate = Number(snapshot.status.attempt?.pricePerHour ?? 0);
  const limit = Number(budget.maxTotal);
  const spent = jobCostUsd(snapshot.status, snapshot.nowMs);
  return Number(usd(limit - stopReserveUsd(limit, rate, snapshot.policy.stopGraceMs / 1000) - spent, 9));
}

/** Like silence: a trainer that could not reach us while we were away gets its time from our return on. */
function startedAtMs(snapshot: Snapshot): number {
  const { attempt } = snapshot.status;
  const created = Date.parse(attempt?.createTime ?? attempt?.intentTime ?? snapshot.job.metadata.creationTimestamp);
  return Math.max(created, snapshot.ingestReadyAtMs);
}

/** Silence counts from the later of the last report and the moment we could hear one: our own outage ends no healthy pod. */
function lastSignOfLifeMs(snapshot: Snapshot): number {
  const { attempt } = snapshot.status;
  const reported = snapshot.telemetry?.attempt === attempt?.number ? snapshot.telemetry?.lastReportAt : undefined;
  return Math.max(reported ?? connectedAtMs(snapshot) ?? 0, snapshot.ingestReadyAtMs);
}
