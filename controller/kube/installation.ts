import { randomBytes, randomInt } from 'node:crypto';
import type { KubeClient, ResourceType } from './client.ts';
import { KubeError } from './errors.ts';
import { configMaps, secrets } from './resources.ts';

/** Keys that attempts' tokens are signed with; new tokens take `current`. */
export interface Keyring {
  readonly current: string;
  readonly keys: Readonly<Record<string, Buffer>>;
}

export interface Installation {
  /** Six lower-case letters and digits; part of the name of each pod that this installation rents. */
  readonly installation: string;
  readonly keyring: Keyring;
}

const configMapName = 'trainingjob-operator';
const secretName = 'trainingjob-operator-tokens';
const leastKeyBytes = 16;

interface WithData {
  readonly data?: Readonly<Record<string, string>>;
}

/**
 * This installation's id and token keys, made on the first start and kept in `namespace`. Safe when several replicas start at
 * once: the API server lets one create win and the others read it.
 *
 * Something unreadable is never replaced: with another id, pods that are billed would be taken for a stranger's, and with
 * other keys every live trainer would be shut out.
 */
export async function ensureInstallation(client: KubeClient, namespace: string): Promise<Installation> {
  const configMap = await getOrCreate(client, configMaps, namespace, {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: configMapName, namespace },
    data: { installation: newInstallation() },
  });
  const secret = await getOrCreate(client, secrets, namespace, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: secretName, namespace },
    type: 'Opaque',
    data: { current: Buffer.from('k1').toString('base64'), k1: randomBytes(32).toString('base64') },
  });
  return {
    installation: installationOf(configMap, `ConfigMap ${namespace}/${configMapName}`),
    keyring: keyringOf(secret, `Secret ${namespace}/${secretName}`),
  };
}

function newInstallation(): string {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz0123456789';
  return Array.from({ length: 6 }, () => alphabet[randomInt(alphabet.length)]).join('');
}

interface Wanted extends WithData {
  readonly apiVersion: string;
  readonly kind: string;
  readonly type?: string;
  readonly metadata: { readonly name: string; readonly namespace: string };
}

async function getOrCreate(
  client: KubeClient,
  type: ResourceType,
  namespace: string,
  wanted: Wanted,
): Promise<WithData> {
  const { name } = wanted.metadata;
  const found = await client.find<WithData>(type, namespace, name);
  if (found) return found;
  try {
    return await client.create<WithData>(type, namespace, wanted);
  } catch (error) {
    if (!(error instanceof KubeError && error.kind === 'alreadyExists')) throw error;
    return client.get<WithData>(type, namespace, name);
  }
}

function installationOf({ data }: WithData, where: string): string {
  const { installation } = data ?? {};
  if (installation !== undefined && /^[a-z0-9]{6}$/.test(installation)) return installation;
  throw new Error(
    `${where} has no usable data.installation; write the six lower-case letters and digits that the names of your pods ` +
      'carry after "tj-", or delete the ConfigMap if this operator has no pods',
  );
}

function keyringOf({ data }: WithData, where: string): Keyring {
  const { current: encodedCurrent, ...encodedKeys } = data ?? {};
  const current = Buffer.from(encodedCurrent ?? '', 'base64')
    .toString('utf8')
    .trim();
  const keys: Record<string, Buffer> = {};
  for (const [keyID, encoded] of Object.entries(encodedKeys)) {
    const key = Buffer.from(encoded, 'base64');
    if (!/^[a-z0-9]{1,16}$/.test(keyID)) {
      throw new Error(`${where} has a key named ${keyID}; name keys with 1 to 16 lower-case letters and digits`);
    }
    if (key.length < leastKeyBytes) {
      throw new Error(
        `${where} has only ${key.length} bytes under ${keyID}; write ${leastKeyBytes} random bytes or more`,
      );
    }
    keys[keyID] = key;
  }
  if (!Object.hasOwn(keys, current)) {
    const there = Object.keys(keys).join(', ');
    throw new Error(`${where} has current "${current}", which names none of its keys (${there}); write one of them`);
  }
  return { current, keys };
}
