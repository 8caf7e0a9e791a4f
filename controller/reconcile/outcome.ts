import type { Outcome } from '../api/trainingjob.ts';
import { iso, nothing, type Plan } from './plan.ts';
import type { Snapshot } from './snapshot.ts';

export interface Verdict {
  readonly result: Outcome['result'];
  readonly reason: string;
  readonly message: string;
  readonly exitCode?: number;
}

/** The plan that writes down how the run ended. Written once; no later pass may change it (I5). */
export function concluded(snapshot: Snapshot, stage: string, verdict: Verdict): Plan {
  const { attempt } = snapshot.status;
  const { result, reason } = verdict;
  const message = verdict.message.slice(0, 1024);
  return {
    stage,
    action: nothing,
    record: {
      outcome: { result, reason, message, time: iso(snapshot.nowMs) },
      ...(result === 'Failed' && {
        failure: {
          reason,
          message,
          ...(verdict.exitCode !== undefined && { exitCode: verdict.exitCode }),
          ...(attempt && { attempt: attempt.number }),
        },
      }),
    },
    say: { reason, message },
    requeueAfterMs: 0,
    wantsList: true,
  };
}
