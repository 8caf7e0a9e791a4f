import { describe, expect, test } from 'vitest';
import { frozen } from '../../controller/api/frozen.ts';
import { parsePodName, podName, uid12, type PodIdentity } from '../../controller/api/identity.ts';
import { keyOf } from '../../controller/api/trainingjob.ts';
import { iso } from '../../controller/reconcile/plan.ts';

const identity: PodIdentity = { installation: 'abc123', uid12: '0123abcd4567', attempt: 3, nonce: 'x9q2' };

test.each([
  ['support-sft', 'support-sft'],
  ['Support_SFT', 'support-sft'],
  ['a.b.c', 'a-b-c'],
  ['-edge-', 'edge'],
  ['', 'job'],
  ['___', 'job'],
  ['a-name-of-many-more-than-twenty', 'a-name-of-many-more'],
  ['nineteen-letters-xx-y', 'nineteen-letters-xx'],
])('the name of a pod of job "%s" ends in %s', (job, slug) => {
  const name = podName(identity, job);
  expect(name).toBe(`tj-abc123-0123abcd4567-a3-x9q2-${slug}`);
  expect(parsePodName(name)).toEqual(identity);
});

test.each([
  'my-notebook',
  'tj-abc123-0123abcd4567-a3-x9q2',
  'tj-abc123-0123abcd4567-a3-x9q2-',
  'tj-abc12-0123abcd4567-a3-x9q2-job',
  'tj-ABC123-0123abcd4567-a3-x9q2-job',
  'tj-abc123-0123abcg4567-a3-x9q2-job',
  'tj-abc123-0123abcd4567-a0-x9q2-job',
  'tj-abc123-0123abcd4567-a03-x9q2-job',
  'tj-abc123-0123abcd4567-a3-x9q-job',
  'tj-abc123-0123abcd4567-a3-x9q2-a-slug-that-is-too-long',
  'x-tj-abc123-0123abcd4567-a3-x9q2-job',
  'tj-abc123-0123abcd4567-a3-x9q2-job\n',
])('%j is no name of ours', (name) => expect(parsePodName(name)).toBeUndefined());

test('uid12 is the first twelve digits', () => {
  expect(uid12('0123abcd-4567-4890-abcd-ef0123456789')).toBe('0123abcd4567');
});

test('the key of a job', () => expect(keyOf({ metadata: { namespace: 'team', name: 'fit' } })).toBe('team/fit'));

test('instants have whole seconds, cut and never rounded up', () => {
  expect(iso(Date.parse('2026-03-01T12:00:00.999Z'))).toBe('2026-03-01T12:00:00Z');
  expect(iso(0)).toBe('1970-01-01T00:00:00Z');
});

describe('frozen', () => {
  test('reaches all the way down, and gives the same object', () => {
    const value = { a: [{ b: 1 }], c: null, d: 'text', e: 0 };
    expect(frozen(value)).toBe(value);
    expect(() => {
      value.a[0]!.b = 2;
    }).toThrow(TypeError);
    expect(() => value.a.push({ b: 3 })).toThrow(TypeError);
  });

  test.each([null, undefined, 0, '', false])('takes %s as it is', (value) => expect(frozen(value)).toBe(value));
});
