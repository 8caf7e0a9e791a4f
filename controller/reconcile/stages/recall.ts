import type { RunRow } from '../../telemetry/store/store.ts';
import type { Pinned } from '../backing.ts';
import { concluded } from '../outcome.ts';
import { nothing, type Plan, type RecalledRun } from '../plan.ts';
import type { Snapshot } from '../snapshot.ts';

/**
 * Did this run, or one just like it, begin or end before?
 *
 * The store remembers runs apart from their objects. A status that was wiped is written anew from it, and an object that was
 * deleted after its success and applied again unchanged, as a Git repository does it, is neither trained nor paid again.
 */
export function recall(snapshot: Snapshot): Plan | undefined {
  const { status, ran } = snapshot;
  if (status.attempt || status.outcome || !ran) return undefined;
  const { own, twin } = ran;
  const done = own && finished(snapshot, own);
  if (done || status.run) return done;
  if (own) return resumed(snapshot, own);
  return twin && alreadyTrained(snapshot, twin);
}

/** The trainer of the run's newest attempt had succeeded, and its pod is no longer there to be adopted: done is done. */
function finished(snapshot: Snapshot, own: RunRow): Plan | undefined {
  const { telemetry, inventory, job, status } = snapshot;
  const final = telemetry?.finals[own.attempts];
  const isOfThisRun = own.outcome === 'Running' && own.attempts >= own.firstAttempt;
  if (!isOfThisRun || own.restartToken !== job.spec.restartToken || final?.outcome !== 'Succeeded') return undefined;
  if (inventory.listedAtMs === undefined || inventory.pods.length > 0) return undefined;
  if (status.run && status.run.number !== own.run) return undefined;
  const { result, reason } = { result: 'Succeeded', reason: 'TrainerSucceeded' } as const;
  const ended = concluded(snapshot, 'recall', { result, reason, message: final.message });
  const recalled: RecalledRun = {
    run: runOf(own),
    spentUsd: own.spentUsd,
    ...(final.output && { output: final.output }),
  };
  return { ...ended, record: { ...ended.record, started: true, recalled } };
}

function resumed(snapshot: Snapshot, own: RunRow): Plan {
  const { restartToken } = snapshot.job.spec;
  const same = own.restartToken === restartToken;
  const recalled: RecalledRun = {
    run: same ? runOf(own) : { number: own.run + 1, firstAttempt: own.attempts + 1 },
    spentUsd: own.spentUsd,
    ...(same && own.outputUri !== null && { output: outputOf(own) }),
  };
  if (!same || own.outcome === 'Running') {
    const say = {
      reason: 'StatusRestored',
      message: 'The status was lost; it is written anew from what the store knows.',
    };
    return { stage: 'recall', action: nothing, record: { recalled }, say, requeueAfterMs: 0 };
  }
  const ended = concluded(snapshot, 'recall', {
    result: own.outcome,
    reason: own.reason,
    message: `The status was lost and was written anew: the run ended before, after ${own.attempts} attempts.`,
  });
  return { ...ended, record: { ...ended.record, recalled } };
}

function alreadyTrained(snapshot: Snapshot, twin: RunRow): Plan {
  const where = twin.outputUri === null ? '' : ` Its output is at ${twin.outputUri}.`;
  const ended = concluded(snapshot, 'recall', {
    result: 'Succeeded',
    reason: 'AlreadyTrained',
    message: `A job of this name and content succeeded before and was deleted.${where} Nothing was trained or paid; change spec.restartToken to train again.`,
  });
  const recalled: RecalledRun = {
    run: { number: 1, firstAttempt: 1 },
    spentUsd: 0,
    ...(twin.outputUri !== null && { output: outputOf(twin) }),
  };
  return { ...ended, record: { ...ended.record, started: true, recalled } };
}

function runOf({ run, firstAttempt, pinned }: RunRow): RecalledRun['run'] {
  return { number: run, firstAttempt, ...keptIn<Pinned>(pinned) };
}

/** What cannot be read says nothing: no row may make a pass throw (I10). */
function keptIn<Kept extends object>(text: string | null): Partial<Kept> {
  try {
    return JSON.parse(text ?? '{}') as Partial<Kept>;
  } catch {
    return {};
  }
}

function outputOf({ outputUri, manifestSHA256, published }: RunRow): NonNullable<RecalledRun['output']> {
  return {
    uri: outputUri ?? '',
    ...(manifestSHA256 !== null && { manifestSHA256 }),
    ...keptIn<Pick<NonNullable<RecalledRun['output']>, 'huggingFaceRevision' | 'huggingFaceURL'>>(published),
  };
}
