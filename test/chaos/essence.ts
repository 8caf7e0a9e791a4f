import type { TrainingJob } from '../../controller/api/trainingjob.ts';
import type { World } from './world.ts';

/**
 * What must be the same however a run was disturbed. Left out, because a fault may rightly change it:
 * - instants, pod ids and nonces, and with them names;
 * - attempt numbers, and attempts without a pod: a create that was lost, or refused once more, takes a number and costs
 *   nothing; that numbers only grow is watched on every write;
 * - costs, which are compared as seconds billed;
 * - how far a trainer that did not finish had reported, and how often a candidate was refused;
 * - messages, which name all of these.
 */
export function essence(world: World): unknown {
  return world.cluster.jobs().map((job) => jobEssence(job, world.scenario.ends === 'Succeeded'));
}

function jobEssence({ metadata, status = { observedGeneration: -1 } }: TrainingJob, finished: boolean): unknown {
  const { attempt, outcome, failure } = status;
  return {
    uid: metadata.uid,
    finalizers: metadata.finalizers,
    phase: status.phase,
    outcome: outcome && [outcome.result, outcome.reason],
    failure: failure && [failure.reason, failure.exitCode],
    conditions: status.conditions?.map(({ type, status: value, reason }) => `${type}=${value} ${reason}`),
    attempt: attempt?.podID && [attempt.candidate, attempt.state],
    ledger: (status.attempts ?? [])
      .filter((entry) => entry.podID !== undefined)
      .map(({ candidate, reason, exitCode }) => [candidate, reason, exitCode]),
    ...(finished && {
      best: status.best && [status.best.step, status.best.score, status.best.uri],
      progress: status.progress?.step,
      checkpoint: status.checkpoint?.step,
    }),
  };
}

/** Where two essences differ, as `path: found instead of wanted`. */
export function differences(found: unknown, wanted: unknown, path = ''): readonly string[] {
  if (typeof found !== 'object' || typeof wanted !== 'object' || found === null || wanted === null)
    return found === wanted ? [] : [`${path}: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`];
  const keys = new Set([...Object.keys(found), ...Object.keys(wanted)]);
  return [...keys].flatMap((key) =>
    differences((found as Record<string, unknown>)[key], (wanted as Record<string, unknown>)[key], `${path}/${key}`),
  );
}
