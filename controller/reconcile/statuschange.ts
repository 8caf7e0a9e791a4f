import { isDeepStrictEqual } from 'node:util';
import type { TrainingJobStatus } from '../api/trainingjob.ts';

/**
 * How much a new status matters: `none` is not worth a write, `progress` may wait to be written together with more, `urgent`
 * is written at once. Time alone changes cost, remaining time and last report, so these alone are never a reason (I12).
 */
export type StatusChange = 'none' | 'progress' | 'urgent';

export function statusChange(before: TrainingJobStatus, after: TrainingJobStatus): StatusChange {
  if (isDeepStrictEqual(withoutTime(before), withoutTime(after))) return 'none';
  return isDeepStrictEqual(withoutProgress(before), withoutProgress(after)) ? 'progress' : 'urgent';
}

function withoutTime(status: TrainingJobStatus): unknown {
  const { cost: _cost, progress, ...rest } = status;
  const {
    lastReportTime: _last,
    sequence: _sequence,
    estimatedRemainingSeconds: _eta,
    confidence: _confidence,
    ...facts
  } = progress ?? {};
  return plain({ ...rest, progress: facts });
}

function withoutProgress(status: TrainingJobStatus): unknown {
  const {
    cost: _cost,
    progress: _progress,
    metrics: _metrics,
    evalsSinceBest: _evals,
    search: _search,
    ...others
  } = status;
  const { checkpoint, alerts = [], ...rest } = others;
  // A trainer that says the same again and again must not cost a write each time.
  const kinds = [...new Set(alerts.map(({ name }) => name))].toSorted();
  return plain({ ...rest, hasCheckpoint: checkpoint !== undefined, kinds });
}

/** Without undefined members, which JSON does not carry. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}
