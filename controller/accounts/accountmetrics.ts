import { Gauge, Registry } from 'prom-client';
import type { Account } from './account.ts';
import { accountConditions, factsOf } from './conditions.ts';
import { rented } from './rented.ts';

/** Series of the accounts that are looked at now; those of an account that is gone vanish with it. */
export class AccountMetrics {
  readonly #registry = new Registry();

  constructor(accounts: () => readonly Account[]) {
    const gauge = (name: string, help: string, value: (account: Account) => number | undefined): void => {
      const series = new Gauge({
        name,
        help,
        labelNames: ['account'],
        registers: [this.#registry],
        collect() {
          series.reset();
          for (const account of accounts()) {
            const now = value(account);
            if (now !== undefined) series.set({ account: account.name }, now);
          }
        },
      });
    };
    const listed = (account: Account): boolean => account.view().lists.length > 0;
    gauge('trainingjob_account_ready', 'Whether pods can be rented in the account, as far as is known.', (account) => {
      const status = accountConditions(factsOf(account, undefined))[0]?.status;
      return status === 'Unknown' ? undefined : Number(status);
    });
    gauge('trainingjob_account_pods', 'Pods that this operator rents in the account.', (account) =>
      listed(account) ? rented(account.view()).pods : undefined,
    );
    gauge('trainingjob_account_price_usd_per_hour', 'What these pods cost together.', (account) =>
      listed(account) ? rented(account.view()).usdPerHour : undefined,
    );
  }

  /** The exposition format of Prometheus. */
  render(): Promise<string> {
    return this.#registry.metrics();
  }
}
