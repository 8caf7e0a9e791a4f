import { isDeepStrictEqual } from 'node:util';
import {
  accountFinalizer,
  defaultAccount,
  type RunpodAccount,
  type RunpodAccountStatus,
} from '../api/runpodaccount.ts';
import { nextConditions } from '../api/conditions.ts';
import { keyOf } from '../api/trainingjob.ts';
import type { Clock } from '../clock.ts';
import { mayHavePod, rate } from '../reconcile/attempts.ts';
import type { PassResult } from '../reconcile/loop.ts';
import { iso } from '../reconcile/plan.ts';
import type { Account, RunpodCalls } from './account.ts';
import type { Accounts } from './accounts.ts';
import { accountConditions, factsOf } from './conditions.ts';
import { rented } from './rented.ts';

export interface AccountPassContext {
  readonly clock: Clock;
  readonly accounts: Accounts;
  object(name: string): RunpodAccount | undefined;
  /** Where a person puts a working key, as the account says now. */
  keyPlace(name: string): string;
  runpod(name: string): RunpodCalls;
  /** Fails when the object is not the version that was read. Gives the object as it is then. */
  setFinalizers(object: RunpodAccount, finalizers: readonly string[]): Promise<RunpodAccount>;
  writeStatus(object: RunpodAccount, status: RunpodAccountStatus): Promise<RunpodAccount>;
  remember(object: RunpodAccount): void;
}

const done: PassResult = { kind: 'done' };
const recheckMs = 15_000;

/** One pass over one RunpodAccount: it is looked at from its first pass until no pod in it may be left. */
export async function accountPass(context: AccountPassContext, name: string): Promise<PassResult> {
  const { accounts } = context;
  // The account of the key file has no object that could be gone.
  if (name === defaultAccount) return done;
  const object = context.object(name);
  if (!object) {
    const account = accounts.get(name);
    // Its finalizer was taken off by hand. What was rented must still be seen and ended as long as the key is known.
    if (account && holding(account).length > 0) return { kind: 'wait', ms: recheckMs };
    account?.stir();
    await accounts.close(name);
    return done;
  }
  const finalizers = object.metadata.finalizers ?? [];
  const deleting = object.metadata.deletionTimestamp !== undefined;
  if (!finalizers.includes(accountFinalizer)) {
    if (deleting) return done;
    context.remember(await context.setFinalizers(object, [...finalizers, accountFinalizer]));
    return { kind: 'wait', ms: 0 };
  }
  const fresh = accounts.get(name) === undefined;
  void accounts.open(
    name,
    () => context.keyPlace(name),
    () => context.runpod(name),
  );
  const account = accounts.get(name);
  if (!account) return done;
  if (fresh) account.stir();
  const left = deleting ? whatIsLeft(account, Date.parse(object.metadata.deletionTimestamp ?? '')) : undefined;
  if (deleting && left === undefined) {
    await context.setFinalizers(
      object,
      finalizers.filter((entry) => entry !== accountFinalizer),
    );
    account.stir();
    await accounts.close(name);
    return done;
  }
  await write(context, object, statusOf(context, object, account, left));
  return deleting ? { kind: 'wait', ms: recheckMs } : done;
}

/** Jobs that may have a pod in the account. */
function holding(account: Account): readonly string[] {
  return account
    .jobs()
    .filter(({ status }) => mayHavePod(status?.attempt))
    .map(keyOf);
}

/** Why an account that is being deleted must stay; undefined when a list since then shows that nothing of ours is in it. */
function whatIsLeft(account: Account, deletedMs: number): string | undefined {
  const jobs = holding(account);
  if (jobs.length > 0)
    return `Its key is kept until no pod is rented in it. Jobs that may have one: ${jobs.slice(0, 10).join(', ')}${jobs.length > 10 ? ', …' : ''}.`;
  const { pods, lists, error } = account.view();
  if (pods.length > 0)
    return `Its key is kept until these pods are ended: ${pods
      .map(({ id }) => id)
      .slice(0, 10)
      .join(', ')}.`;
  const newest = lists.at(-1);
  if (!error && newest?.believed && newest.startedAt > deletedMs) return undefined;
  return `Its key is kept until a list of pods shows that none is rented in it.${error ? ` ${error.message}` : ''} If the key is gone for good, look in Runpod's console for pods named tj-, and then take the finalizer ${accountFinalizer} off.`;
}

function statusOf(
  { clock }: AccountPassContext,
  object: RunpodAccount,
  account: Account,
  deleting: string | undefined,
): RunpodAccountStatus {
  const view = account.view();
  const { generation } = object.metadata;
  const { pods, usdPerHour } = rented(view);
  const conditions = nextConditions(
    object.status?.conditions ?? [],
    accountConditions(factsOf(account, deleting)),
    generation,
    iso(clock.now()),
  );
  return {
    observedGeneration: generation,
    ...(view.lists.length > 0 && {
      pods,
      pricePerHour: rate(usdPerHour),
    }),
    conditions: [...conditions],
  };
}

async function write(context: AccountPassContext, object: RunpodAccount, status: RunpodAccountStatus): Promise<void> {
  if (isDeepStrictEqual(object.status, status)) return;
  context.remember(await context.writeStatus(object, status));
}
