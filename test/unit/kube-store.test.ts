import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { KubeObject } from '../../controller/kube/client.ts';
import { isOlderVersion, ObjectStore, storeKey } from '../../controller/kube/store.ts';

const object = (uid: string, resourceVersion: string, name = 'a'): KubeObject => ({
  metadata: { name, namespace: 'n', uid, resourceVersion },
});
const holding = (...objects: readonly KubeObject[]): ObjectStore<KubeObject> => {
  const store = new ObjectStore<KubeObject>();
  for (const each of objects) store.set(each);
  return store;
};
const version = (store: ObjectStore<KubeObject>): string | undefined => store.get('n/a')?.metadata.resourceVersion;

describe('set: time does not go back', () => {
  test.each([
    ['newer', object('u', '10'), true, '10'],
    ['the same', object('u', '9'), false, '9'],
    ['older, though it sorts later as text', object('u', '8'), false, '9'],
    ['another object of its name, whatever its version', object('v', '2'), true, '2'],
  ])('%s', (_, next, changed, expected) => {
    const store = holding(object('u', '9'));
    expect(store.set(next)).toBe(changed);
    expect(version(store)).toBe(expected);
  });
});

describe('remember: the answer to a write of ours', () => {
  test('is taken for an object that is here', () => {
    const store = holding(object('u', '9'));
    expect(store.remember(object('u', '10'))).toBe(true);
    expect(version(store)).toBe('10');
  });

  test.each([
    ['that is gone', holding()],
    ['in whose place is another', holding(object('v', '11'))],
  ])('never brings back an object %s', (_, store) => {
    expect(store.remember(object('u', '10'))).toBe(false);
    expect(store.byUid('u')).toBeUndefined();
  });
});

describe('settle: the word of a list', () => {
  test('holds even where it is older: a server that was restored from a backup goes back', () => {
    const store = holding(object('u', '900'));
    expect(store.settle(object('u', '9'), store.changes)).toBe(true);
    expect(version(store)).toBe('9');
  });

  test('does not undo what came after it was asked for', () => {
    const store = holding(object('u', '9'));
    const before = store.changes;
    store.remember(object('u', '10'));
    expect(store.settle(object('u', '9'), before)).toBe(false);
    expect(version(store)).toBe('10');
  });

  test('the same version is no change', () => {
    const store = holding(object('u', '9'));
    expect(store.settle(object('u', '9'), store.changes)).toBe(false);
  });
});

test('remove takes the object that is meant, and not the one that took its place', () => {
  const store = holding(object('u', '9'), object('v', '10'));
  expect(store.remove(object('u', '11'))).toBe(false);
  expect(version(store)).toBe('10');
  expect(store.remove(object('v', '12'))).toBe(true);
  expect([store.size, store.byUid('v')]).toEqual([0, undefined]);
});

test('both ways to an object always agree, whatever came in whatever order', () => {
  const any = fc.record({
    act: fc.constantFrom('set', 'remember', 'remove', 'settle'),
    uid: fc.constantFrom('u', 'v', 'w'),
    version: fc.integer({ min: 1, max: 30 }).map(String),
    name: fc.constantFrom('a', 'b'),
  });
  fc.assert(
    fc.property(fc.array(any, { maxLength: 40 }), (steps) => {
      const store = new ObjectStore<KubeObject>();
      for (const { act, uid, version: resourceVersion, name } of steps) {
        // A uid has one name for ever.
        const each = object(`${uid}-${name}`, resourceVersion, name);
        if (act === 'settle') store.settle(each, store.changes);
        else store[act as 'set'](each);
      }
      expect(store.keys()).toHaveLength(store.size);
      for (const each of store.list()) {
        expect(store.get(storeKey(each))).toBe(each);
        expect(store.byUid(each.metadata.uid)).toBe(each);
        expect(Object.isFrozen(each.metadata)).toBe(true);
      }
      const uids = new Set(store.list().map(({ metadata }) => metadata.uid));
      for (const { uid, name } of steps)
        if (!uids.has(`${uid}-${name}`)) expect(store.byUid(`${uid}-${name}`)).toBeUndefined();
    }),
  );
});

test('versions are compared as the numbers they are', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 1n, max: 2n ** 70n }), fc.bigInt({ min: 1n, max: 2n ** 70n }), (a, b) => {
      expect(isOlderVersion(String(a), String(b))).toBe(a < b);
    }),
  );
});
