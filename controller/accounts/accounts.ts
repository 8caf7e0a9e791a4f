import { defaultAccount, type RunpodAccount } from '../api/runpodaccount.ts';
import type { TrainingJob } from '../api/trainingjob.ts';
import type { Clock } from '../clock.ts';
import { accountOf } from '../reconcile/attempts.ts';
import type { RentingAccount } from '../reconcile/observe.ts';
import type { Say } from '../reconcile/plan.ts';
import { RunpodError } from '../runpod/errors.ts';
import type { InventoryView } from '../runpod/inventory.ts';
import { Account, type AccountSurroundings, type RunpodCalls } from './account.ts';
import { Trial } from './trial.ts';

export interface AccountsOptions {
  readonly clock: Clock;
  readonly surroundings: AccountSurroundings;
  /** The RunpodAccount of that name as the cache has it. */
  readonly object: (name: string) => RunpodAccount | undefined;
  readonly connectPause: { readonly firstMs: number; readonly maxMs: number };
}

interface Open {
  readonly account: Account;
  readonly trial: Trial;
  /** Resolves after its first looks. */
  readonly started: Promise<void>;
}

/** The accounts that are looked at now, by name. */
export class Accounts {
  readonly #options: AccountsOptions;
  readonly #open = new Map<string, Open>();

  constructor(options: AccountsOptions) {
    this.#options = options;
  }

  get(name: string): Account | undefined {
    return this.#open.get(name)?.account;
  }

  all(): readonly Account[] {
    return [...this.#open.values()].map(({ account }) => account);
  }

  /** Looks at an account from now on, unless it is looked at already. Resolves after its first looks. */
  open(name: string, keyPlace: () => string, runpod: () => RunpodCalls): Promise<void> {
    const known = this.#open.get(name);
    if (known) return known.started;
    const { surroundings, clock, connectPause } = this.#options;
    const account = new Account({ ...surroundings, name, keyPlace, runpod: runpod() });
    const trial = new Trial({ account: name, clock, jobs: () => account.jobs(), pause: connectPause });
    const started = account.start();
    this.#open.set(name, { account, trial, started });
    return started;
  }

  async close(name: string): Promise<void> {
    const known = this.#open.get(name);
    this.#open.delete(name);
    await known?.account.stop();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#open.keys()].map((name) => this.close(name)));
  }

  /** The account of a job, as a pass over it sees it. One that is not there cannot be listed: no pod in it is ever proved gone. */
  of(job: TrainingJob): RentingAccount {
    const name = accountOf(job);
    const open = this.#open.get(name);
    if (!open) return this.#options.object(name) ? unopened(name, starting(name)) : unopened(name, missing(name));
    const { account, trial } = open;
    return {
      name,
      keyPlace: account.keyPlace,
      view: () => account.view(),
      prices: () => account.prices(),
      closedTo: (asking) => closedByOwner(this.#options.object(name), name, asking) ?? trial.closedTo(asking),
    };
  }
}

function missing(name: string): Say {
  const message =
    name === defaultAccount
      ? 'The operator has no key file (RUNPOD_API_KEY_FILE), so there is no account default; name a RunpodAccount in spec.accountRef.'
      : `There is no RunpodAccount ${name}; create it, or name another in spec.accountRef.`;
  return { reason: 'AccountMissing', message, stalled: true };
}

function starting(name: string): Say {
  return { reason: 'AccountStarting', message: `RunpodAccount ${name} is being taken up.` };
}

function unopened(name: string, say: Say): RentingAccount {
  const error = new RunpodError(say.stalled ? 'unauthorized' : 'transient', say.message);
  const view: InventoryView = { pods: [], lists: [], error, suspicious: false };
  return {
    name,
    keyPlace: `the Secret of a RunpodAccount ${name}`,
    view: () => view,
    prices: () => undefined,
    closedTo: () => say,
  };
}

/** What the account's own object says against a job; the account of the key file has none, and is open to all. */
function closedByOwner(object: RunpodAccount | undefined, name: string, { metadata }: TrainingJob): Say | undefined {
  if (!object) return undefined;
  if (object.metadata.deletionTimestamp !== undefined)
    return {
      reason: 'AccountDeleting',
      message: `RunpodAccount ${name} is being deleted; nothing is rented in it any more.`,
      stalled: true,
    };
  const { from, names = [] } = object.spec.allowedNamespaces;
  if (from === 'All' || names.includes(metadata.namespace)) return undefined;
  return {
    reason: 'NamespaceNotAllowed',
    message: `RunpodAccount ${name} is not for namespace ${metadata.namespace}; let its owner add the namespace to spec.allowedNamespaces.names, or name another account in spec.accountRef.`,
    stalled: true,
  };
}
