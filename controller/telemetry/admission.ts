import type { Batch } from './protocol.ts';
import type { AttemptRow } from './store/store.ts';
import { verifyToken, type Keyring } from './tokens.ts';

/** Why a request of an agent is not served, as the protocol words it. */
export type Refusal =
  | { readonly kind: 'unauthorized' }
  /** The attempt is over, or the pod is not the one that was rented for it. */
  | { readonly kind: 'superseded'; readonly message: string }
  /** Not known yet, or the store is away: keep and try again. */
  | { readonly kind: 'notYet'; readonly message: string }
  | { readonly kind: 'conflict'; readonly message: string; readonly expected: number };

export interface Caller {
  readonly token: string;
  readonly uid: string;
  readonly attempt: number;
  readonly podID: string;
}

/** Whether this token, for this pod, may speak for the attempt, of which `row` is all that is known (I8). */
export function admission(
  keyring: Keyring,
  { token, uid, attempt, podID }: Caller,
  row: AttemptRow | undefined,
): Refusal | undefined {
  const verified = verifyToken(keyring, token, uid, attempt);
  if (!verified) return { kind: 'unauthorized' };
  if (!row) return { kind: 'notYet', message: 'this attempt is not known yet' };
  if (row.nonce !== verified.nonce) return { kind: 'unauthorized' };
  if (row.closed) return { kind: 'superseded', message: 'this attempt is over; end the pod' };
  if (row.podID === null) return { kind: 'notYet', message: 'the pod of this attempt is not recorded yet' };
  if (row.podID !== podID)
    return { kind: 'superseded', message: 'another pod was recorded for this attempt; end this one' };
  return undefined;
}

/** A batch of an attempt that is over, from its own pod, with the final report that is still missing. */
export function isLateFinal(refusal: Refusal, row: AttemptRow | undefined, batch: Batch): boolean {
  return (
    refusal.kind === 'superseded' &&
    row?.podID === batch.podID &&
    batch.sequence !== undefined &&
    batch.events.some((event) => event.type === 'final')
  );
}
