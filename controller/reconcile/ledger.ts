import type { Attempt, LedgerEntry, TrainingJobStatus } from '../api/trainingjob.ts';
import { attemptCostUsd, ledgerCostUsd, usd } from './cost.ts';
import { iso } from './plan.ts';
import type { Snapshot } from './snapshot.ts';

const maxLedger = 20;

/** The ledger's line for an attempt that is over: what was rented, for how long, for how much, and what came of it. */
export function ledgerEntry(snapshot: Snapshot, attempt: Attempt, reason: string, message: string): LedgerEntry {
  const { number, podName, candidate, account, podID, instance, dataCenter, pricePerHour } = attempt;
  return {
    number,
    podName,
    candidate,
    account,
    reason,
    message: message.slice(0, 1024),
    ...(podID !== undefined && { podID }),
    ...(instance !== undefined && { instance }),
    ...(dataCenter !== undefined && { dataCenter }),
    ...(pricePerHour !== undefined && { pricePerHour }),
    ...(attempt.billedFrom !== undefined && {
      startTime: attempt.billedFrom,
      endTime: attempt.billedTo ?? iso(snapshot.nowMs),
    }),
    cost: usd(attemptCostUsd(attempt, snapshot.nowMs)),
    ...told(snapshot, attempt),
  };
}

/** What the attempt's trainer told of itself. */
function told(
  { telemetry, nowMs }: Snapshot,
  attempt: Attempt,
): Pick<LedgerEntry, 'activeSeconds' | 'firstStep' | 'lastStep' | 'exitCode' | 'logTail' | 'logSource'> {
  const final = telemetry?.finals[attempt.number];
  const mine = telemetry?.attempt === attempt.number ? telemetry : undefined;
  const connectedMs = attempt.connectedTime === undefined ? mine?.firstContactAt : Date.parse(attempt.connectedTime);
  const { firstStep, step } = mine ?? {};
  return {
    ...(connectedMs !== undefined && { activeSeconds: activeSeconds(attempt, connectedMs, nowMs) }),
    ...(firstStep !== undefined && step !== undefined && { firstStep, lastStep: step }),
    ...(final && { exitCode: final.exitCode }),
    ...lastLines(attempt, final?.logTail, mine?.logTail),
  };
}

/** Without a final report the pod's own log is newer than what the agent could still send. */
function lastLines(
  { containerLog }: Attempt,
  reported: readonly string[] | undefined,
  sent: readonly string[] = [],
): Pick<LedgerEntry, 'logTail' | 'logSource'> {
  const logSource = reported || !containerLog ? 'Agent' : 'Container';
  const words = logSource === 'Container' ? (containerLog ?? []) : (reported ?? sent);
  const logTail = words.slice(-20).map((line) => line.slice(0, 512));
  return logTail.length > 0 ? { logTail, logSource } : {};
}

/** Whole seconds that the attempt's trainer was at work, from its first contact to the end of its pod. */
function activeSeconds({ billedTo }: Attempt, connectedMs: number, nowMs: number): number {
  const endMs = billedTo === undefined ? nowMs : Date.parse(billedTo);
  return Math.max(0, Math.round((endMs - connectedMs) / 1000));
}

/** Ledger, money and running time of the run with one more attempt that is over. */
export function withLedger(status: TrainingJobStatus, entry: LedgerEntry, now: string): TrainingJobStatus {
  const { run, cost, attempts = [] } = status;
  const known = attempts.some((old) => old.number === entry.number);
  const all = [...attempts.filter((old) => old.number !== entry.number), entry];
  const dropped = all.slice(0, -maxLedger);
  const activeSeconds = (run?.activeSeconds ?? 0) + (known ? 0 : (entry.activeSeconds ?? 0));
  return {
    ...status,
    attempts: all.slice(-maxLedger),
    ...(run && activeSeconds > 0 && { run: { ...run, activeSeconds } }),
    // What was spent stays spent, also when its line is no longer listed.
    ...(dropped.length > 0 && {
      cost: {
        accrued: usd(0),
        asOf: now,
        ...cost,
        earlier: usd(Number(cost?.earlier ?? 0) + ledgerCostUsd(dropped)),
      },
    }),
  };
}
