import type { ConditionState } from '../api/conditions.ts';
import type { InventoryView } from '../runpod/inventory.ts';
import type { Account, Balance } from './account.ts';
import { neverReached, tooMany, unconnected, type Unconnected } from './unconnected.ts';

/** What is known of an account. */
export interface AccountFacts {
  readonly keyPlace: string;
  readonly view: InventoryView;
  readonly balance: Balance;
  readonly unconnected: Unconnected;
  /** Why the account is still there though it is being deleted; undefined when it is not. */
  readonly deleting: string | undefined;
}

export function factsOf(account: Account, deleting: string | undefined): AccountFacts {
  const { name, keyPlace, balance } = account;
  return { keyPlace, balance, deleting, view: account.view(), unconnected: unconnected(account.jobs(), name) };
}

/** The conditions of a RunpodAccount; Ready is true when nothing known stands in the way of renting in it. */
export function accountConditions(facts: AccountFacts): readonly ConditionState[] {
  const parts = [keyValid(facts), balanceSufficient(facts), trainersConnect(facts)];
  const [keyIs] = parts;
  const wrong = parts.find(({ status }) => status === false) ?? (keyIs?.status === 'Unknown' ? keyIs : undefined);
  const ready: ConditionState =
    facts.deleting !== undefined
      ? { type: 'Ready', status: false, reason: 'Deleting', message: facts.deleting }
      : wrong
        ? { type: 'Ready', status: wrong.status, reason: wrong.reason, message: wrong.message }
        : { type: 'Ready', status: true, reason: 'Ready', message: '' };
  return [ready, ...parts];
}

function keyValid({ view, keyPlace }: AccountFacts): ConditionState {
  const state = (status: ConditionState['status'], reason: string, message: string): ConditionState => ({
    type: 'KeyValid',
    status,
    reason,
    message,
  });
  const { error } = view;
  if (error?.kind === 'unauthorized')
    return state(
      false,
      'Unauthorized',
      `The API key does not work (${error.message}); put a working key into ${keyPlace}.`,
    );
  if (error?.kind === 'forbidden')
    return state(
      false,
      'Forbidden',
      `The API key may not list pods (${error.message}); give it read and write access to pods.`,
    );
  if (error) return state('Unknown', 'RunpodUnreachable', error.message);
  if (view.lists.length === 0) return state('Unknown', 'AwaitingFirstList', 'Pods were not listed yet.');
  return state(true, 'PodsListed', '');
}

function balanceSufficient({ balance }: AccountFacts): ConditionState {
  const type = 'BalanceSufficient';
  if (!balance)
    return {
      type,
      status: 'Unknown',
      reason: 'NothingAskedFor',
      message: 'Runpod tells only when a pod is asked for.',
    };
  if (balance.sufficient) return { type, status: true, reason: 'PodRented', message: '' };
  return {
    type,
    status: false,
    reason: 'InsufficientBalance',
    message: `Runpod: "${balance.message}". Add credit to the account.`,
  };
}

function trainersConnect({ unconnected }: AccountFacts): ConditionState {
  const type = 'TrainersConnect';
  if (unconnected.count < tooMany) return { type, status: true, reason: 'NothingAgainstIt', message: '' };
  return {
    type,
    status: false,
    reason: 'PodsNeverConnect',
    message: `${neverReached(unconnected)} One pod is tried from time to time.`,
  };
}
