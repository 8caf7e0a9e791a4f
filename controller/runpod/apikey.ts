import { RunpodError } from './errors.ts';

/** A key as it is sent, without the white space around it. What is thrown says where, and never holds a part of the key. */
export function apiKeyIn(text: string, where: string): string {
  const key = text.trim();
  if (key === '') throw new RunpodError('unauthorized', `${where} is empty`);
  if (!/^[\x21-\x7e]+$/.test(key))
    throw new RunpodError('unauthorized', `${where} holds more than a key; write the key alone, on one line`);
  return key;
}
