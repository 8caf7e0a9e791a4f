import type { Candidate, Refusal } from '../api/trainingjob.ts';
import { rate } from './attempts.ts';
import { nearest } from './nearest.ts';
import type { Say } from './plan.ts';
import type { RefusalClass, Snapshot } from './snapshot.ts';

/** How one candidate stands: may it be asked for now, and if not, why and until when. */
export interface Standing {
  readonly candidate: Candidate;
  readonly free: boolean;
  readonly class?: RefusalClass;
  readonly why: string;
  /** Only a changed spec, key or balance helps. */
  readonly needsPerson: boolean;
  readonly retryAtMs?: number;
}

export function standings(snapshot: Snapshot): readonly Standing[] {
  return snapshot.job.spec.compute.candidates.map((candidate) => ({
    candidate,
    ...(catalogProblem(snapshot, candidate) ?? lastRefusal(snapshot, candidate) ?? free),
  }));
}

/** Why nothing can be had, in one reason and the sentences of all candidates. */
export function shortage(verdicts: readonly Standing[]): Say {
  const leading = verdicts.find((verdict) => !verdict.needsPerson) ?? verdicts[0];
  return {
    reason: reasonOf(leading?.class),
    message: verdicts.map((verdict) => `${verdict.candidate.name}: ${verdict.why}`).join(' '),
    stalled: verdicts.every((verdict) => verdict.needsPerson),
  };
}

/**
 * What to say while a candidate is asked for. Where every candidate was last refused for something that only a person can
 * change, that stays said: Stalled would flap with each try otherwise.
 */
export function asking(snapshot: Snapshot, message: string): Say {
  const verdicts = standings(snapshot);
  return verdicts.every((verdict) => verdict.needsPerson) ? shortage(verdicts) : { reason: 'Placing', message };
}

type Verdict = Omit<Standing, 'candidate'>;

const free: Verdict = { free: true, why: '', needsPerson: false };

/** What the price list already tells, so that no create is spent on it. */
function catalogProblem(snapshot: Snapshot, candidate: Candidate): Verdict | undefined {
  const { catalog } = snapshot;
  if (!catalog) return undefined;
  const { gpu, cpu } = candidate;
  const unknown = (kind: string, id: string, known: Iterable<string>): Verdict => {
    const closest = nearest(id, known);
    const hint = closest === undefined ? '' : ` Did you mean "${closest}"?`;
    return { free: false, class: 'Invalid', needsPerson: true, why: `Runpod has no ${kind} "${id}".${hint}` };
  };
  if (gpu && !catalog.gpus.has(gpu.type)) return unknown('GPU type', gpu.type, catalog.gpus.keys());
  if (cpu && !catalog.cpus.has(cpu.flavor)) return unknown('CPU flavor', cpu.flavor, catalog.cpus.keys());
  const listed = listPriceUsdPerHour(snapshot, candidate);
  if (candidate.maxPricePerHour === undefined || listed === undefined || listed <= Number(candidate.maxPricePerHour)) {
    return undefined;
  }
  return {
    free: false,
    class: 'PriceAboveCap',
    needsPerson: false,
    retryAtMs: snapshot.nowMs + snapshot.policy.refusalBackoffMaxMs,
    why: `list price ${rate(listed)} USD per hour is above maxPricePerHour ${candidate.maxPricePerHour}; raise it, or wait for a lower price.`,
  };
}

/** Price of the whole pod by the catalog, rounded as charged rates are: 3 times 1.1 is not above 3.3. */
export function listPriceUsdPerHour(snapshot: Snapshot, candidate: Candidate): number | undefined {
  const { gpu, cpu, cloud } = candidate;
  if (cpu) {
    const perVcpu = snapshot.catalog?.cpus.get(cpu.flavor);
    return perVcpu === undefined ? undefined : rounded(perVcpu * cpu.vcpus);
  }
  const price = gpu && snapshot.catalog?.gpus.get(gpu.type);
  if (!price) return undefined;
  return rounded((cloud === 'Community' ? price.community : price.secure) * gpu.count);
}

function rounded(usdPerHour: number): number {
  return Math.round(usdPerHour * 1e4) / 1e4;
}

/** The newest refusal, also after its wait: what was refused is said until another answer comes. */
function lastRefusal(snapshot: Snapshot, candidate: Candidate): Verdict | undefined {
  const refusal = snapshot.status.placement?.refusals?.find((entry) => entry.candidate === candidate.name);
  if (!refusal) return undefined;
  // A changed spec is another question; what was refused for its content is asked anew.
  const sameSpec = refusal.generation === snapshot.job.metadata.generation;
  if (!sameSpec && ['Invalid', 'PriceAboveCap', 'WrongPlace'].includes(refusal.class)) return undefined;
  const verdict = { class: refusal.class, needsPerson: needsAPerson(refusal.class), why: sentence(snapshot, refusal) };
  if (refusal.class === 'Invalid') return { ...verdict, free: false };
  const retryAtMs = Date.parse(refusal.retryTime ?? refusal.lastTime);
  return { ...verdict, free: snapshot.nowMs >= retryAtMs, retryAtMs };
}

function needsAPerson(refusal: RefusalClass): boolean {
  return refusal === 'Invalid' || refusal === 'Balance' || refusal === 'Forbidden' || refusal === 'Unauthorized';
}

const advice: Readonly<Record<Exclude<RefusalClass, 'Unauthorized'>, string>> = {
  NoCapacity: 'not in stock; asked again with growing waits.',
  PriceAboveCap: 'charged more than maxPricePerHour; left out for an hour.',
  WrongPlace: 'came up on other hardware or in another data center than asked for; left out for an hour.',
  Invalid: 'Runpod rejects the request; change the candidate.',
  Balance: "the account's balance is too low; add credit.",
  Forbidden: "the account's API key may not create this; give it access or change the candidate.",
  RateLimited: "Runpod's rate limit was reached; asked again when it allows.",
  Unclassified: 'Runpod refused in words that the operator does not know; asked again with growing waits.',
};

function sentence({ account }: Snapshot, refusal: Refusal): string {
  const words = refusal.message ?? '';
  // A key that is not there is refused by nobody: its words are our own.
  if (refusal.class === 'Unauthorized')
    return `The API key of account ${account.name} does not work${words === '' ? '' : ` (${words})`}; put a working key into ${account.keyPlace}.`;
  return `${advice[refusal.class]}${words === '' ? '' : ` Runpod: "${words}".`}`;
}

function reasonOf(refusal: RefusalClass | undefined): string {
  switch (refusal) {
    case 'Invalid':
      return 'InvalidCandidate';
    case 'Balance':
      return 'InsufficientBalance';
    case 'Forbidden':
      return 'AccountForbidden';
    case 'Unauthorized':
      return 'AccountUnauthorized';
    case 'NoCapacity':
    case 'PriceAboveCap':
    case 'WrongPlace':
    case 'RateLimited':
    case 'Unclassified':
      return refusal;
    case undefined:
      return 'Placing';
  }
}
