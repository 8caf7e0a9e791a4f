import { nextConditions } from '../api/conditions.ts';
import type { Phase, Refusal, TrainingJobStatus } from '../api/trainingjob.ts';
import type { JobTelemetry } from '../telemetry/summary.ts';
import { conditions } from './conditions.ts';
import { jobCostUsd, ledgerCostUsd, usd } from './cost.ts';
import { iso, type Plan, type StatusRecord } from './plan.ts';
import { reportedStatus } from './reported.ts';
import type { Snapshot } from './snapshot.ts';
import { specHash } from './trainerconfig.ts';

const maxLedger = 20;

/** The whole status after this pass. Pure: stored parts are changed by the plan's record, all others derived from the snapshot. */
export function nextStatus(snapshot: Snapshot, plan: Plan): TrainingJobStatus {
  const stored = applied(snapshot, plan.record);
  const reported = reportedStatus(snapshot, stored);
  const { generation, deletionTimestamp } = snapshot.job.metadata;
  const phase = phaseOf(stored, snapshot.telemetry, deletionTimestamp !== undefined);
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
  const { status, nowMs, job } = snapshot;
  const now = iso(nowMs);
  const next: TrainingJobStatus = { ...status };
  if (record.started) next.startTime = now;
  // The spec may still change until the first intent, and is frozen from there on.
  if (record.started || (record.attempt && !status.attempt)) next.run = { number: 1, specHash: specHash(job.spec) };
  if (record.attempt) next.attempt = record.attempt;
  if (record.ledger) {
    const entry = record.ledger;
    const all = [...(status.attempts ?? []).filter((old) => old.number !== entry.number), entry];
    next.attempts = all.slice(-maxLedger);
    const dropped = all.slice(0, -maxLedger);
    // What was spent stays spent, also when its line is no longer listed.
    if (dropped.length > 0) {
      const earlier = usd(Number(status.cost?.earlier ?? 0) + ledgerCostUsd(dropped));
      next.cost = { accrued: usd(0), asOf: now, ...status.cost, earlier };
    }
  }
  // Decided once: a later report or deadline never changes how the run ended (I5).
  if (record.outcome && !status.outcome) {
    next.outcome = record.outcome;
    if (record.failure) next.failure = record.failure;
  }
  const refusals = refusalsAfter(snapshot, record);
  if (refusals.length > 0) next.placement = { refusals };
  else delete next.placement;
  if (record.completed) next.completionTime = now;
  return next;
}

/** Refusals by candidate; those of candidates that the spec no longer has are dropped. */
function refusalsAfter(snapshot: Snapshot, record: StatusRecord): Refusal[] {
  const byCandidate = new Map((snapshot.status.placement?.refusals ?? []).map((entry) => [entry.candidate, entry]));
  for (const refusal of record.refusals ?? []) byCandidate.set(refusal.candidate, refusal);
  return snapshot.job.spec.compute.candidates.flatMap((candidate) => byCandidate.get(candidate.name) ?? []);
}

export function phaseOf(status: TrainingJobStatus, telemetry: JobTelemetry | undefined, deleted: boolean): Phase {
  const { attempt, outcome } = status;
  if (outcome && status.completionTime !== undefined) return outcome.result;
  if (outcome || deleted || (attempt?.state === 'Observed' && attempt.end)) return 'Terminating';
  if (attempt?.state === 'Observed') {
    const connected = attempt.connectedTime !== undefined || telemetry?.attempt === attempt.number;
    return connected ? 'Running' : 'Provisioning';
  }
  return attempt ? 'Placing' : 'Pending';
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
