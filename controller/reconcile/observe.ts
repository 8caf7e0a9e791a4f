import { randomInt } from 'node:crypto';
import { parsePodName, uid12 } from '../api/identity.ts';
import type { EnvVar, TrainingJob, TrainingJobStatus } from '../api/trainingjob.ts';
import type { Clock } from '../clock.ts';
import { KubeError } from '../kube/errors.ts';
import type { SecretReader } from '../kube/secrets.ts';
import type { Catalog } from '../runpod/catalog.ts';
import type { CloudPod } from '../runpod/cloudpod.ts';
import type { InventoryView } from '../runpod/inventory.ts';
import type { JobTelemetry } from '../telemetry/jobtelemetry.ts';
import { mayHavePod } from './attempts.ts';
import type { WriteMemory } from './memory.ts';
import type { RunMemory } from './runmemory.ts';
import type { Say } from './plan.ts';
import type { Policy, Snapshot } from './snapshot.ts';

export interface ObserveContext {
  readonly clock: Clock;
  readonly memory: WriteMemory;
  readonly accounts: { of(job: TrainingJob): RentingAccount };
  readonly telemetry: { summary(uid: string): JobTelemetry | undefined; readonly ingestReadyAtMs: number | undefined };
  readonly secrets: Pick<SecretReader, 'readSecretKey'>;
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

/** Gathers all that a pass may know. Secrets and prices are looked at only for a job that has yet to rent. */
export async function observe(context: ObserveContext, job: TrainingJob): Promise<Snapshot> {
  const { clock, memory, telemetry, installation, policy } = context;
  const { uid } = job.metadata;
  const status: TrainingJobStatus = job.status ?? { observedGeneration: -1 };
  const rents = wantsPod(job, status, memory.of(uid).freshIntent);
  const missing = rents ? await missingSecrets(context.secrets, job) : [];
  // Taken last and together: what was awaited above must not make these older than the clock says.
  const account = context.accounts.of(job);
  const view = account.view();
  const nowMs = clock.now();
  return Object.freeze({
    nowMs,
    job,
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
    missingSecrets: missing,
    catalog: rents ? account.prices() : undefined,
    policy,
    ran: status.attempt ? undefined : { own: context.runs.ofJob(uid), twin: context.runs.succeededBefore(job) },
  });
}

function wantsPod(job: TrainingJob, status: TrainingJobStatus, freshIntent: number | undefined): boolean {
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

async function missingSecrets(secrets: ObserveContext['secrets'], job: TrainingJob): Promise<readonly string[]> {
  const sentences: string[] = [];
  for (const variable of job.spec.trainer.env ?? []) {
    const found = await resolveEnv(secrets, job.metadata.namespace, variable);
    if (found.kind === 'missing') sentences.push(found.message);
  }
  return [...new Set(sentences)];
}

export type ResolvedEnv =
  | { readonly kind: 'value'; readonly value: string }
  | { readonly kind: 'missing'; readonly message: string };

/** The value of one variable; a Secret that is missing, or that we may not read, is an answer in words. */
export async function resolveEnv(
  secrets: ObserveContext['secrets'],
  namespace: string,
  variable: EnvVar,
): Promise<ResolvedEnv> {
  const reference = variable.valueFrom?.secretKeyRef;
  if (!reference) return { kind: 'value', value: variable.value ?? '' };
  try {
    const found = await secrets.readSecretKey(namespace, reference.name, reference.key);
    return found.kind === 'value' ? found : { kind: 'missing', message: `env ${variable.name}: ${found.message}` };
  } catch (error) {
    if (!(error instanceof KubeError && error.kind === 'forbidden')) throw error;
    return {
      kind: 'missing',
      message: `env ${variable.name}: the operator may not read Secret ${reference.name} in namespace ${namespace}; let its service account get that Secret.`,
    };
  }
}

function nonce(): string {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz0123456789';
  return Array.from({ length: 4 }, () => alphabet[randomInt(alphabet.length)]).join('');
}
