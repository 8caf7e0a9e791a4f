import { misfit } from '../api/misfit.ts';
import { defaultsFor } from '../api/resolve.ts';
import {
  runtimeHash,
  type RuntimeKind,
  type TrainingRuntime,
  type TrainingRuntimeSpec,
} from '../api/trainingruntime.ts';
import type { TrainingJob, TrainingJobStatus } from '../api/trainingjob.ts';
import type { RunRow } from '../telemetry/store/store.ts';
import { firstAttempt } from './attempts.ts';
import { nearest } from './nearest.ts';
import type { Say } from './plan.ts';

/** The runtimes that are there, as the operator last heard. */
export interface Runtimes {
  /** Undefined while they could not be listed. */
  find(kind: RuntimeKind, namespace: string, name: string): TrainingRuntime | 'absent' | undefined;
  names(kind: RuntimeKind, namespace: string): readonly string[];
}

type Run = NonNullable<TrainingJobStatus['run']>;
export type Pinned = Pick<Run, 'runtime' | 'runtimeHash' | 'defaults'>;

/** What stands behind a job's own words in one pass. */
export interface Backing {
  /** Undefined: the operator's own defaults alone. */
  readonly words: TrainingRuntimeSpec | undefined;
  /** What a run that had no attempt yet is pinned to with its first. */
  readonly current?: Pinned;
  /** Why there is nothing to pin it to. */
  readonly problem?: Say;
}

/**
 * A run that had an attempt stays with the defaults of its status, whatever became of the runtime. Any other takes the runtime
 * as it is. `own`: what the store knows of a run whose status was lost.
 */
export function backing(job: TrainingJob, runtimes: Runtimes, own: RunRow | undefined): Backing {
  const { spec, metadata, status = {} } = job;
  const { run, outcome } = status;
  const words = run?.defaults;
  if (outcome || (words && isPinned(status, own))) return { words };
  const ref = spec.runtimeRef;
  if (!ref) return { words: undefined, current: { defaults: defaultsFor(spec) } };
  const found = runtimes.find(ref.kind, metadata.namespace, ref.name);
  if (found === undefined) {
    const message = `spec.runtimeRef: ${ref.kind}s are not listed yet; if this stays, apply the files in crds/ and let the operator list and watch them.`;
    return { words: undefined, problem: { reason: 'RuntimeMissing', message } };
  }
  if (found === 'absent') return { words: undefined, problem: missing(ref, metadata.namespace, runtimes) };
  const why = misfit(spec, found.spec);
  if (why !== undefined) {
    const message = `spec.runtimeRef: ${ref.kind} ${ref.name} ${why}`;
    return { words: found.spec, problem: { reason: 'RuntimeUnfit', message, stalled: true } };
  }
  const { generation } = found.metadata;
  const runtime = { kind: ref.kind, name: ref.name, generation };
  const current = { runtime, runtimeHash: runtimeHash(found.spec), defaults: defaultsFor(spec, found.spec) };
  return { words: found.spec, current };
}

function isPinned(status: TrainingJobStatus, own: RunRow | undefined): boolean {
  const first = firstAttempt(status);
  if (status.attempt) return status.attempt.number >= first;
  return own?.run === status.run?.number && own !== undefined && own.attempts >= first;
}

function missing(ref: { kind: RuntimeKind; name: string }, namespace: string, runtimes: Runtimes): Say {
  const where = ref.kind === 'TrainingRuntime' ? ` in namespace ${namespace}` : '';
  const closest = nearest(ref.name, runtimes.names(ref.kind, namespace));
  const hint = closest === undefined ? '' : ` Did you mean "${closest}"?`;
  return {
    reason: 'RuntimeMissing',
    message: `spec.runtimeRef: there is no ${ref.kind} ${ref.name}${where}; create it, or name one that is there. The job goes on by itself then.${hint}`,
    stalled: true,
  };
}
