import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nonceBytes, opened, sealed, type Sender } from '../../controller/telemetry/pull/seal.ts';

interface Vector {
  readonly name: string;
  readonly token: string;
  readonly sender: Sender;
  readonly context: string;
  readonly nonce: string;
  readonly text: string;
  readonly message: string;
}

const { vectors } = JSON.parse(readFileSync(new URL('../data/seal-vectors.json', import.meta.url), 'utf8')) as {
  readonly vectors: readonly Vector[];
};
const hex = (text: string): Buffer<ArrayBuffer> => Buffer.from(text, 'hex');
const nothing = Buffer.alloc(0);

describe("the messages of a pull are the agent's", () => {
  test.each(vectors)('$name', ({ token, sender, context, nonce, text, message }) => {
    expect(sealed(token, sender, hex(context), hex(text), hex(nonce)).toString('hex')).toBe(message);
    expect(opened(token, sender, hex(context), hex(message))?.toString('hex')).toBe(text);
  });
});

describe('a message', () => {
  test('that was touched, cut, or belongs elsewhere is none', () => {
    const context = Buffer.alloc(nonceBytes, 7);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(), fc.integer({ min: 1, max: 255 }), (text, at, change) => {
        const message = sealed('token', 'agent', context, Buffer.from(text));
        expect(opened('token', 'agent', context, message)).toEqual(Buffer.from(text));
        const touched = Buffer.from(message);
        const index = at % touched.length;
        touched[index] = (touched[index] ?? 0) ^ change;
        expect(opened('token', 'agent', context, touched)).toBeUndefined();
        expect(opened('token', 'agent', context, message.subarray(0, index))).toBeUndefined();
        expect(opened('other', 'agent', context, message)).toBeUndefined();
        expect(opened('token', 'operator', context, message)).toBeUndefined();
        expect(opened('token', 'agent', Buffer.alloc(nonceBytes, 8), message)).toBeUndefined();
        expect(opened('token', 'agent', nothing, message)).toBeUndefined();
      }),
    );
  });

  test('is never the same twice, and does not show its text', () => {
    const text = Buffer.from('planted '.repeat(20));
    const one = sealed('token', 'operator', nothing, text);
    expect(sealed('token', 'operator', nothing, text)).not.toEqual(one);
    expect(one.includes('planted')).toBe(false);
  });
});
