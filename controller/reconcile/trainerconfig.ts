import { createHash } from 'node:crypto';
import { canonical } from '../api/canonical.ts';
import type { ResolvedJob } from '../api/resolve.ts';
import type { TrainingJobSpec } from '../api/trainingjob.ts';
import type { Config, Resume } from '../telemetry/protocol.ts';
import type { SecretValues } from './jobsecrets.ts';
import { storedAt } from './runfolder.ts';

export interface AgentDurations {
  readonly heartbeatSeconds: number;
  readonly holdSeconds: number;
  readonly stopGraceSeconds: number;
}

/**
 * SHA-256 of what the spec itself asks of the trainer; a stored final report counts only for the same hash. The content of a
 * runtime is no part of it: a run is pinned to that, and a job that succeeded must not be trained and paid again because its
 * platform team changed a default.
 */
export function specHash(spec: TrainingJobSpec): string {
  const { runtimeRef, trainer, evaluation, checkpoints, output, storage, scoring, earlyStopping, predictions } = spec;
  // The same path on another volume is another place.
  const volume = spec.compute.networkVolume;
  const asked = {
    runtimeRef,
    trainer,
    evaluation,
    checkpoints,
    output,
    storage,
    scoring,
    earlyStopping,
    predictions,
    volume,
  };
  return createHash('sha256').update(canonical(asked)).digest('hex');
}

/** The configuration that the agent of one attempt fetches. It holds the values of Secrets and must not be logged (I9). */
export function trainerConfig(
  job: ResolvedJob,
  secrets: SecretValues,
  durations: AgentDurations,
  resume: Resume | null,
): Config {
  const { spec, metadata, status } = job;
  return {
    protocolVersion: 1,
    job: {
      uid: metadata.uid,
      namespace: metadata.namespace,
      name: metadata.name,
      attempt: status?.attempt?.number ?? 0,
      run: status?.run?.number ?? 1,
      specHash: status?.run?.specHash ?? specHash(spec),
    },
    trainer: trainerOf(spec.trainer),
    env: secrets.env,
    secretEnv: secrets.secretEnv,
    ...(spec.evaluation && { evaluation: spec.evaluation }),
    checkpoints: withoutRef(spec.checkpoints),
    output: outputOf(spec.output),
    storage: {
      ...storedAt(job),
      ...(spec.trainer.fineTune && { cache: cacheOf(spec.compute.networkVolume) }),
      ...(spec.storage?.s3 && { s3: spec.storage.s3 }),
      ...(Object.keys(secrets.keys).length > 0 && { keys: secrets.keys }),
    },
    scoring: spec.scoring,
    ...(spec.earlyStopping && { earlyStopping: spec.earlyStopping }),
    ...(spec.predictions && { predictions: spec.predictions }),
    agent: durations,
    resume,
  };
}

/** What attempts and jobs on one volume need alike; without a volume, what one pod needs again. */
function cacheOf(volume: ResolvedJob['spec']['compute']['networkVolume']): string {
  return volume ? `file://${volume.mountPath}/.trainingjob/cache` : 'file:///tmp/trainingjob-cache';
}

function trainerOf({ fineTune, tabular, custom }: ResolvedJob['spec']['trainer']): Config['trainer'] {
  if (custom) return { custom: { command: custom.command, args: custom.args ?? [] } };
  return {
    ...(fineTune && { fineTune: { ...fineTune, dataset: withoutRef(fineTune.dataset) } }),
    ...(tabular && { tabular: { ...tabular, dataset: withoutRef(tabular.dataset) } }),
  };
}

function outputOf(output: TrainingJobSpec['output']): Config['output'] {
  const place = withoutRef(output);
  const published = withoutRef(output?.huggingFace);
  return place && { ...place, ...(published && { huggingFace: published }) };
}

/** The trainer gets values, and need not know which Secret they came from. */
function withoutRef<T extends { readonly secretRef?: unknown }>(place: T | undefined): Omit<T, 'secretRef'> | null {
  if (!place) return null;
  const { secretRef: _name, ...rest } = place;
  return rest;
}
