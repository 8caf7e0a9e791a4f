import { podName, uid12 } from '../../api/identity.ts';
import type { Candidate, Refusal } from '../../api/trainingjob.ts';
import { mayHavePod } from '../attempts.ts';
import { nearest } from '../nearest.ts';
import { iso, nothing, type Plan } from '../plan.ts';
import type { RefusalClass, Snapshot } from '../snapshot.ts';

/**
 * Which candidate is asked for next? The first in the user's order that is not waiting out a refusal.
 *
 * The answer is an intent: written before the create is sent, so that a pod whose create's answer is lost has a known name.
 */
export function place(snapshot: Snapshot): Plan | undefined {
  const { status, job } = snapshot;
  if (mayHavePod(status.attempt)) return undefined;
  const verdicts = job.spec.compute.candidates.map((candidate) => ({ candidate, ...standing(snapshot, candidate) }));
  const next = verdicts.find((verdict) => verdict.free);
  if (next) return intent(snapshot, next.candidate);

  const retryMs = verdicts.flatMap((verdict) => (verdict.retryAtMs === undefined ? [] : [verdict.retryAtMs]));
  const hopeless = verdicts.every((verdict) => verdict.needsPerson);
  const waitMs = Math.max(
    0,
    Math.min(...retryMs, snapshot.nowMs + snapshot.policy.refusalBackoffMaxMs) - snapshot.nowMs,
  );
  const leading = verdicts.find((verdict) => !verdict.needsPerson) ?? verdicts[0];
  return {
    stage: 'place',
    action: nothing,
    record: {},
    say: {
      reason: reasonOf(leading?.class),
      message: verdicts.map((verdict) => `${verdict.candidate.name}: ${verdict.why}`).join(' '),
      stalled: hopeless,
    },
    requeueAfterMs: waitMs,
  };
}

interface Standing {
  readonly free: boolean;
  readonly class?: RefusalClass;
  readonly why: string;
  /** Only a changed spec, key or balance helps. */
  readonly needsPerson: boolean;
  readonly retryAtMs?: number;
}

const free: Standing = { free: true, why: '', needsPerson: false };

function standing(snapshot: Snapshot, candidate: Candidate): Standing {
  return catalogProblem(snapshot, candidate) ?? refusalInForce(snapshot, candidate) ?? free;
}

/** What the price list already tells, so that no create is spent on it. */
function catalogProblem(snapshot: Snapshot, candidate: Candidate): Standing | undefined {
  const { catalog } = snapshot;
  if (!catalog) return undefined;
  const { gpu, cpu } = candidate;
  const unknown = (kind: string, id: string, known: Iterable<string>): Standing => {
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
    why: `list price ${listed.toFixed(2)} USD per hour is above maxPricePerHour ${candidate.maxPricePerHour}; raise it, or wait for a lower price.`,
  };
}

/** Price of the whole pod by the catalog. */
function listPriceUsdPerHour(snapshot: Snapshot, candidate: Candidate): number | undefined {
  const { gpu, cpu, cloud } = candidate;
  if (cpu) {
    const perVcpu = snapshot.catalog?.cpus.get(cpu.flavor);
    return perVcpu === undefined ? undefined : perVcpu * cpu.vcpus;
  }
  const price = gpu && snapshot.catalog?.gpus.get(gpu.type);
  if (!price) return undefined;
  return (cloud === 'Community' ? price.community : price.secure) * gpu.count;
}

function refusalInForce(snapshot: Snapshot, candidate: Candidate): Standing | undefined {
  const refusal = snapshot.status.placement?.refusals?.find((entry) => entry.candidate === candidate.name);
  if (!refusal) return undefined;
  const retryAtMs = Date.parse(refusal.retryTime ?? refusal.lastTime);
  const sameSpec = refusal.generation === snapshot.job.metadata.generation;
  // A changed spec is another question; what was refused for its content is asked anew.
  if (!sameSpec && (refusal.class === 'Invalid' || refusal.class === 'PriceAboveCap')) return undefined;
  const needsPerson = needsAPerson(refusal.class);
  if (refusal.class === 'Invalid') return { free: false, class: 'Invalid', needsPerson, why: sentence(refusal) };
  if (snapshot.nowMs >= retryAtMs) return undefined;
  return { free: false, class: refusal.class, needsPerson, retryAtMs, why: sentence(refusal) };
}

function needsAPerson(refusal: RefusalClass): boolean {
  return refusal === 'Invalid' || refusal === 'Balance' || refusal === 'Forbidden' || refusal === 'Unauthorized';
}

const advice: Readonly<Record<RefusalClass, string>> = {
  NoCapacity: 'not in stock; asked again with growing waits.',
  PriceAboveCap: 'charged more than maxPricePerHour; left out for an hour.',
  WrongPlace: 'came up on other hardware or in another data center than asked for; left out for an hour.',
  Invalid: 'Runpod rejects the request; change the candidate.',
  Balance: "the Runpod account's balance is too low; add credit.",
  Forbidden: "the operator's API key may not create this; give it access or change the candidate.",
  RateLimited: "Runpod's rate limit was reached; asked again when it allows.",
  Unauthorized: "Runpod refuses the operator's API key; put a working key into the operator's key file.",
  Unclassified: 'Runpod refused in words that the operator does not know; asked again with growing waits.',
};

function sentence(refusal: Refusal): string {
  const said = refusal.message === undefined || refusal.message === '' ? '' : ` Runpod: "${refusal.message}".`;
  return `${advice[refusal.class]}${said}`;
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

function intent(snapshot: Snapshot, candidate: Candidate): Plan {
  const { job, status, installation, nonce } = snapshot;
  const number = (status.attempt?.number ?? 0) + 1;
  const name = podName({ installation, uid12: uid12(job.metadata.uid), attempt: number, nonce }, job.metadata.name);
  return {
    stage: 'place',
    action: nothing,
    record: {
      attempt: {
        number,
        nonce,
        podName: name,
        candidate: candidate.name,
        state: 'Intent',
        intentTime: iso(snapshot.nowMs),
      },
    },
    say: { reason: 'Placing', message: `Asking Runpod for candidate ${candidate.name}.` },
    requeueAfterMs: 0,
  };
}
