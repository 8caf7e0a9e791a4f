import { nextConditions } from '../api/conditions.ts';
import type { Phase, Refusal, TrainingJobStatus } from '../api/trainingjob.ts';
import type { JobTelemetry } from '../telemetry/jobtelemetry.ts';
import { firstAttempt } from './attempts.ts';
import { conditions } from './conditions.ts';
import { jobCostUsd, ledgerCostUsd, usd } from './cost.ts';
import { withLedger } from './ledger.ts';
import { iso, type Plan, type StatusRecord } from './plan.ts';
import { reportedStatus } from './reported.ts';
import type { Snapshot } from './snapshot.ts';
import { specHash } from './trainerconfig.ts';

/** The whole status after this pass. Pure: stored parts are changed by the plan's record, all others derived from the snapshot. */
export function nextStatus(snapshot: Snapshot, plan: Plan): TrainingJobStatus {
  const stored = applied(snapshot, plan.record);
  const reported = reportedStatus(snapshot, stored);
  const { generation, deletionTimestamp } = snapshot.job.metadata;
  const phase = phaseOf(stored, snapshot.telemetry, deletionTimestamp !== undefined, snapshot.nowMs);
  return {
    ...stored,
    ...reported,
    observedGeneration: generation,
    phase,
    cost: cost(snapshot, stored),
    conditions: nextConditions(
      snapshot.status.conditions ?? [],
      conditions({ ...stored, ...reported }, phase, plan.say, snapshot.job),
      generation,
      iso(snapshot.nowMs),
    ),
  };
}

/** The stored part of status with a record applied. */
function applied(snapshot: Snapshot, record: StatusRecord): TrainingJobStatus {
  const { status, nowMs } = snapshot;
  const now = iso(nowMs);
  const base = suspension(record.restarted ? newRun(snapshot) : pinned(snapshot, record), record, now);
  const next: TrainingJobStatus = { ...(record.ledger ? withLedger(base, record.ledger, now) : base) };
  if (record.started) next.startTime = now;
  if (record.attempt) next.attempt = record.attempt;
  if (record.retries) next.retries = record.retries;
  if (record.retryTime !== undefined) next.retryTime = record.retryTime;
  else if (record.attempt?.state === 'Intent') delete next.retryTime;
  // Decided once: a later report or deadline never changes how the run ended (I5).
  if (record.outcome && !status.outcome) {
    next.outcome = record.outcome;
    if (record.failure) next.failure = record.failure;
  }
  const refusals = refusalsAfter(snapshot, record);
  if (refusals.length > 0) next.placement = { refusals };
  else delete next.placement;
  if (record.completed) next.completionTime = now;
  return backed(snapshot, next, record);
}

/** Until its first attempt a run shows what it would be pinned to; from there on its defaults stay. */
function backed({ backing }: Snapshot, next: TrainingJobStatus, record: StatusRecord): TrainingJobStatus {
  if (!next.run || next.outcome || !backing.current || record.recalled?.run.defaults) return next;
  const { runtime: _runtime, runtimeHash: _hash, ...run } = next.run;
  return { ...next, run: { ...run, ...backing.current } };
}

/** The run is pinned to the spec as it is when it is taken up, and again at its first intent: from there on it is frozen. */
function pinned({ status, written, nowMs }: Snapshot, record: StatusRecord): TrainingJobStatus {
  const { recalled } = record;
  if (!record.started && !recalled && (!record.attempt || status.attempt)) return status;
  const { restartToken } = written;
  return {
    ...status,
    ...(recalled?.output && { output: recalled.output }),
    ...(recalled &&
      recalled.spentUsd > 0 && { cost: { accrued: usd(0), asOf: iso(nowMs), earlier: usd(recalled.spentUsd) } }),
    run: { number: 1, firstAttempt: 1, ...status.run, ...recalled?.run, specHash: specHash(written), restartToken },
  };
}

function suspension(status: TrainingJobStatus, record: StatusRecord, now: string): TrainingJobStatus {
  if (record.suspended) return { ...status, suspendTime: now };
  if (!record.resumed) return status;
  const { suspendTime: _over, ...rest } = status;
  return { ...rest, resumeTime: now };
}

/** The status of a run that begins after another: only what belongs to the job as a whole stays. It is yet to be taken up. */
function newRun({ status, written, telemetry, nowMs }: Snapshot): TrainingJobStatus {
  const { attempt, attempts = [], conditions: before, cost: money, run, observedGeneration } = status;
  const earlier = usd(Number(money?.earlier ?? 0) + ledgerCostUsd(attempts));
  const known = Math.max(attempt?.number ?? 0, telemetry?.attempt ?? 0);
  return {
    ...(observedGeneration !== undefined && { observedGeneration }),
    ...(before && { conditions: before }),
    ...(attempt && { attempt }),
    run: {
      number: (run?.number ?? 0) + 1,
      specHash: specHash(written),
      restartToken: written.restartToken,
      firstAttempt: known + 1,
    },
    cost: { accrued: usd(0), asOf: iso(nowMs), earlier },
  };
}

/** Refusals by candidate; those of candidates that the spec no longer has are dropped. */
function refusalsAfter(snapshot: Snapshot, record: StatusRecord): Refusal[] {
  const byCandidate = new Map((snapshot.status.placement?.refusals ?? []).map((entry) => [entry.candidate, entry]));
  for (const refusal of record.refusals ?? []) byCandidate.set(refusal.candidate, refusal);
  return snapshot.job.spec.compute.candidates.flatMap((candidate) => byCandidate.get(candidate.name) ?? []);
}

export function phaseOf(
  status: TrainingJobStatus,
  telemetry: JobTelemetry | undefined,
  deleted: boolean,
  nowMs: number,
): Phase {
  const { attempt, outcome } = status;
  if (outcome && status.completionTime !== undefined) return outcome.result;
  if (outcome || deleted) return 'Terminating';
  if (attempt?.state === 'Observed') {
    if (attempt.end) return attempt.end.fault ? 'Recovering' : 'Terminating';
    if (attempt.checkpointing) return 'Checkpointing';
    const connected = attempt.connectedTime !== undefined || telemetry?.attempt === attempt.number;
    return connected ? 'Running' : 'Provisioning';
  }
  if (status.suspendTime !== undefined) return 'Suspended';
  if (status.retryTime !== undefined && Date.parse(status.retryTime) > nowMs) return 'Recovering';
  return attempt && attempt.number >= firstAttempt(status) ? 'Placing' : 'Pending';
}

function cost(snapshot: Snapshot, stored: TrainingJobStatus): NonNullable<TrainingJobStatus['cost']> {
  const accrued = jobCostUsd(stored, snapshot.nowMs);
  const { budget } = snapshot.job.spec;
  return {
    accrued: usd(accrued),
    ...(stored.cost?.earlier !== undefined && { earlier: stored.cost.earlier }),
    ...(budget && { remaining: usd(Math.max(0, Number(budget.maxTotal) - accrued)) }),
    asOf: iso(snapshot.nowMs),
  };
}
