import type { LedgerEntry, TrainingJob } from '../api/trainingjob.ts';

/** The pods of an account that ended without a word of their trainer, since the last pod that was heard. */
export interface Unconnected {
  readonly count: number;
  /** When the newest of them ended, in epoch milliseconds. */
  readonly lastEndMs: number;
  /** The newest of them, as told to a person. */
  readonly words: string;
}

/** Ends of a pod that tell nothing of the way between pods and operator are not among them: a person asked for those. */
const silentEnds: readonly string[] = ['StartDeadlineExceeded', 'PodLost', 'PodError', 'PodStopped'];

/** So many in a row mean that something is wrong with all pods, and not with one host. */
export const tooMany = 3;

/**
 * What the ledgers of an account's jobs tell: whether its pods reach the operator at all. Pure; a pod that is at work now shows
 * that they do.
 */
export function unconnected(jobs: readonly TrainingJob[], account: string): Unconnected {
  const none = { count: 0, lastEndMs: 0, words: '' };
  const atWork = jobs.some(({ status }) => {
    const { attempt } = status ?? {};
    return (
      attempt?.account === account &&
      attempt.state === 'Observed' &&
      attempt.connectedTime !== undefined &&
      attempt.end === undefined
    );
  });
  if (atWork) return none;
  const ended = jobs
    .flatMap((job) => (job.status?.attempts ?? []).map((entry) => ({ job, entry })))
    .filter(({ entry }) => entry.account === account && entry.podID !== undefined && entry.endTime !== undefined)
    // Ends of one second: what speaks for the account counts.
    .toSorted((a, b) => endMs(b.entry) - endMs(a.entry) || Number(wasHeard(b.entry)) - Number(wasHeard(a.entry)));
  const heard = ended.findIndex(({ entry }) => wasHeard(entry));
  const silent = (heard < 0 ? ended : ended.slice(0, heard)).filter(({ entry }) => silentEnds.includes(entry.reason));
  const newest = silent[0];
  if (!newest) return none;
  const words = silent
    .slice(0, tooMany)
    .map(({ job, entry }) => `${entry.podID} of ${job.metadata.namespace}/${job.metadata.name} (${entry.reason})`)
    .join(', ');
  return { count: silent.length, lastEndMs: endMs(newest.entry), words };
}

/** What is said of them, with where to look. */
export function neverReached({ words }: Unconnected): string {
  return `The last ${tooMany} pods never reached the operator: ${words}. Look whether pods can reach TELEMETRY_URL, or the operator the pods by RUNPOD_PROXY_URL where it calls them, and whether their image starts the agent.`;
}

/** Until when nothing is rented in the account after so many; undefined while they are few. The pause doubles with each. */
export function pausedUntilMs(
  { count, lastEndMs }: Unconnected,
  pause: { readonly firstMs: number; readonly maxMs: number },
): number | undefined {
  if (count < tooMany) return undefined;
  return lastEndMs + Math.min(pause.maxMs, pause.firstMs * 2 ** Math.min(count - tooMany, 30));
}

function wasHeard(entry: LedgerEntry): boolean {
  return entry.activeSeconds !== undefined;
}

function endMs(entry: LedgerEntry): number {
  return Date.parse(entry.endTime ?? '');
}
