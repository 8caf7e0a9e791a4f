import type { ResolvedJob } from '../api/resolve.ts';
import type { Clock } from '../clock.ts';
import { readJobSecrets, type Secrets } from './jobsecrets.ts';
import { redacted } from './redact.ts';

export interface LastWordsContext {
  readonly clock: Clock;
  /** The account that the pod is rented in; undefined where that is not there any more. */
  readonly account: { lastLines(podID: string): Promise<readonly string[]> } | undefined;
  readonly secrets: Secrets;
}

/** With the wait for Secrets, which hide in the words: whatever hangs, the pod is ended a moment later. */
const mostMs = 3000;
const mostOfLine = 512;
/** A shorter value is a number of seconds or a word. */
const leastSignature = 12;

/**
 * The last lines of a pod's log without the job's Secrets (I9). Empty when they cannot be had in time, or when it is not known what to
 * hide: billing ends first.
 */
export function lastWords(context: LastWordsContext, job: ResolvedJob, podID: string): Promise<readonly string[]> {
  const words = Promise.all([context.account?.lastLines(podID) ?? [], secretValues(context.secrets, job)]).then(
    ([lines, values]) => (values ? redacted(lines, values).map((line) => line.slice(0, mostOfLine)) : []),
    () => [],
  );
  return Promise.race([words, context.clock.sleep(mostMs).then(() => [])]);
}

/** Values that the job takes from Secrets; undefined when one of them is not there to be known. */
async function secretValues(secrets: Secrets, job: ResolvedJob): Promise<readonly string[] | undefined> {
  const found = await readJobSecrets(secrets, job);
  if (found.kind === 'missing') return undefined;
  const { env, keys } = found.values;
  const secret = (job.spec.trainer.env ?? []).filter(({ valueFrom }) => valueFrom);
  const named = secret.map(({ name }) => env[name] ?? '');
  return [...named, ...signatures(job), ...Object.values(keys).flatMap((key) => Object.values(key))];
}

/** What signs the address of the data: its query, and the values in it that are too long to stand in any text. */
function signatures(job: ResolvedJob): readonly string[] {
  const { fineTune, tabular } = job.spec.trainer;
  const source = (fineTune ?? tabular)?.dataset.source ?? '';
  const start = source.startsWith('https://') ? source.indexOf('?') : -1;
  if (start === -1) return [];
  const query = source.slice(start + 1);
  const values = [
    ...new URLSearchParams(query).values(),
    ...query.split('&').map((part) => part.slice(part.indexOf('=') + 1)),
  ];
  return [query, ...values.filter((value) => value.length >= leastSignature)];
}
