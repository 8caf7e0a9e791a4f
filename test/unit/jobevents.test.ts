import { describe, expect, test } from 'vitest';
import type { Attempt, TrainingJobStatus } from '../../controller/api/trainingjob.ts';
import { jobEvents } from '../../controller/reconcile/jobevents.ts';
import { attempt, isoAt } from './snapshot.ts';

const outcome = { result: 'Succeeded', reason: 'TrainerSucceeded', message: 'Done.', time: isoAt(-5) } as const;
const failed = { result: 'Failed', reason: 'PodLost', message: 'Gone.', time: isoAt(-5) } as const;

describe('events for people', () => {
  const reasons = (before: TrainingJobStatus, next: TrainingJobStatus): readonly string[] =>
    jobEvents(before, next).map((event) => `${event.type} ${event.reason}`);
  const states = (from: Attempt['state'] | undefined, to: Attempt['state']): readonly string[] =>
    reasons(from ? { attempt: attempt({ state: from }) } : {}, { attempt: attempt({ state: to }) });

  test.each([
    [undefined, 'Intent', []],
    ['Intent', 'Observed', ['Normal PodRented']],
    ['Unknown', 'Observed', ['Normal PodAdopted']],
    [undefined, 'Observed', ['Normal PodAdopted']],
    ['Intent', 'Unknown', ['Warning CreateOutcomeUnknown']],
    ['Intent', 'Refused', ['Warning Refused']],
    ['Unknown', 'Abandoned', ['Warning CreateAbandoned']],
    ['Observed', 'Gone', ['Normal PodGone']],
    ['Observed', 'Observed', []],
  ] as const)('from %s to %s', (from, to, expected) => expect(states(from, to)).toEqual(expected));

  test('a refusal tells its class and words', () => {
    const refusals = [
      { candidate: 'small', class: 'Balance' as const, message: 'balance too low', count: 1, lastTime: isoAt(0) },
    ];
    const [event] = jobEvents(
      { attempt: attempt({ state: 'Intent' }) },
      { attempt: attempt({ state: 'Refused' }), placement: { refusals } },
    );
    expect(event).toEqual({
      type: 'Warning',
      reason: 'Balance',
      message: 'Runpod refused candidate small: balance too low',
    });
  });

  test('the trainer, a stop and an end are told once', () => {
    const noted = { reason: 'BudgetExceeded', message: 'x', time: isoAt(0) };
    const next = {
      attempt: attempt({ connectedTime: isoAt(0), stop: noted, end: { ...noted, reason: 'WrongPlace' } }),
    };
    expect(reasons({ attempt: attempt() }, next)).toEqual([
      'Normal TrainerConnected',
      'Warning BudgetExceeded',
      'Warning WrongPlace',
    ]);
    expect(reasons(next, next)).toEqual([]);
  });

  test('what the trainer says beside its numbers, each once', () => {
    const alert = {
      attempt: 1,
      name: 'EarlyStopped',
      severity: 'Info',
      message: 'No better.',
      time: isoAt(0),
    } as const;
    const other = { ...alert, name: 'disk is slow', severity: 'Warning' } as const;
    const next = { alerts: [alert, other] };
    expect(jobEvents({}, next)).toEqual([
      { type: 'Normal', reason: 'EarlyStopped', message: 'No better.' },
      { type: 'Warning', reason: 'TrainerAlert', message: 'disk is slow: No better.' },
    ]);
    expect(jobEvents({ alerts: [alert] }, next)).toHaveLength(1);
    expect(jobEvents(next, { alerts: [other] })).toEqual([]);
  });

  test('each new best, with what its score is made of', () => {
    const best = {
      step: 20,
      score: '0.4',
      scorerVersion: 1,
      verified: false,
      components: { base: '0.5', bonus: '-0.1' },
    };
    expect(jobEvents({}, { best })).toEqual([
      { type: 'Normal', reason: 'NewBest', message: 'Step 20 has the best score so far, 0.4 (base 0.5, bonus -0.1).' },
    ]);
    expect(jobEvents({ best }, { best: { ...best, verified: true } })).toEqual([]);
    expect(reasons({ best }, { best: { ...best, step: 40 } })).toEqual(['Normal NewBest']);
  });

  test('a new run, a suspension and its end', () => {
    const first = { number: 1, specHash: 'a' };
    expect(reasons({ run: first }, { run: { ...first, number: 2 } })).toEqual(['Normal RunBegun']);
    expect(reasons({}, { run: first })).toEqual([]);
    const still = { suspendTime: isoAt(-1) };
    expect(reasons({}, still)).toEqual(['Normal JobSuspended']);
    expect(reasons(still, still)).toEqual([]);
    expect(reasons(still, { resumeTime: isoAt(0) })).toEqual(['Normal JobResumed']);
  });

  test('a best step that was never stored and gives way to one that was', () => {
    const best = { step: 60, score: '0.4', scorerVersion: 1, verified: false };
    const verified = { ...best, step: 40, score: '0.5', verified: true };
    expect(jobEvents({ best }, { best: verified })).toMatchObject([
      { type: 'Warning', reason: 'BestFellBack', message: expect.stringContaining('step 60') as string },
    ]);
    expect(reasons({ best }, { best: { ...verified, score: '0.3' } })).toEqual(['Normal NewBest']);
  });

  test('a stall is told when it begins and when its reason changes', () => {
    const stalled = (reason: string, status: 'True' | 'False' = 'True'): TrainingJobStatus => ({
      conditions: [{ type: 'Stalled', status, reason, message: 'm', lastTransitionTime: isoAt(0) }],
    });
    expect(reasons({}, stalled('SecretMissing'))).toEqual(['Warning SecretMissing']);
    expect(reasons(stalled('SecretMissing'), stalled('SecretMissing'))).toEqual([]);
    expect(reasons(stalled('SecretMissing'), stalled('InvalidCandidate'))).toEqual(['Warning InvalidCandidate']);
    expect(reasons(stalled('SecretMissing'), stalled('Progressing', 'False'))).toEqual([]);
  });

  test('the outcome when it is decided, the end when it is proved', () => {
    expect(reasons({}, { outcome })).toEqual(['Normal TrainerSucceeded']);
    expect(reasons({ outcome }, { outcome, completionTime: isoAt(0) })).toEqual(['Normal Completed']);
    expect(reasons({}, { outcome: failed })).toEqual(['Warning PodLost']);
    expect(reasons({ outcome: failed }, { outcome: failed, completionTime: isoAt(0) })).toEqual(['Warning JobFailed']);
    expect(reasons({ outcome, completionTime: isoAt(0) }, { outcome, completionTime: isoAt(0) })).toEqual([]);
  });
});
