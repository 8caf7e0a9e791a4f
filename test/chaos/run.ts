import { differences, essence } from './essence.ts';
import type { Scenario } from './scenario.ts';
import type { Write } from './seam.ts';
import { World, type Disturbance } from './world.ts';

/** The run without a fault, that all others of its scenario are compared with. */
export interface Undisturbed {
  readonly scenario: Scenario;
  readonly writes: readonly Write[];
  readonly changes: number;
  readonly essence: unknown;
  readonly pods: number;
  readonly billedSeconds: number;
}

export interface Verdict {
  /** What was not as it must be; empty when all was. */
  readonly differences: readonly string[];
  readonly billedBeyondNeed: number;
  readonly keptPods: number;
}

export async function undisturbed(scenario: Scenario): Promise<Undisturbed> {
  const world = await new World(scenario).live();
  const wrong = [...world.monitors.broken, ...unlike(scenario, world)];
  if (wrong.length > 0) throw new Error(`${scenario.name}, undisturbed: ${wrong.join('; ')}`);
  return {
    scenario,
    writes: world.seam.writes,
    changes: world.cluster.changes,
    essence: essence(world),
    pods: world.account.rented.length,
    billedSeconds: world.account.billedSeconds(),
  };
}

export async function disturbed(reference: Undisturbed, disturbance: Disturbance): Promise<Verdict> {
  const world = await new World(reference.scenario, disturbance).live();
  const pods = world.account.rented.length;
  return {
    differences: [
      ...world.monitors.broken,
      ...differences(essence(world), reference.essence),
      // Fewer are no fault: a job that is deleted a moment earlier, or a late pod that is still adopted, rents less.
      ...(pods > reference.pods ? [`${pods} pods were rented instead of ${reference.pods}`] : []),
    ],
    billedBeyondNeed: Math.max(0, world.account.billedSeconds() - reference.billedSeconds),
    keptPods: world.account.ours().length,
  };
}

/** The story itself must be the one that it claims to be. */
function unlike({ ends, reason }: Scenario, world: World): readonly string[] {
  const job = world.cluster.job('fit');
  if (ends === 'Deleted') return job ? ['the job is still there'] : [];
  const { outcome } = job?.status ?? {};
  return outcome?.result === ends && outcome.reason === reason
    ? []
    : [`it ends with ${outcome?.result} ${outcome?.reason}, not ${ends} ${reason}`];
}
