import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { apiVersion, type TrainingJob } from '../../controller/api/trainingjob.ts';
import type { RunpodAccount } from '../../controller/api/runpodaccount.ts';
import { runpodAccounts } from '../../controller/kube/resources.ts';
import { kubectl } from '../controlplane/crds.ts';
import { condition, startRig, stubSpec, type DeepPartial, type Rig } from '../rig/rig.ts';

let rig: Rig;
let namespace: string;
beforeAll(async () => {
  rig = await startRig();
  await rig.start({ CONNECT_PAUSE_SECONDS: '4' });
  namespace = await rig.namespace();
});
afterAll(() => rig.stop());

const secretOf = (account: string): string => `runpod-${account}`;

async function giveKey(account: string, key: string): Promise<void> {
  const data = [`--from-literal=RUNPOD_API_KEY=${key}`, '--dry-run=client', '-o', 'json'];
  const secret = await kubectl(rig.plane, ['create', 'secret', 'generic', secretOf(account), ...data]);
  const { data: values } = JSON.parse(secret) as { data: unknown };
  const patch = JSON.stringify({ data: values });
  await kubectl(rig.plane, ['patch', 'secret', secretOf(account), '--type=merge', '-p', patch]).catch(() =>
    kubectl(rig.plane, ['create', 'secret', 'generic', secretOf(account), `--from-literal=RUNPOD_API_KEY=${key}`]),
  );
}

/** A RunpodAccount with a key of its own account at Runpod. Gives the key. */
async function createAccount(name: string, namespaces: readonly string[] = [namespace]): Promise<string> {
  const key = rig.simulator.keys.give(name);
  await giveKey(name, key);
  await rig.kube.create(runpodAccounts, undefined, {
    apiVersion,
    kind: 'RunpodAccount',
    metadata: { name },
    spec: { apiKeySecretRef: { name: secretOf(name) }, allowedNamespaces: { from: 'Names', names: namespaces } },
  });
  return key;
}

const account = (name: string): Promise<RunpodAccount | undefined> => rig.kube.find(runpodAccounts, undefined, name);
const told = async (name: string, type: string): Promise<string> => {
  const found = (await account(name))?.status?.conditions?.find((entry) => entry.type === type);
  return `${found?.status} ${found?.reason}`;
};
/** Resolves when the account's condition is so. */
const tells = (name: string, type: string, wanted: string): Promise<void> =>
  expect.poll(() => told(name, type), { timeout: 15_000 }).toBe(wanted);
const renting = (name: string, behaviour = 'heartbeat', more: DeepPartial = {}): DeepPartial =>
  stubSpec(behaviour, { accountRef: { name }, ...more });
const running = ({ status }: TrainingJob): boolean => status?.phase === 'Running';
const waitsFor =
  (reason: string) =>
  (job: TrainingJob): boolean =>
    condition(job, 'Ready')?.reason === reason;
const accountsOfPods = (): readonly string[] => rig.simulator.live().map((pod) => pod.account);
const remove = async (name: string): Promise<void> => {
  await kubectl(rig.plane, ['delete', 'tj', '-n', namespace, name, '--wait=false']);
  await rig.untilGone(namespace, name, 30_000);
};

