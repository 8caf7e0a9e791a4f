import type { Logger } from 'pino';
import { accountKind, defaultAccount, type RunpodAccount } from '../api/runpodaccount.ts';
import { apiVersion } from '../api/trainingjob.ts';
import type { Clock } from '../clock.ts';
import type { KubeClient } from '../kube/client.ts';
import { Reflector } from '../kube/reflector.ts';
import { runpodAccounts } from '../kube/resources.ts';
import { SecretReader } from '../kube/secrets.ts';
import { Backoff } from '../queue/backoff.ts';
import { WorkQueue } from '../queue/workqueue.ts';
import { work } from '../reconcile/work.ts';
import type { Account, AccountSurroundings, RunpodCalls } from './account.ts';
import { AccountMetrics } from './accountmetrics.ts';
import { accountPass, type AccountPassContext } from './accountpass.ts';
import { Accounts } from './accounts.ts';
import { secretKey } from './secretkey.ts';

export interface AccountControllerOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly kube: KubeClient;
  /** Namespace of the Secrets with the accounts' keys. */
  readonly namespace: string;
  readonly fieldManager: string;
  readonly connectPause: { readonly firstMs: number; readonly maxMs: number };
  readonly surroundings: Omit<AccountSurroundings, 'clock' | 'log' | 'onNews'>;
  /** The key of the account `default`; undefined when there is no key file. */
  readonly keyFile: (() => string) | undefined;
  readonly runpod: (account: string, apiKey: () => string | Promise<string>) => RunpodCalls;
  /** Makes a write unless this process does not lead any more (I15). */
  readonly fenced: <T>(write: () => Promise<T>) => Promise<T>;
  /** A new list of an account's pods, or other news of it. */
  readonly onNews: (account: Account) => void;
}

type KeyReference = RunpodAccount['spec']['apiKeySecretRef'];

const keyFilePlace = "the operator's key file";

/** Opens, follows and closes the accounts that RunpodAccounts name, and the one of the key file. */
export class AccountController {
  readonly accounts: Accounts;
  readonly #options: AccountControllerOptions;
  readonly #objects: Reflector<RunpodAccount>;
  readonly #queue: WorkQueue;
  readonly #metrics: AccountMetrics;
  readonly #lastReferences = new Map<string, KeyReference>();
  #worker: Promise<void> | undefined;

  constructor(options: AccountControllerOptions) {
    const { clock, log, kube, connectPause, surroundings, onNews } = options;
    this.#options = options;
    this.#queue = new WorkQueue(clock);
    this.#objects = new Reflector<RunpodAccount>({
      client: kube,
      type: runpodAccounts,
      clock,
      log,
      onKey: (key) => {
        const name = key.slice(1);
        this.#queue.add(name);
        // What it allows may have changed.
        this.accounts.get(name)?.stir();
      },
    });
    this.accounts = new Accounts({
      clock,
      connectPause,
      object: (name) => this.#object(name),
      surroundings: {
        ...surroundings,
        clock,
        log,
        onNews: (account) => {
          onNews(account);
          this.#queue.add(account.name);
        },
      },
    });
    this.#metrics = new AccountMetrics(() => this.accounts.all());
  }

  /** Resolves when every account that there is was taken up: no job must be told that one is missing while nobody has looked. */
  async start(): Promise<void> {
    const { clock, log } = this.#options;
    const context = this.#context();
    this.#objects.start();
    await this.#objects.synced;
    await Promise.allSettled(this.#objects.store.list().map(({ metadata }) => accountPass(context, metadata.name)));
    this.#worker = work({
      queue: this.#queue,
      backoff: new Backoff(),
      pass: (name) => accountPass(context, name),
      clock,
      log,
      reconciled: () => undefined,
      retried: () => undefined,
    });
  }

  /** Opens the account of the key file, if there is one. Resolves after its first looks at pods and prices. */
  async openDefault(): Promise<void> {
    const { keyFile, runpod } = this.#options;
    if (keyFile)
      await this.accounts.open(
        defaultAccount,
        () => keyFilePlace,
        () => runpod(defaultAccount, keyFile),
      );
  }

  /** The exposition format of Prometheus. */
  metrics(): Promise<string> {
    return this.#metrics.render();
  }

  /** Resolves when no pass is under way any more; accounts go on, as passes over jobs may still need them. */
  async settle(): Promise<void> {
    this.#queue.close();
    await this.#worker;
  }

  async stop(): Promise<void> {
    await this.#objects.stop();
    await this.accounts.stop();
  }

  #object(name: string): RunpodAccount | undefined {
    return this.#objects.store.get(`/${name}`);
  }

  #context(): AccountPassContext {
    const { clock, kube, namespace, fieldManager, fenced, runpod } = this.#options;
    // Asked for with each call to Runpod, which are few: a rotated key must not wait.
    const secrets = new SecretReader(kube, clock, 2000);
    return {
      clock,
      accounts: this.accounts,
      object: (name) => this.#object(name),
      keyPlace: (name) => `Secret ${this.#keyReference(name).name} in namespace ${namespace}`,
      runpod: (name) =>
        runpod(
          name,
          secretKey(secrets, namespace, () => this.#keyReference(name)),
        ),
      setFinalizers: (object, finalizers) =>
        fenced(() => kube.patchFinalizers<RunpodAccount>(runpodAccounts, object, finalizers)),
      writeStatus: ({ metadata: { name, uid, resourceVersion } }, status) => {
        const metadata = { name, uid, resourceVersion };
        const applied = { apiVersion, kind: accountKind, metadata, status };
        return fenced(() => kube.applyStatus<RunpodAccount>(runpodAccounts, applied, fieldManager));
      },
      remember: (object) => void this.#objects.store.remember(object),
    };
  }

  /** Where the account's key is now; what the object said last, once it is gone. */
  #keyReference(name: string): KeyReference {
    const reference = this.#object(name)?.spec.apiKeySecretRef ??
      this.#lastReferences.get(name) ?? { name: '', key: '' };
    this.#lastReferences.set(name, reference);
    return reference;
  }
}
