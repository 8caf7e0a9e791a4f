import { podsLeft } from './ending.ts';
import type { ActResult } from './act.ts';
import { isoUp, type Plan } from './plan.ts';
import { recordCreate } from './record.ts';
import type { Snapshot } from './snapshot.ts';
import { abandonPodsAnnotation } from '../api/trainingjob.ts';

/** The plan with what its action brought: pure, so that a crash between the two is only a pass that did not happen. */
export function afterAct(snapshot: Snapshot, plan: Plan, result: ActResult): Plan {
  switch (result.kind) {
    case 'none':
    case 'resourceChanged':
    case 'resourceDeleted':
      return plan;
    case 'create':
      return { ...plan, ...recordCreate(snapshot, result.attempt, result.result) };
    case 'terminated': {
      const { attempt } = snapshot.status;
      if (attempt?.podID !== result.podID) return plan;
      const recorded = plan.record.attempt ?? attempt;
      return { ...plan, record: { ...plan.record, attempt: { ...recorded, billedTo: isoUp(result.atMs) } } };
    }
    case 'terminateFailed': {
      const left = podsLeft(snapshot).join(',');
      const { name, namespace } = snapshot.job.metadata;
      const refused = result.error.kind === 'unauthorized' || result.error.kind === 'forbidden';
      const release =
        snapshot.job.metadata.deletionTimestamp === undefined
          ? ''
          : ` If the key is gone for good, end the pods in Runpod's console and run: kubectl annotate tj -n ${namespace} ${name} ${abandonPodsAnnotation}=${left}`;
      return {
        ...plan,
        say: {
          reason: refused ? 'AccountUnauthorized' : 'EndingPodFailed',
          message: `Runpod did not end pod ${result.podID} (${result.error.message}); asked again until it does. Pods left: ${left}.${release}`,
          stalled: refused,
        },
      };
    }
  }
}
