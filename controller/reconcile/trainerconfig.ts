import { createHash } from 'node:crypto';
import type { TrainingJob, TrainingJobSpec } from '../api/trainingjob.ts';
import type { Config, Resume } from '../telemetry/protocol.ts';

export interface AgentDurations {
  readonly heartbeatSeconds: number;
  readonly holdSeconds: number;
  readonly stopGraceSeconds: number;
}

/** SHA-256 of what the trainer is asked to do; a stored final report counts only for the same hash. */
export function specHash(spec: TrainingJobSpec): string {
  const { trainer, evaluation, checkpoints, output, storage, scoring } = spec;
  // The same path on another volume is another place.
  const volume = spec.compute.networkVolume;
  const asked = { trainer, evaluation, checkpoints, output, storage, scoring, volume };
  return createHash('sha256').update(canonical(asked)).digest('hex');
}

/** Folder of one run below a URI that the user chose: neither a rerun nor another job of that name ever overwrites it. */
export function runFolder(uri: string, job: TrainingJob, run: number): string {
  const { namespace, name, uid } = job.metadata;
  return `${uri.replace(/\/+$/, '')}/${namespace}/${name}/${uid}/${run}`;
}

/** The configuration that the agent of one attempt fetches; `env` has secrets resolved and must not be logged. */
export function trainerConfig(
  job: TrainingJob,
  env: Readonly<Record<string, string>>,
  durations: AgentDurations,
  resume: Resume | null,
): Config {
  const { spec, metadata, status } = job;
  const { tabular, custom } = spec.trainer;
  const run = status?.run?.number ?? 1;
  const checkpoints = spec.checkpoints ?? null;
  const output = spec.output ?? null;
  return {
    protocolVersion: 1,
    job: {
      uid: metadata.uid,
      namespace: metadata.namespace,
      name: metadata.name,
      attempt: status?.attempt?.number ?? 0,
      run,
      specHash: status?.run?.specHash ?? specHash(spec),
    },
    trainer: custom ? { custom: { command: custom.command, args: custom.args ?? [] } } : { tabular: { ...tabular } },
    env,
    ...(spec.evaluation && { evaluation: spec.evaluation }),
    checkpoints,
    output,
    storage: storageOf(job, run),
    scoring: spec.scoring,
    agent: durations,
    resume,
  };
}

/** Where this run stores what, and how buckets are reached. */
function storageOf(job: TrainingJob, run: number): Config['storage'] {
  const { checkpoints, output, storage } = job.spec;
  return {
    checkpoints: checkpoints ? runFolder(checkpoints.uri, job, run) : null,
    output: output ? runFolder(output.uri, job, run) : null,
    ...(storage?.s3 && { s3: storage.s3 }),
  };
}

/** JSON with sorted keys, so that equal values have equal text. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
