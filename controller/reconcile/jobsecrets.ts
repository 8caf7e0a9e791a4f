import type { ResolvedJob } from '../api/resolve.ts';
import type { EnvVar } from '../api/trainingjob.ts';
import { KubeError } from '../kube/errors.ts';
import type { SecretKey, SecretReader } from '../kube/secrets.ts';
import { storedAt } from './runfolder.ts';

export type Secrets = Pick<SecretReader, 'readSecretKey'>;

/** What a job reads of the Secrets of its namespace. Values stay out of status, events and logs (I9). */
export interface SecretValues {
  /** `spec.trainer.env`, resolved. */
  readonly env: Readonly<Record<string, string>>;
  /** Names of those that come from Secrets; the agent hides their values in what the trainer prints. */
  readonly secretEnv: readonly string[];
  /** By address: the variables that open it, where its place names a Secret of its own. */
  readonly keys: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** The values, or a sentence for each Secret or key that is not there. */
export type JobSecrets =
  | { readonly kind: 'values'; readonly values: SecretValues }
  | { readonly kind: 'missing'; readonly sentences: readonly string[] };

/** What a Secret of a place holds. */
interface KeyKind {
  readonly needed: readonly string[];
  readonly optional: readonly string[];
  /** A sentence for whoever left out what is needed. */
  readonly advice: string;
}

const bucket: KeyKind = {
  needed: ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'],
  optional: ['AWS_SESSION_TOKEN', 'AWS_REGION', 'AWS_ENDPOINT_URL'],
  advice: "A bucket's key is AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
};
const hub: KeyKind = {
  needed: ['HF_TOKEN'],
  optional: [],
  advice: 'A token of the Hugging Face Hub that may write to the repository is HF_TOKEN.',
};

/** Reads all of them, or tells all that is missing; a failure of the API server throws. */
export async function readJobSecrets(secrets: Secrets, job: ResolvedJob): Promise<JobSecrets> {
  const { namespace } = job.metadata;
  const env: Record<string, string> = {};
  const keys: Record<string, Readonly<Record<string, string>>> = {};
  const secretEnv = (job.spec.trainer.env ?? []).flatMap(({ name, valueFrom }) => (valueFrom ? [name] : []));
  const sentences = new Set<string>();
  for (const variable of job.spec.trainer.env ?? []) {
    const found = await readVariable(secrets, namespace, variable);
    if (found.kind === 'value') env[variable.name] = found.value;
    else sentences.add(found.message);
  }
  for (const place of places(job)) {
    const found = await readPlaceKey(secrets, namespace, place);
    if (typeof found === 'string') sentences.add(found);
    else keys[place.address] = found;
  }
  return sentences.size > 0
    ? { kind: 'missing', sentences: [...sentences] }
    : { kind: 'values', values: { env, secretEnv, keys } };
}

function readVariable(secrets: Secrets, namespace: string, { name, value, valueFrom }: EnvVar): Promise<SecretKey> {
  const reference = valueFrom?.secretKeyRef;
  if (!reference) return Promise.resolve({ kind: 'value', value: value ?? '' });
  return read(secrets, namespace, reference.name, reference.key, `env ${name}`);
}

/** An address of the job whose key is in a Secret of its own. */
interface Place {
  readonly field: string;
  readonly address: string;
  readonly secret: string;
  readonly kind: KeyKind;
}

function places(job: ResolvedJob): readonly Place[] {
  const { trainer, checkpoints, output } = job.spec;
  const kind = trainer.fineTune ? 'fineTune' : 'tabular';
  const dataset = trainer[kind]?.dataset;
  const stored = storedAt(job);
  const published = output?.huggingFace;
  const repository = published && `hf://${published.repo}`;
  return [
    { field: `spec.trainer.${kind}.dataset`, address: dataset?.source, ref: dataset?.secretRef, kind: bucket },
    { field: 'spec.checkpoints', address: stored.checkpoints, ref: checkpoints?.secretRef, kind: bucket },
    { field: 'spec.output', address: stored.output, ref: output?.secretRef, kind: bucket },
    { field: 'spec.output.huggingFace', address: repository, ref: published?.secretRef, kind: hub },
  ].flatMap(({ ref, address, ...rest }) => (address && ref ? [{ ...rest, address, secret: ref.name }] : []));
}

/** The variables of one place, or a sentence. What is optional may be absent. */
async function readPlaceKey(
  secrets: Secrets,
  namespace: string,
  { field, secret, kind }: Place,
): Promise<Readonly<Record<string, string>> | string> {
  const where = `${field}.secretRef`;
  const variables: Record<string, string> = {};
  for (const name of kind.needed) {
    const found = await read(secrets, namespace, secret, name, where);
    if (found.kind === 'missing') return `${found.message} ${kind.advice}`;
    variables[name] = found.value;
  }
  for (const name of kind.optional) {
    const found = await read(secrets, namespace, secret, name, where);
    if (found.kind === 'value') variables[name] = found.value;
  }
  const unfit = Object.keys(variables).find((name) => !/^\S+$/.test(variables[name] ?? ''));
  if (unfit === undefined) return variables;
  return `${where}: ${unfit} in Secret ${secret} is empty or has a space or a line break; write it without, as printf does and echo does not.`;
}

/** A Secret that is missing, or that we may not read, is an answer in words. */
async function read(secrets: Secrets, namespace: string, name: string, key: string, where: string): Promise<SecretKey> {
  try {
    const found = await secrets.readSecretKey(namespace, name, key);
    return found.kind === 'value' ? found : { kind: 'missing', message: `${where}: ${found.message}` };
  } catch (error) {
    if (!(error instanceof KubeError && error.kind === 'forbidden')) throw error;
    const message = `${where}: the operator may not read Secret ${name} in namespace ${namespace}; let its service account get that Secret.`;
    return { kind: 'missing', message };
  }
}
