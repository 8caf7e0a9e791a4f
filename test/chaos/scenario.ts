import type { Phase, TrainingJob, TrainingJobSpec } from '../../controller/api/trainingjob.ts';
import type { Behaviour } from './trainer.ts';
import type { World } from './world.ts';

/** A story of one job, told without any fault of the operator. */
export interface Scenario {
  readonly name: string;
  readonly spec: TrainingJobSpec;
  /** How the job ends, and the reason that its outcome has; `Nothing` where there is no job at first. */
  readonly ends: 'Succeeded' | 'Failed' | 'Deleted' | 'Nothing';
  readonly reason?: string;
  /** So many pods were rented at the end; who reads the end before that reads it too early. */
  readonly pods?: number;
  readonly prepare?: (world: World) => void;
  /** Acts on what is seen of the job; called after each change of it. */
  readonly user?: (world: World, job: TrainingJob) => void;
  /** How the trainer in the pod of this number, counted from 1, behaves. */
  readonly trainer?: (pod: number) => Behaviour;
}

export const phases: readonly Phase[] = ['Pending', 'Placing', 'Provisioning', 'Running', 'Terminating', 'Succeeded'];

/** Does something once, a while after the job was first seen in a phase, or past it. */
export function once(phase: Phase, afterMs: number, act: (world: World) => void): NonNullable<Scenario['user']> {
  const done = new WeakSet<World>();
  return (world, job) => {
    const reached = phases.indexOf(job.status?.phase ?? 'Pending') >= phases.indexOf(phase);
    if (!reached || done.has(world) || job.metadata.name !== 'fit') return;
    done.add(world);
    world.clock.after(afterMs, () => act(world));
  };
}
