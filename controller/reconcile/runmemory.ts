import type { TrainingJob, TrainingJobStatus } from '../api/trainingjob.ts';
import type { RunRow, TelemetryStore } from '../telemetry/store/store.ts';
import { ledgerCostUsd } from './cost.ts';
import { specHash } from './trainerconfig.ts';

type Output = NonNullable<TrainingJobStatus['output']>;
type Runs = Pick<TelemetryStore, 'putRun' | 'runs'>;

/** Where a run's row is looked for by another object of the same name and content. */
function key(row: Pick<RunRow, 'namespace' | 'name' | 'specHash' | 'restartToken'>): string {
  return JSON.stringify([row.namespace, row.name, row.specHash, row.restartToken]);
}

/** What the store knows of runs, apart from objects and their statuses: read once, written before a pod and at the end. */
export class RunMemory {
  readonly #store: Runs;
  readonly #newest = new Map<string, RunRow>();
  readonly #succeeded = new Map<string, RunRow>();

  constructor(store: Runs) {
    this.#store = store;
  }

  async load(): Promise<void> {
    for (const row of await this.#store.runs()) this.#take(row);
  }

  /** The newest run of this very object; undefined when it never had one. */
  ofJob(uid: string): RunRow | undefined {
    return this.#newest.get(uid);
  }

  /** A run that succeeded with just what this job asks for, under its name, of an object that is gone. */
  succeededBefore(job: TrainingJob): RunRow | undefined {
    const { namespace, name, uid } = job.metadata;
    const row = this.#succeeded.get(
      key({ namespace, name, specHash: specHash(job.spec), restartToken: job.spec.restartToken }),
    );
    return row?.uid === uid ? undefined : row;
  }

  /** Makes durable what a status says of its run; level-triggered, and nothing is written that is there already. */
  async remember(job: TrainingJob, status: TrainingJobStatus): Promise<void> {
    const row = rowOf(job, status);
    if (!row || isSame(this.#newest.get(row.uid), row)) return;
    await this.#store.putRun(row);
    this.#take(row);
  }

  #take(row: RunRow): void {
    const known = this.#newest.get(row.uid);
    if (!known || row.run >= known.run) this.#newest.set(row.uid, row);
    if (row.outcome === 'Succeeded') this.#succeeded.set(key(row), row);
  }
}

/** The row of a run that has, or had, an attempt. Money is taken when an attempt is over: until then its pod tells it. */
function rowOf(job: TrainingJob, status: TrainingJobStatus): RunRow | undefined {
  const { run, attempt, outcome, output, completionTime } = status;
  if (!run || !attempt) return undefined;
  const over = completionTime !== undefined && outcome !== undefined;
  const kept = over ? output : undefined;
  return {
    uid: job.metadata.uid,
    run: run.number,
    namespace: job.metadata.namespace,
    name: job.metadata.name,
    specHash: run.specHash,
    restartToken: run.restartToken ?? '',
    outcome: over ? outcome.result : 'Running',
    reason: over ? outcome.reason : '',
    firstAttempt: run.firstAttempt ?? 1,
    attempts: attempt.number,
    spentUsd: Number(status.cost?.earlier ?? 0) + ledgerCostUsd(status.attempts ?? []),
    pinned: pinnedText(run),
    outputUri: kept?.uri ?? null,
    manifestSHA256: kept?.manifestSHA256 ?? null,
    published: publishedText(kept),
    completedAt: over ? Date.parse(completionTime) : null,
  };
}

function pinnedText({ runtime, runtimeHash, defaults }: NonNullable<TrainingJobStatus['run']>): string | null {
  return defaults ? JSON.stringify({ runtime, runtimeHash, defaults }) : null;
}

function publishedText({ huggingFaceRevision, huggingFaceURL }: Partial<Output> = {}): string | null {
  return huggingFaceRevision === undefined ? null : JSON.stringify({ huggingFaceRevision, huggingFaceURL });
}

function isSame(known: RunRow | undefined, row: RunRow): boolean {
  return (
    known !== undefined &&
    known.run === row.run &&
    known.outcome === row.outcome &&
    known.attempts === row.attempts &&
    known.spentUsd === row.spentUsd &&
    known.specHash === row.specHash &&
    known.restartToken === row.restartToken &&
    known.pinned === row.pinned &&
    known.outputUri === row.outputUri &&
    known.published === row.published
  );
}
