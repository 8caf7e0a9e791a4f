import type { Attempt, TrainingJobStatus } from '../api/trainingjob.ts';

export interface JobEvent {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

/** Kubernetes Events for the step from one written status to the next: what `kubectl describe` shows as history. */
export function jobEvents(before: TrainingJobStatus, after: TrainingJobStatus): readonly JobEvent[] {
  return [
    ...attemptEvents(before, after),
    ...runEvents(before, after),
    ...bestEvents(before, after),
    ...alertEvents(before, after),
    ...stalledEvents(before, after),
    ...endEvents(before, after),
  ];
}

function normal(reason: string, message: string): JobEvent {
  return { type: 'Normal', reason, message };
}

function warning(reason: string, message: string): JobEvent {
  return { type: 'Warning', reason, message };
}

function attemptEvents(before: TrainingJobStatus, after: TrainingJobStatus): readonly JobEvent[] {
  const attempt = after.attempt;
  if (!attempt) return [];
  const old = before.attempt?.number === attempt.number ? before.attempt : undefined;
  const events = old?.state === attempt.state ? [] : stateEvents(attempt, old, after);
  const connected = attempt.connectedTime !== undefined && old?.connectedTime === undefined;
  return [
    ...events,
    ...(connected ? [normal('TrainerConnected', `The trainer in pod ${attempt.podID} connected.`)] : []),
    ...(attempt.stop && !old?.stop ? [warning(attempt.stop.reason, attempt.stop.message)] : []),
    ...(attempt.end && !old?.end ? [ended(attempt.end)] : []),
  ];
}

/** What the user asked for is no warning. */
function ended({ reason, message }: NonNullable<Attempt['end']>): JobEvent {
  return reason === 'Suspended' || reason === 'Restarted' ? normal(reason, message) : warning(reason, message);
}

function stateEvents(attempt: Attempt, old: Attempt | undefined, after: TrainingJobStatus): readonly JobEvent[] {
  switch (attempt.state) {
    case 'Intent':
      return [];
    case 'Observed': {
      // A pod that no intent of this status led to was found, not rented.
      const how = !old || old.state === 'Unknown' ? 'Adopted' : 'Rented';
      const place = attempt.dataCenter ?? 'an unknown data center';
      const what = `${attempt.podID} (${attempt.instance}) in ${place} at ${attempt.pricePerHour} USD per hour`;
      return [normal(`Pod${how}`, `${how} pod ${what}.`)];
    }
    case 'Refused': {
      const refusal = after.placement?.refusals?.find((entry) => entry.candidate === attempt.candidate);
      return [
        warning(
          refusal?.class ?? 'Refused',
          `Runpod refused candidate ${attempt.candidate}: ${refusal?.message ?? ''}`,
        ),
      ];
    }
    case 'Unknown':
      return [
        warning('CreateOutcomeUnknown', `The create of pod ${attempt.podName} got no usable answer; looking for it.`),
      ];
    case 'Abandoned':
      return [warning('CreateAbandoned', `Pod ${attempt.podName} never appeared.`)];
    case 'Gone':
      return [normal('PodGone', `Pod ${attempt.podID ?? attempt.podName} is proved gone.`)];
  }
}

function runEvents(before: TrainingJobStatus, after: TrainingJobStatus): readonly JobEvent[] {
  const events: JobEvent[] = [];
  if (before.run && after.run && after.run.number > before.run.number)
    events.push(normal('RunBegun', `Run ${after.run.number} begins, as spec.restartToken was changed.`));
  if (after.suspendTime !== undefined && before.suspendTime === undefined)
    events.push(normal('JobSuspended', 'The job is suspended; nothing is rented.'));
  if (after.suspendTime === undefined && before.suspendTime !== undefined && after.resumeTime !== before.resumeTime)
    events.push(normal('JobResumed', 'The job goes on.'));
  return events;
}

function bestEvents(before: TrainingJobStatus, after: TrainingJobStatus): readonly JobEvent[] {
  const { best } = after;
  const old = before.best;
  if (!best || best.step === old?.step) return [];
  if (old && !old.verified && best.verified && Number(best.score) > Number(old.score)) {
    return [
      warning(
        'BestFellBack',
        `The weights of step ${old.step} were never stored and verified; the best step that has them is ${best.step}.`,
      ),
    ];
  }
  const parts = Object.entries(best.components ?? {}).map(([name, value]) => `${name} ${value}`);
  return [normal('NewBest', `Step ${best.step} has the best score so far, ${best.score} (${parts.join(', ')}).`)];
}

/** The trainer's own words. It may call an alert anything; a reason is one word. */
function alertEvents(before: TrainingJobStatus, after: TrainingJobStatus): readonly JobEvent[] {
  const idOf = ({ attempt, time, name, message }: NonNullable<TrainingJobStatus['alerts']>[number]): string =>
    [attempt, time, name, message].join('\n');
  const known = new Set(before.alerts?.map(idOf));
  return (after.alerts ?? [])
    .filter((alert) => !known.has(idOf(alert)))
    .map(({ name, severity, message }) => {
      const make = severity === 'Info' ? normal : warning;
      return /^[A-Za-z][A-Za-z0-9]*$/.test(name) ? make(name, message) : make('TrainerAlert', `${name}: ${message}`);
    });
}

function stalledEvents(before: TrainingJobStatus, after: TrainingJobStatus): readonly JobEvent[] {
  if (after.outcome) return [];
  const stalled = after.conditions?.find((condition) => condition.type === 'Stalled' && condition.status === 'True');
  const old = before.conditions?.find((condition) => condition.type === 'Stalled' && condition.status === 'True');
  return stalled && stalled.reason !== old?.reason ? [warning(stalled.reason, stalled.message)] : [];
}

function endEvents(before: TrainingJobStatus, after: TrainingJobStatus): readonly JobEvent[] {
  const { outcome } = after;
  if (!outcome) return [];
  const events: JobEvent[] = [];
  const make = outcome.result === 'Succeeded' ? normal : warning;
  if (!before.outcome) events.push(make(outcome.reason, outcome.message ?? ''));
  if (after.completionTime !== undefined && before.completionTime === undefined) {
    events.push(
      make(
        outcome.result === 'Succeeded' ? 'Completed' : 'JobFailed',
        `The job is over and cost ${after.cost?.accrued ?? '0'} USD.`,
      ),
    );
  }
  return events;
}
