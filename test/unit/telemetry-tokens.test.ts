import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { bearer } from '../../controller/telemetry/bearer.ts';
import { mintToken, verifyToken, type Keyring } from '../../controller/telemetry/tokens.ts';

const keyring: Keyring = { current: 'k1', keys: { k1: Buffer.alloc(32, 1), k2: Buffer.alloc(32, 2) } };
const uid = '01234567-89ab-cdef-0123-456789abcdef';

test('the token of an attempt is always the same: nothing of it is stored', () => {
  // Worked out with openssl: HMAC-SHA-256 of "tj1\\n{uid}\\n3\\nx9q2" under 32 bytes of 1.
  expect(mintToken(keyring, uid, 3, 'x9q2')).toBe('tj1.k1.x9q2.HQ9KO-VUOC_e6wgC7v22QJ6X-bCjUku9T-eIPQGnzXU');
});

test('a token verifies for its job and attempt alone, under every key of the ring', () => {
  fc.assert(
    fc.property(
      fc.uuid(),
      fc.uuid(),
      fc.integer({ min: 1, max: 1e8 }),
      fc.constantFrom('k1', 'k2'),
      (one, other, attempt, current) => {
        const token = mintToken({ ...keyring, current }, one, attempt, 'abcd');
        expect(verifyToken(keyring, token, one, attempt)).toEqual({ keyID: current, nonce: 'abcd' });
        expect(verifyToken(keyring, token, one, attempt + 1)).toBeUndefined();
        if (one !== other) expect(verifyToken(keyring, token, other, attempt)).toBeUndefined();
        const { [current]: _gone, ...keys } = keyring.keys;
        expect(verifyToken({ current, keys }, token, one, attempt)).toBeUndefined();
      },
    ),
  );
});

test('no text is a token by chance, and none makes the check throw', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.string().map((text) => `tj1.k1.abcd.${text}`),
      ),
      (text) => {
        expect(verifyToken(keyring, text, uid, 1)).toBeUndefined();
      },
    ),
  );
  expect(verifyToken(keyring, `tj1.__proto__.abcd.${'A'.repeat(43)}`, uid, 1)).toBeUndefined();
});

test('the key that stands in for an unknown one opens nothing', () => {
  const token = mintToken({ current: 'k9', keys: { k9: Buffer.alloc(32) } }, uid, 1, 'abcd');
  expect(verifyToken(keyring, token, uid, 1)).toBeUndefined();
});

test('a keyring that names no key of its own signs nothing', () => {
  expect(() => mintToken({ current: 'k9', keys: keyring.keys }, uid, 1, 'abcd')).toThrow('the keyring has no key "k9"');
});

test.each([
  ['Bearer abc', 'abc'],
  ['bearer abc', 'abc'],
  ['Bearer  abc', ''],
  ['Bearer a b', ''],
  ['Bearer', ''],
  ['Basic abc', ''],
  [undefined, ''],
])('%s is read as "%s"', (header, token) => {
  expect(bearer(header)).toBe(token);
});