describe('a job that names a RunpodAccount', () => {
  test('is rented a pod there and nowhere else, and the account tells of it', async () => {
    await createAccount('nlp');
    await rig.create(namespace, 'there', renting('nlp'));
    const job = await rig.until(namespace, 'there', running);
    expect(job.status?.attempt?.account).toBe('nlp');
    expect(accountsOfPods()).toEqual(['nlp']);
    await tells('nlp', 'Ready', 'True Ready');
    expect(await told('nlp', 'BalanceSufficient')).toBe('True PodRented');
    await expect
      .poll(async () => (await account('nlp'))?.status, { timeout: 15_000 })
      .toMatchObject({ pods: 1, pricePerHour: '0.06' });
    expect(await kubectl(rig.plane, ['get', 'rpa', 'nlp'])).toMatch(/nlp +True +Ready +1 +0\.06/);
    const metrics = await (await fetch(rig.metricsUrl)).text();
    expect(metrics).toMatch(/runpod_requests_total\{account="nlp",operation="create",code="201"\} 1/);
    await remove('there');
    expect(accountsOfPods()).toEqual([]);
  });

  test('waits until it is there, and says so', async () => {
    await rig.create(namespace, 'early', renting('late', 'succeed'));
    const waiting = await rig.until(namespace, 'early', waitsFor('AccountMissing'));
    expect(condition(waiting, 'Stalled')).toMatchObject({ status: 'True', reason: 'AccountMissing' });
    expect(condition(waiting, 'Ready')?.message).toBe(
      'There is no RunpodAccount late; create it, or name another in spec.accountRef.',
    );
    await createAccount('late');
    await rig.until(namespace, 'early', ({ status }) => status?.phase === 'Succeeded');
  });

  test('waits until its namespace is allowed there; taking the namespace off again ends nothing', async () => {
    await createAccount('closed', ['somewhere-else']);
    await rig.create(namespace, 'outside', renting('closed'));
    const waiting = await rig.until(namespace, 'outside', waitsFor('NamespaceNotAllowed'));
    expect(condition(waiting, 'Ready')?.message).toContain(`not for namespace ${namespace}; let its owner add`);
    const allow = (names: readonly string[]): Promise<string> =>
      kubectl(rig.plane, [
        'patch',
        'rpa',
        'closed',
        '--type=merge',
        '-p',
        JSON.stringify({ spec: { allowedNamespaces: { names } } }),
      ]);
    await allow([namespace]);
    await rig.until(namespace, 'outside', running);
    await allow(['somewhere-else']);
    await rig.create(namespace, 'outside-too', renting('closed'));
    await rig.until(namespace, 'outside-too', waitsFor('NamespaceNotAllowed'));
    expect(rig.get(namespace, 'outside')?.status?.phase).toBe('Running');
    await remove('outside-too');
    await remove('outside');
  });

  test('is restarted with another account: its pod in the old one ends before it is rented one in the new', async () => {
    await createAccount('old');
    await createAccount('new');
    await rig.create(namespace, 'moves', renting('old'));
    const before = await rig.until(namespace, 'moves', running);
    const move = (more: object): Promise<void> =>
      rig.patch(namespace, 'moves', { spec: { accountRef: { name: 'new' }, ...more } });
    await expect(move({})).rejects.toThrow('spec.accountRef: is frozen once a pod has been asked for');
    await move({ restartToken: 'two' });
    await rig.until(
      namespace,
      'moves',
      (job) => running(job) && job.status?.attempt?.number !== before.status?.attempt?.number,
      40_000,
    );
    expect(accountsOfPods()).toEqual(['new']);
    const ends = rig.simulator.bill().filter(({ name }) => name.endsWith('-moves'));
    expect(ends[0]?.endedAt).not.toBeNull();
    expect(Date.parse(ends[0]?.endedAt ?? '')).toBeLessThanOrEqual(Date.parse(ends[1]?.createdAt ?? ''));
    await remove('moves');
  }, 60_000);
});

describe('the key of an account', () => {
  test('is rotated: the new one is used without a restart', async () => {
    const before = await createAccount('rotates');
    await rig.create(namespace, 'goes-on', renting('rotates'));
    await rig.until(namespace, 'goes-on', running);
    rig.simulator.keys.revoke(before);
    await tells('rotates', 'KeyValid', 'False Unauthorized');
    expect((await account('rotates'))?.status?.conditions?.[0]?.message).toContain(
      'put a working key into Secret runpod-rotates in namespace default',
    );
    const job = await rig.until(namespace, 'goes-on', (found) => condition(found, 'Stalled')?.status === 'True');
    expect(job.status?.phase).toBe('Running');
    expect(await told('nlp', 'Ready')).toBe('True Ready');
    await giveKey('rotates', rig.simulator.keys.give('rotates'));
    await tells('rotates', 'KeyValid', 'True PodsListed');
    await remove('goes-on');
  }, 60_000);

  test.each([
    ['no-secret', undefined, 'Secret runpod-no-secret is not in namespace default; create it'],
    ['two-lines', 'one\ntwo', 'holds more than a key; write the key alone, on one line'],
  ])('%s: the account says what to write', async (name, key, sentence) => {
    if (key !== undefined) await giveKey(name, key);
    await rig.kube.create(runpodAccounts, undefined, {
      apiVersion,
      kind: 'RunpodAccount',
      metadata: { name },
      spec: { apiKeySecretRef: { name: secretOf(name) }, allowedNamespaces: { from: 'All' } },
    });
    await tells(name, 'Ready', 'False Unauthorized');
    expect((await account(name))?.status?.conditions?.[0]?.message).toContain(sentence);
  });

  test('is taken from another Secret: the account names that one, and goes on when it is there', async () => {
    await createAccount('moved');
    await tells('moved', 'Ready', 'True Ready');
    const spec = { apiKeySecretRef: { name: secretOf('elsewhere') } };
    await kubectl(rig.plane, ['patch', 'rpa', 'moved', '--type=merge', '-p', JSON.stringify({ spec })]);
    await tells('moved', 'Ready', 'False Unauthorized');
    expect((await account('moved'))?.status?.conditions?.[0]?.message).toContain(
      'put a working key into Secret runpod-elsewhere in namespace default',
    );
    await giveKey('elsewhere', rig.simulator.keys.give('moved'));
    await tells('moved', 'Ready', 'True Ready');
  }, 60_000);

  test('has no money behind it: the account says so, and says no more when a pod could be rented', async () => {
    await createAccount('poor');
    rig.simulator.fault({
      kind: 'refuseCreate',
      status: 402,
      detail: 'account balance too low',
      match: 'unpaid',
      times: 2,
    });
    await rig.create(namespace, 'unpaid', renting('poor', 'succeed'));
    await rig.until(namespace, 'unpaid', waitsFor('InsufficientBalance'));
    await tells('poor', 'BalanceSufficient', 'False InsufficientBalance');
    await rig.until(namespace, 'unpaid', ({ status }) => status?.phase === 'Succeeded', 30_000);
    await tells('poor', 'BalanceSufficient', 'True PodRented');
  }, 60_000);
});

