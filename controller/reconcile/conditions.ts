import type { ConditionState } from '../api/conditions.ts';
import type { ResolvedJob } from '../api/resolve.ts';
import type { Phase, TrainingJobStatus } from '../api/trainingjob.ts';
import type { Say } from './plan.ts';

/**
 * The conditions of a job. Ready, Reconciling and Stalled follow kstatus; Complete and Failed are named as in batch/v1 and
 * are there only once they hold.
 */
export function conditions(
  status: TrainingJobStatus,
  phase: Phase,
  say: Say,
  job: ResolvedJob,
): readonly ConditionState[] {
  const { outcome } = status;
  const finished = status.completionTime !== undefined && outcome !== undefined;
  return [
    ready(phase, say, outcome?.message ?? '', job),
    reconciling(phase, say),
    stalled(phase, say, outcome),
    podProvisioned(status, say),
    trainerConnected(status, phase),
    checkpointReady(status, job),
    ...(job.spec.budget ? [withinBudget(status)] : []),
    ...suspended(status, say),
    ...(outcome ? [cleanupDone(finished, status)] : []),
    ...(finished && outcome.result === 'Succeeded'
      ? [state('Complete', true, outcome.reason, outcome.message ?? '')]
      : []),
    ...(finished && outcome.result === 'Failed' ? [state('Failed', true, outcome.reason, outcome.message ?? '')] : []),
  ];
}

function state(type: ConditionState['type'], status: boolean, reason: string, message: string): ConditionState {
  return { type, status, reason, message };
}

function ready(phase: Phase, say: Say, message: string, { spec }: ResolvedJob): ConditionState {
  if (phase === 'Succeeded') return state('Ready', true, 'Succeeded', message);
  return state('Ready', phase === 'Running' && spec.readyWhen === 'Started', say.reason, say.message);
}

/** As batch/v1 has it: there once the job was suspended, and false when it was resumed. */
function suspended({ suspendTime, resumeTime }: TrainingJobStatus, say: Say): readonly ConditionState[] {
  if (suspendTime !== undefined) return [state('Suspended', true, 'JobSuspended', say.message)];
  return resumeTime === undefined ? [] : [state('Suspended', false, 'JobResumed', 'The job was resumed.')];
}

function reconciling(phase: Phase, say: Say): ConditionState {
  const steady = phase === 'Running' || phase === 'Suspended' || phase === 'Succeeded' || phase === 'Failed';
  if (steady || say.stalled)
    return state('Reconciling', false, steady ? 'Steady' : say.reason, steady ? '' : say.message);
  return state('Reconciling', true, say.reason, say.message);
}

function stalled(phase: Phase, say: Say, outcome: TrainingJobStatus['outcome']): ConditionState {
  if (phase === 'Failed') return state('Stalled', true, outcome?.reason ?? 'Failed', outcome?.message ?? '');
  return say.stalled ? state('Stalled', true, say.reason, say.message) : state('Stalled', false, 'Progressing', '');
}

function podProvisioned(status: TrainingJobStatus, say: Say): ConditionState {
  const { attempt } = status;
  if (attempt?.state === 'Observed') {
    return state(
      'PodProvisioned',
      true,
      'PodRented',
      `Pod ${attempt.podID ?? ''} on ${attempt.instance ?? 'unknown hardware'}.`,
    );
  }
  if (attempt?.state === 'Gone')
    return state('PodProvisioned', false, 'PodGone', `Pod ${attempt.podID ?? attempt.podName} is proved gone.`);
  return state('PodProvisioned', false, say.reason, say.message);
}

function trainerConnected(status: TrainingJobStatus, phase: Phase): ConditionState {
  if (phase === 'Running' || phase === 'Checkpointing') return state('TrainerConnected', true, 'HeartbeatFresh', '');
  const silence = [status.failure, status.attempt?.end].find((entry) => entry?.reason === 'HeartbeatLost');
  if (silence) return state('TrainerConnected', false, 'HeartbeatLost', silence.message);
  if (status.attempt?.end && !status.outcome) return state('TrainerConnected', false, 'AttemptOver', '');
  if (status.outcome || status.attempt?.connectedTime !== undefined) {
    return state('TrainerConnected', false, 'RunOver', '');
  }
  return state('TrainerConnected', false, 'NotConnected', 'No trainer has connected yet.');
}

function checkpointReady(status: TrainingJobStatus, job: ResolvedJob): ConditionState {
  const { checkpoint } = status;
  if (checkpoint?.verified) {
    return state(
      'CheckpointReady',
      true,
      'ManifestVerified',
      'The newest checkpoint was read back and compared; see status.checkpoint.',
    );
  }
  if (!job.spec.checkpoints) return state('CheckpointReady', false, 'NotRequested', 'spec.checkpoints is not set.');
  return state('CheckpointReady', false, 'AwaitingFirstCheckpoint', 'No checkpoint was stored and verified yet.');
}

function withinBudget(status: TrainingJobStatus): ConditionState {
  const exceeded = [status.failure?.reason, status.attempt?.stop?.reason].includes('BudgetExceeded');
  return exceeded
    ? state('WithinBudget', false, 'BudgetExceeded', status.failure?.message ?? status.attempt?.stop?.message ?? '')
    : state('WithinBudget', true, 'WithinBudget', '');
}

function cleanupDone(finished: boolean, status: TrainingJobStatus): ConditionState {
  return finished
    ? state('CleanupDone', true, 'PodsGone', 'No pod of this job is left.')
    : state('CleanupDone', false, 'EndingPod', `${podOf(status)} is not yet proved gone.`);
}

function podOf({ attempt }: TrainingJobStatus): string {
  return attempt ? `Pod ${attempt.podID ?? attempt.podName}` : 'Any pod of this job';
}
