import type { Condition } from './trainingjob.ts';

export type ConditionType =
  | 'Ready'
  | 'Reconciling'
  | 'Stalled'
  | 'PodProvisioned'
  | 'TrainerConnected'
  | 'CheckpointReady'
  | 'WithinBudget'
  | 'Suspended'
  | 'Complete'
  | 'Failed'
  | 'CleanupDone'
  | AccountConditionType;

export type AccountConditionType = 'KeyValid' | 'BalanceSufficient' | 'TrainersConnect';

export interface ConditionState {
  readonly type: ConditionType;
  readonly status: boolean | 'Unknown';
  readonly reason: string;
  readonly message: string;
}

/** The conditions as they are to be written: the transition time moves only when the status itself changes. */
export function nextConditions(
  before: readonly Condition[],
  wanted: readonly ConditionState[],
  generation: number,
  now: string,
): Condition[] {
  return wanted.map(({ type, status, reason, message }) => {
    const word = status === 'Unknown' ? status : status ? 'True' : 'False';
    const old = before.find((condition) => condition.type === type);
    return {
      type,
      status: word,
      reason,
      message: message.slice(0, 1024),
      observedGeneration: generation,
      lastTransitionTime: old?.status === word ? old.lastTransitionTime : now,
    };
  });
}

export function conditionIsTrue(conditions: readonly Condition[] | undefined, type: ConditionType): boolean {
  return conditions?.some((condition) => condition.type === type && condition.status === 'True') ?? false;
}
