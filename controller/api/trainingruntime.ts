import { createHash } from 'node:crypto';
import { canonical } from './canonical.ts';
import type { ObjectMeta, TrainingJobSpec } from './trainingjob.ts';
import type { TrainingRuntimeSpec } from './trainingruntime.generated.ts';

export type { TrainingRuntimeSpec };
export type RuntimeKind = NonNullable<TrainingJobSpec['runtimeRef']>['kind'];

export interface TrainingRuntime {
  readonly metadata: Omit<ObjectMeta, 'namespace'> & { readonly namespace?: string };
  readonly spec: TrainingRuntimeSpec;
}

/** SHA-256 of what a runtime says. */
export function runtimeHash(spec: TrainingRuntimeSpec): string {
  return createHash('sha256').update(canonical(spec)).digest('hex');
}
