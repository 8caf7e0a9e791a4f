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
import { recover } from './stages/recover.ts';
import { recall } from './stages/recall.ts';
import { restart } from './stages/restart.ts';
import { settle } from './stages/settle.ts';
import { suspend } from './stages/suspend.ts';
import { suspended } from './stages/suspended.ts';
import { track } from './stages/track.ts';
import { unknownOutcome } from './stages/unknownoutcome.ts';

export type Stage = (snapshot: Snapshot) => Plan | undefined;

/** In order; the first that has something to say decides the pass. Each answers one question and is pure. */
export const stages: readonly Stage[] = [
  abandon, // did the user give up the pods of a job that is being deleted?
  unknownOutcome, // did the create we sent make a pod?
  finalize, // is the job being deleted?
  restart, // was the restart token changed?
  settle, // is the run, or the attempt, over: is its pod proved gone?
  recall, // does the store know of this run, or of one just like it, what status does not?
  adopt, // is there a pod of this job that status knows nothing of?
  suspended, // is the job to have no pod, and has none? Before the deadlines: none of them runs then.
  deadlines, // is a deadline, the budget or the trainer's silence over the limit?
  duplicates, // is there a pod of this job besides the recorded one? After the limits: one that cannot be ended lifts none.
  suspend, // is a job with a pod to be suspended?
  admit, // may this job rent at all?
  recover, // did the attempt before end in a fault a moment ago?
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
