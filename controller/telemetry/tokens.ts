import { createHmac, timingSafeEqual } from 'node:crypto';

/** Keys by id; `current` signs, every one of them verifies, so that keys rotate while jobs run. */
export interface Keyring {
  readonly current: string;
  readonly keys: Readonly<Record<string, Buffer>>;
}

export interface VerifiedToken {
  readonly keyID: string;
  readonly nonce: string;
}

const pattern = /^tj1\.([a-z0-9]{1,16})\.([a-z0-9]{1,16})\.([A-Za-z0-9_-]{43})$/;
const absentKey = Buffer.alloc(32);

/** Token of one attempt: derived, so that nothing per job has to be kept or can leak from a store. */
export function mintToken(keyring: Keyring, uid: string, attempt: number, nonce: string): string {
  const key = keyring.keys[keyring.current];
  if (!key) throw new Error(`the keyring has no key "${keyring.current}", which it names as current`);
  return `tj1.${keyring.current}.${nonce}.${mac(key, uid, attempt, nonce)}`;
}

/** Whether a token was minted for this attempt. An unknown key costs the same work as a known one. */
export function verifyToken(keyring: Keyring, token: string, uid: string, attempt: number): VerifiedToken | undefined {
  const [, keyID = '', nonce = '', given = 'A'.repeat(43)] = pattern.exec(token) ?? [];
  const key = Object.hasOwn(keyring.keys, keyID) ? keyring.keys[keyID] : undefined;
  const equal = timingSafeEqual(Buffer.from(mac(key ?? absentKey, uid, attempt, nonce)), Buffer.from(given));
  return equal && key ? { keyID, nonce } : undefined;
}

function mac(key: Buffer, uid: string, attempt: number, nonce: string): string {
  return createHmac('sha256', key).update(`tj1\n${uid}\n${attempt}\n${nonce}`).digest('base64url');
}
