import { randomInt } from 'node:crypto';
import { parsePodName, uid12 } from '../api/identity.ts';
import { resolve, type ResolvedJob } from '../api/resolve.ts';
import type { TrainingJob, TrainingJobStatus } from '../api/trainingjob.ts';
import type { Clock } from '../clock.ts';
import type { Catalog } from '../runpod/catalog.ts';
import type { CloudPod } from '../runpod/cloudpod.ts';
import type { InventoryView } from '../runpod/inventory.ts';
import type { JobTelemetry } from '../telemetry/jobtelemetry.ts';
import { mayHavePod } from './attempts.ts';
import { backing, type Runtimes } from './backing.ts';
import { readJobSecrets, type Secrets } from './jobsecrets.ts';
import type { WriteMemory } from './memory.ts';
import type { RunMemory } from './runmemory.ts';
import type { Say } from './plan.ts';
import { silentPod } from './silentpod.ts';
import type { Policy, Snapshot } from './snapshot.ts';

export interface ObserveContext {
  readonly clock: Clock;
  readonly memory: WriteMemory;
  readonly accounts: { of(job: TrainingJob): RentingAccount };
  readonly telemetry: { summary(uid: string): JobTelemetry | undefined; readonly ingestReadyAtMs: number | undefined };
  readonly secrets: Secrets;
  readonly runtimes: Runtimes;
  /** The last lines of a pod's log, with nothing secret in them. Takes a few seconds at most, and never fails. */
  readonly lastWords: (job: ResolvedJob, podID: string) => Promise<readonly string[]>;
  readonly installation: string;
  readonly policy: Policy;
  readonly runs: Pick<RunMemory, 'ofJob' | 'succeededBefore'>;
}

/** An account as a pass over one of its jobs sees it. */
export interface RentingAccount {
  readonly name: string;
  readonly keyPlace: string;
  view(): InventoryView;
  prices(): Catalog | undefined;
  /** Why this job may not rent in it now. */
  closedTo(job: TrainingJob): Say | undefined;
}

/**
 * Gathers all that a pass may know. Secrets and prices are looked at only for a job that has yet to rent, a pod's log only before
 * a pod is ended that did not say why it failed.
 */
export async function observe(context: ObserveContext, asWritten: TrainingJob): Promise<Snapshot> {
  const { clock, memory, telemetry, installation, policy, runs } = context;
  const { uid } = asWritten.metadata;
  const status: TrainingJobStatus = asWritten.status ?? { observedGeneration: -1 };
  const ran = status.attempt ? undefined : { own: runs.ofJob(uid), twin: runs.succeededBefore(asWritten) };
  const behind = backing(asWritten, context.runtimes, ran?.own);
  const job = { ...asWritten, spec: resolve(asWritten.spec, behind.words) };
  const rents = wantsPod(job, status, memory.of(uid).freshIntent);
  const secrets = rents ? await readJobSecrets(context.secrets, job) : undefined;
  await listen(context, job, status);
  // Taken last and together: what was awaited above must not make these older than the clock says.
  const account = context.accounts.of(job);
  const view = account.view();
  const nowMs = clock.now();
  return Object.freeze({
    nowMs,
    job,
    written: asWritten.spec,
    backing: behind,
    status,
    account: { name: account.name, keyPlace: account.keyPlace, closed: rents ? account.closedTo(job) : undefined },
    inventory: {
      pods: podsByUid12(view.pods).get(uid12(uid)) ?? [],
      listedAtMs: view.lists.findLast((list) => list.believed)?.startedAt,
      view,
    },
    telemetry: telemetry.summary(uid),
    ingestReadyAtMs: telemetry.ingestReadyAtMs ?? nowMs,
    own: memory.of(uid),
    nonce: nonce(),
    installation,
    missingSecrets: secrets?.kind === 'missing' ? secrets.sentences : [],
    catalog: rents ? account.prices() : undefined,
    policy,
    ran,
  });
}

/** Reads the log of a pod that is listed, once: when it is ended nobody can read it any more. */
async function listen(context: ObserveContext, job: ResolvedJob, status: TrainingJobStatus): Promise<void> {
  const { memory, accounts, telemetry } = context;
  const { uid } = job.metadata;
  const podID = silentPod(job, status, telemetry.summary(uid));
  if (podID === undefined || memory.of(uid).lastWords?.podID === podID) return;
  if (
    !accounts
      .of(job)
      .view()
      .pods.some((pod) => pod.id === podID)
  )
    return;
  memory.lastWordsRead(uid, podID, await context.lastWords(job, podID));
}

function wantsPod(job: ResolvedJob, status: TrainingJobStatus, freshIntent: number | undefined): boolean {
  if (job.metadata.deletionTimestamp !== undefined || status.outcome || job.spec.suspend) return false;
  return !mayHavePod(status.attempt) || status.attempt.number === freshIntent;
}

const grouped = new WeakMap<readonly CloudPod[], ReadonlyMap<string, readonly CloudPod[]>>();

/** The pods of a list by the job that their names tell; worked out once per list, not once per pass. */
export function podsByUid12(pods: readonly CloudPod[]): ReadonlyMap<string, readonly CloudPod[]> {
  const known = grouped.get(pods);
  if (known) return known;
  const byUid = new Map<string, CloudPod[]>();
  for (const pod of pods) {
    const identity = parsePodName(pod.name);
    if (!identity || pod.status === 'TERMINATED') continue;
    const group = byUid.get(identity.uid12);
    if (group) group.push(pod);
    else byUid.set(identity.uid12, [pod]);
  }
  grouped.set(pods, byUid);
  return byUid;
}

function nonce(): string {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz0123456789';
  return Array.from({ length: 4 }, () => alphabet[randomInt(alphabet.length)]).join('');
}
