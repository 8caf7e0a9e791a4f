import type { Plan } from './plan.ts';
import { nothing } from './plan.ts';
import type { Snapshot } from './snapshot.ts';
import { admit } from './stages/admit.ts';
import { abandon } from './stages/abandon.ts';
import { adopt } from './stages/adopt.ts';
import { deadlines } from './stages/deadlines.ts';
import { duplicates } from './stages/duplicates.ts';
import { finalize } from './stages/finalize.ts';
import { launch } from './stages/launch.ts';
import { place } from './stages/place.ts';
import { settle } from './stages/settle.ts';
import { track } from './stages/track.ts';
import { unknownOutcome } from './stages/unknownoutcome.ts';

export type Stage = (snapshot: Snapshot) => Plan | undefined;

/** In order; the first that has something to say decides the pass. Each answers one question and is pure. */
export const stages: readonly Stage[] = [
  abandon, // did the user give up the pods of a job that is being deleted?
  unknownOutcome, // did the create we sent make a pod?
  finalize, // is the job being deleted?
  settle, // is the run, or the attempt, over: is its pod proved gone?
  adopt, // is there a pod of this job that status knows nothing of?
  deadlines, // is a deadline, the budget or the trainer's silence over the limit?
  duplicates, // is there a pod of this job besides the recorded one? After the limits: one that cannot be ended lifts none.
  admit, // may this job rent at all?
  place, // which candidate is asked for next?
  launch, // is an intent written whose create was not sent?
  track, // what do Runpod and the trainer say?
];

/** Total and deterministic: the same snapshot gives the same plan, and none makes it throw (I10). */
export function decide(snapshot: Snapshot): Plan {
  for (const stage of stages) {
    const plan = stage(snapshot);
    if (plan) return plan;
  }
  return {
    stage: 'rest',
    action: nothing,
    record: {},
    say: { reason: 'NothingToDo', message: 'Nothing is to be done.' },
  };
}
