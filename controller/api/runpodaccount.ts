import { group } from './trainingjob.ts';
import type { RunpodAccountSpec, RunpodAccountStatus } from './runpodaccount.generated.ts';

export const accountKind = 'RunpodAccount';

/** The account whose key is in the operator's key file; no RunpodAccount may have this name. */
export const defaultAccount = 'default';

/** Stays on an account while pods may be rented in it: without its key nobody could end them (I4). */
export const accountFinalizer = `${group}/pods`;

export interface RunpodAccount {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly generation: number;
    readonly deletionTimestamp?: string;
    readonly finalizers?: readonly string[];
  };
  readonly spec: RunpodAccountSpec;
  readonly status?: RunpodAccountStatus;
}

export type { RunpodAccountSpec, RunpodAccountStatus };
