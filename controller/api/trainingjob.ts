import type { TrainingJobSpec, TrainingJobStatus } from './trainingjob.generated.ts';

export const group = 'training.finetunelab.ai';
export const version = 'v1alpha1';
export const plural = 'trainingjobs';
export const kind = 'TrainingJob';
export const apiVersion = `${group}/${version}`;

/** Stays on the resource while a pod of it may exist, so that no delete can outrun the bill (I3, I4). */
export const finalizer = `${group}/pod`;

/** Its value names the pods that a user gives up on purpose, because the key that could end them is gone for good. */
export const abandonPodsAnnotation = `${group}/abandon-pods`;

export interface ObjectMeta {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation: number;
  readonly creationTimestamp: string;
  readonly deletionTimestamp?: string;
  readonly finalizers?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface TrainingJob {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
  readonly spec: TrainingJobSpec;
  readonly status?: TrainingJobStatus;
}

export type { TrainingJobSpec, TrainingJobStatus };
export type Candidate = TrainingJobSpec['compute']['candidates'][number];
export type EnvVar = NonNullable<TrainingJobSpec['trainer']['env']>[number];
export type Phase = NonNullable<TrainingJobStatus['phase']>;
export type Condition = NonNullable<TrainingJobStatus['conditions']>[number];
export type Attempt = NonNullable<TrainingJobStatus['attempt']>;
export type LedgerEntry = NonNullable<TrainingJobStatus['attempts']>[number];
export type Outcome = NonNullable<TrainingJobStatus['outcome']>;
export type Failure = NonNullable<TrainingJobStatus['failure']>;
export type Refusal = NonNullable<NonNullable<TrainingJobStatus['placement']>['refusals']>[number];

/** Key of a job in queue and cache: `namespace/name`. */
export function keyOf(job: { readonly metadata: { readonly namespace: string; readonly name: string } }): string {
  return `${job.metadata.namespace}/${job.metadata.name}`;
}
