import { jobCostUsd, stopReserveUsd, usd } from './cost.ts';
import type { Candidate } from '../api/trainingjob.ts';
import type { Snapshot } from './snapshot.ts';
import { listPriceUsdPerHour } from './standing.ts';

/** Why a run may not go on, whatever its trainer does. */
export interface Limit {
  readonly reason: 'DeadlineExceeded' | 'BudgetExceeded';
  readonly message: string;
}

/** The limit that is reached now, if any. `connectedMs`: first contact of the trainer that is at work. */
export function reachedLimit(snapshot: Snapshot, connectedMs: number | undefined): Limit | undefined {
  const activeUntilMs = activeDeadlineMs(snapshot, connectedMs);
  if (activeUntilMs !== undefined && snapshot.nowMs >= activeUntilMs) return tooLong(snapshot);
  const left = budgetLeftUsd(snapshot);
  return left !== undefined && left <= 0 ? overBudget(snapshot) : undefined;
}

/** When the first of them will be reached at the rate really charged, in epoch milliseconds; undefined when none will. */
export function hardEndMs(snapshot: Snapshot, connectedMs: number | undefined): number | undefined {
  const left = budgetLeftUsd(snapshot);
  const rate = Number(snapshot.status.attempt?.pricePerHour ?? 0);
  const times = [
    activeDeadlineMs(snapshot, connectedMs),
    left !== undefined && rate > 0 ? snapshot.nowMs + (Math.max(0, left) / rate) * 3_600_000 : undefined,
  ].filter((ms) => ms !== undefined);
  return times.length === 0 ? undefined : Math.min(...times);
}

/**
 * Seconds from its agent's start after which a pod of this candidate ends even if nobody is ever heard: what is left of the
 * active deadline, after the latest start, and of the budget at the most that the pod may cost. Undefined for no limit.
 */
export function hardEndSeconds(snapshot: Snapshot, candidate: Candidate): number | undefined {
  const { runPolicy } = snapshot.job.spec;
  const graceSeconds = snapshot.policy.stopGraceMs / 1000;
  const activeSeconds =
    runPolicy.activeDeadlineSeconds === undefined
      ? undefined
      : runPolicy.startDeadlineSeconds +
        Math.max(0, runPolicy.activeDeadlineSeconds - (snapshot.status.run?.activeSeconds ?? 0));
  const left = budgetLeftUsd(snapshot);
  const rate = Number(candidate.maxPricePerHour ?? listPriceUsdPerHour(snapshot, candidate) ?? 0);
  const paidSeconds = left === undefined || rate <= 0 ? undefined : (Math.max(0, left) / rate) * 3600;
  const times = [activeSeconds, paidSeconds].filter((seconds) => seconds !== undefined);
  // The operator's own stop comes first, while it is there.
  return times.length === 0 ? undefined : Math.ceil(Math.min(...times) + graceSeconds / 2);
}

/** When the time is used up that the run's attempts before left; without a trainer at work, only whether it is. */
function activeDeadlineMs({ job, status, nowMs }: Snapshot, connectedMs: number | undefined): number | undefined {
  const { activeDeadlineSeconds } = job.spec.runPolicy;
  if (activeDeadlineSeconds === undefined) return undefined;
  const leftSeconds = activeDeadlineSeconds - (status.run?.activeSeconds ?? 0);
  if (connectedMs !== undefined) return connectedMs + leftSeconds * 1000;
  return leftSeconds <= 0 ? nowMs : undefined;
}

/** USD until the budget stops the job; undefined without a budget. */
function budgetLeftUsd({ job, status, nowMs, policy }: Snapshot): number | undefined {
  const { budget } = job.spec;
  if (!budget) return undefined;
  const rate = Number(status.attempt?.pricePerHour ?? 0);
  const limit = Number(budget.maxTotal);
  return Number(usd(limit - stopReserveUsd(limit, rate, policy.stopGraceMs / 1000) - jobCostUsd(status, nowMs), 9));
}

function tooLong({ job }: Snapshot): Limit {
  const limit = job.spec.runPolicy.activeDeadlineSeconds ?? 0;
  return {
    reason: 'DeadlineExceeded',
    message: `The run took longer than ${limit} s (spec.runPolicy.activeDeadlineSeconds).`,
  };
}

function overBudget({ job }: Snapshot): Limit {
  const limit = job.spec.budget?.maxTotal ?? '';
  return {
    reason: 'BudgetExceeded',
    message: `The job's cost reached ${limit} USD (spec.budget.maxTotal), less what the last checkpoint may cost.`,
  };
}
