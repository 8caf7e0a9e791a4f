import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** Who made a message; each has keys of its own, so that no message can be sent back to where it came from. */
export type Sender = 'operator' | 'agent';

export const nonceBytes = 16;
const tagBytes = 32;

/**
 * A message that passes through strangers' hands: a nonce of 16 bytes, the text under a key stream of SHAKE256, and an
 * HMAC-SHA-256 over all of it, by keys derived from the attempt's token. The trainer's package has the same, which has only
 * its standard library to make it of. `context` is what the message belongs to: the nonce of the one that it answers, or
 * nothing. `nonce` is for test vectors alone: used twice, it would give both texts away.
 */
export function sealed(
  token: string,
  sender: Sender,
  context: Buffer,
  text: Buffer,
  nonce = randomBytes(nonceBytes),
): Buffer {
  const covered = Buffer.concat([nonce, underStream(token, sender, nonce, text)]);
  return Buffer.concat([covered, tag(token, sender, context, covered)]);
}

/** The text of a message; undefined when it is not one of this sender, or belongs to something else. */
export function opened(token: string, sender: Sender, context: Buffer, message: Buffer): Buffer | undefined {
  if (message.length < nonceBytes + tagBytes) return undefined;
  const covered = message.subarray(0, -tagBytes);
  // Compared in a time that tells nothing, and before anything is made of the text.
  if (!timingSafeEqual(tag(token, sender, context, covered), message.subarray(-tagBytes))) return undefined;
  return underStream(token, sender, covered.subarray(0, nonceBytes), covered.subarray(nonceBytes));
}

function key(token: string, sender: Sender, purpose: string): Buffer {
  return createHmac('sha256', token).update(`trainingjob pull 1 ${sender} ${purpose}`).digest();
}

function tag(token: string, sender: Sender, context: Buffer, covered: Buffer): Buffer {
  return createHmac('sha256', key(token, sender, 'authenticity'))
    .update(context)
    .update(covered)
    .digest();
}

function underStream(token: string, sender: Sender, nonce: Buffer, text: Buffer): Buffer {
  if (text.length === 0) return text;
  const stream = createHash('shake256', { outputLength: text.length })
    .update(key(token, sender, 'secrecy'))
    .update(nonce)
    .digest();
  for (let index = 0; index < text.length; index += 1) stream[index] = (stream[index] ?? 0) ^ (text[index] ?? 0);
  return stream;
}
