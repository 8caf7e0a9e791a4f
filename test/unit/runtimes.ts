import type { TrainingRuntime, TrainingRuntimeSpec } from '../../controller/api/trainingruntime.ts';
import type { Runtimes } from '../../controller/reconcile/backing.ts';
import { isoAt } from './snapshot.ts';

export function runtime(spec: TrainingRuntimeSpec, name = 'standard', generation = 3): TrainingRuntime {
  return {
    metadata: { name, uid: `uid-${name}`, resourceVersion: '9', generation, creationTimestamp: isoAt(-900) },
    spec,
  };
}

/** A cluster with these ClusterTrainingRuntimes, and no TrainingRuntime. */
export function cluster(...there: readonly TrainingRuntime[]): Runtimes {
  return {
    find: (kind, _namespace, name) =>
      (kind === 'ClusterTrainingRuntime' && there.find(({ metadata }) => metadata.name === name)) || 'absent',
    names: (kind) => (kind === 'ClusterTrainingRuntime' ? there.map(({ metadata }) => metadata.name) : []),
  };
}