describe('a RunpodAccount that is deleted', () => {
  test('stays until no pod is rented in it, and nothing new is', async () => {
    await createAccount('leaving');
    await rig.create(namespace, 'last', renting('leaving'));
    await rig.until(namespace, 'last', running);
    await kubectl(rig.plane, ['delete', 'rpa', 'leaving', '--wait=false']);
    await tells('leaving', 'Ready', 'False Deleting');
    expect((await account('leaving'))?.status?.conditions?.[0]?.message).toContain(`${namespace}/last`);
    await rig.create(namespace, 'too-late', renting('leaving'));
    await rig.until(namespace, 'too-late', waitsFor('AccountDeleting'));
    await remove('last');
    await expect.poll(() => account('leaving'), { timeout: 40_000 }).toBeUndefined();
    await rig.until(namespace, 'too-late', waitsFor('AccountMissing'));
    expect(accountsOfPods()).not.toContain('leaving');
    await remove('too-late');
  }, 90_000);

  test('is found again by an operator that was killed: its pods are known and ended', async () => {
    await createAccount('lasting');
    await rig.create(namespace, 'stays', renting('lasting'));
    const before = await rig.until(namespace, 'stays', running);
    await rig.kill();
    await kubectl(rig.plane, ['delete', 'rpa', 'lasting', '--wait=false']);
    await rig.start({ CONNECT_PAUSE_SECONDS: '4' });
    await kubectl(rig.plane, ['delete', 'tj', '-n', namespace, 'stays', '--wait=false']);
    await rig.untilGone(namespace, 'stays', 30_000);
    expect(rig.simulator.bill().find(({ id }) => id === before.status?.attempt?.podID)?.endedAt).not.toBeNull();
    await expect.poll(() => account('lasting'), { timeout: 40_000 }).toBeUndefined();
  }, 90_000);
});

test('three pods in a row that never connect: nothing is rented but one trial at a time, until one connects', async () => {
  await createAccount('deaf');
  const never = renting('deaf', 'never', { runPolicy: { startDeadlineSeconds: 1, hostFaultLimit: 2 } });
  await rig.create(namespace, 'unheard', never);
  await rig.until(namespace, 'unheard', ({ status }) => status?.phase === 'Failed', 40_000);
  await tells('deaf', 'TrainersConnect', 'False PodsNeverConnect');
  await rig.create(namespace, 'next', renting('deaf', 'succeed'));
  const waiting = await rig.until(namespace, 'next', waitsFor('PodsNeverConnect'));
  expect(condition(waiting, 'Ready')?.message).toContain(`of ${namespace}/unheard (StartDeadlineExceeded)`);
  expect(accountsOfPods()).not.toContain('deaf');
  await rig.until(namespace, 'next', ({ status }) => status?.phase === 'Succeeded', 40_000);
  await tells('deaf', 'TrainersConnect', 'True NothingAgainstIt');
}, 120_000);

test('without a key file there is no account default: a job that names none says so, and others go on', async () => {
  await rig.kill();
  await rig.start({ RUNPOD_API_KEY_FILE: '' });
  await rig.create(namespace, 'nameless', stubSpec('succeed'));
  const waiting = await rig.until(namespace, 'nameless', waitsFor('AccountMissing'));
  expect(condition(waiting, 'Ready')?.message).toBe(
    'The operator has no key file (RUNPOD_API_KEY_FILE), so there is no account default; name a RunpodAccount in spec.accountRef.',
  );
  await createAccount('only');
  await rig.create(namespace, 'named', renting('only', 'succeed'));
  await rig.until(namespace, 'named', ({ status }) => status?.phase === 'Succeeded', 30_000);
  await rig.patch(namespace, 'nameless', { spec: { accountRef: { name: 'only' } } });
  await rig.until(namespace, 'nameless', ({ status }) => status?.phase === 'Succeeded', 30_000);
}, 60_000);
