import { initialScorer } from '../scoring/best.ts';
import type { AgentEvent, Resume } from './protocol.ts';
import type { BestSummary, CheckpointSummary, JobTelemetry } from './jobtelemetry.ts';

type ResumedEvent = Extract<AgentEvent, { type: 'resumed' }>;

/**
 * Scorer and step as they were when the checkpoint was first reported; without one, or one that is not known, as at the start.
 * What the trainer found broken counts as verified no more.
 */
export function resumed(job: JobTelemetry, { step, uri, rejected }: ResumedEvent): JobTelemetry {
  const broken = new Set(rejected.map((entry) => entry.uri));
  const checked = (entry: CheckpointSummary): CheckpointSummary =>
    broken.has(entry.uri) ? { ...entry, verified: false } : entry;
  const checkpoints = job.checkpoints.map(checked);
  const from = step > 0 ? checkpoints.find((entry) => entry.uri === uri) : undefined;
  const scorer = from?.scorer ?? initialScorer;
  const { best: _best, evalsSinceBest: _since, lastScore: _last, step: _step, ...rest } = job;
  const evaluated = from ? [{ step, scorer, ...(from.scored && { scored: from.scored }) }] : [];
  return withBest({
    ...rest,
    checkpoints,
    ...(job.latestCheckpoint && { latestCheckpoint: checked(job.latestCheckpoint) }),
    resumedFromStep: step,
    ...(step > 0 && { step }),
    scorer,
    evaluated,
    evaluations: scorer.evaluations,
    ...(scorer.evaluations > 0 && { evalsSinceBest: scorer.sinceBest }),
  });
}

/** Whether the present attempt stored this checkpoint or came from it: the same step of another way has other weights. */
function isOnWay(job: JobTelemetry, { attempt, step }: CheckpointSummary): boolean {
  return attempt === job.attempt || step <= (job.resumedFromStep ?? 0);
}

/**
 * The best step once nothing more can be stored of this attempt: a leader without verified weights falls back to the best
 * step that has them (promise 3).
 */
export function settledBest(job: JobTelemetry): BestSummary | undefined {
  if (!job.best || job.best.verified) return job.best;
  let best: BestSummary | undefined;
  for (const entry of job.checkpoints) {
    const { scored, verified, uri, manifestSHA256 } = entry;
    if (!verified || !scored || !isOnWay(job, entry)) continue;
    if (!best || scored.score < best.score) best = { ...scored, verified, uri, manifestSHA256 };
  }
  return best ?? job.best;
}

/** As many as the agent takes. */
export const offeredCheckpoints = 8;

/** What an attempt may go on from: verified checkpoints of attempts since `firstAttempt`, the newest first. */
export function resumable(job: JobTelemetry | undefined, firstAttempt: number): Resume | null {
  const checkpoints = (job?.checkpoints ?? [])
    .filter((entry) => entry.verified && entry.attempt >= firstAttempt)
    .slice(-offeredCheckpoints)
    .toReversed()
    .map(({ uri, step, manifestSHA256 }) => ({ uri, step, manifestSHA256 }));
  return checkpoints.length > 0 ? { checkpoints } : null;
}

const keptCheckpoints = 64;

export function afterCheckpoint(
  job: JobTelemetry,
  event: Extract<AgentEvent, { type: 'checkpoint' }>,
  atMs: number,
): JobTelemetry {
  const { step, uri, manifestSHA256, verified } = event;
  const others = job.checkpoints.filter((entry) => entry.uri !== uri);
  if (event.removed) {
    const latest = others.at(-1);
    const { latestCheckpoint: _removed, ...rest } = job;
    return withBest({ ...rest, checkpoints: others, ...(latest && { latestCheckpoint: latest }) });
  }
  const before = job.checkpoints.find((entry) => entry.uri === uri && entry.attempt === job.attempt);
  const evaluation = job.evaluated.findLast((entry) => entry.step <= step);
  const scored = (evaluation?.step === step ? evaluation.scored : undefined) ?? before?.scored;
  const entry: CheckpointSummary = {
    step,
    uri,
    manifestSHA256,
    verified,
    time: atMs,
    attempt: job.attempt,
    scorer: before?.scorer ?? evaluation?.scorer ?? initialScorer,
    ...(scored && { scored }),
  };
  return withBest({ ...job, checkpoints: keptOf([...others, entry], job.scorer.best?.step), latestCheckpoint: entry });
}

/** The newest of them, and always the best step's: the list of a trainer that removes none must not lose it. */
function keptOf(checkpoints: readonly CheckpointSummary[], bestStep: number | undefined): readonly CheckpointSummary[] {
  if (checkpoints.length <= keptCheckpoints) return checkpoints;
  const surplus = checkpoints.findIndex((entry) => entry.step !== bestStep);
  return checkpoints.toSpliced(surplus, 1);
}

/** The best step with the address of its weights, as far as a verified checkpoint of that step is known (promise 3). */
export function withBest(job: JobTelemetry): JobTelemetry {
  const { best } = job.scorer;
  if (!best) return job;
  const stored = job.checkpoints.find((entry) => entry.step === best.step && entry.verified && isOnWay(job, entry));
  return {
    ...job,
    best: {
      ...best,
      verified: stored !== undefined,
      ...(stored && { uri: stored.uri, manifestSHA256: stored.manifestSHA256 }),
    },
  };
}
