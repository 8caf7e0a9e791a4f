import { frozen } from '../api/frozen.ts';
import type { KubeObject } from './client.ts';

export type Change = 'none' | 'set' | 'replaced';

/** The cache of one kind: newest known version of each object, by `namespace/name`. Objects in it are frozen. */
export class ObjectStore<T extends KubeObject> {
  readonly #objects = new Map<string, T>();

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(): readonly T[] {
    return [...this.#objects.values()];
  }

  keys(): readonly string[] {
    return [...this.#objects.keys()];
  }

  /**
   * Takes an object unless the cache has a newer version of the same uid: events and answers may arrive in any order, and
   * time must not go back. `replaced` means that another object of that name was here before.
   */
  set(object: T): Change {
    const key = storeKey(object);
    const old = this.#objects.get(key);
    if (old && old.metadata.uid === object.metadata.uid && isOlder(object, old)) return 'none';
    this.#objects.set(key, frozen(object));
    return old && old.metadata.uid !== object.metadata.uid ? 'replaced' : 'set';
  }

  /** Takes the word of a fresh list, even where a comparison of versions would refuse it. */
  force(object: T): void {
    this.#objects.set(storeKey(object), frozen(object));
  }

  /** Removes an object, unless another of its name has taken its place since. */
  remove(object: T): boolean {
    const key = storeKey(object);
    if (this.#objects.get(key)?.metadata.uid !== object.metadata.uid) return false;
    return this.#objects.delete(key);
  }
}

export function storeKey(object: KubeObject): string {
  return `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
}

/** Versions of one object may be compared as numbers, and only to refuse the past. */
function isOlder(candidate: KubeObject, known: KubeObject): boolean {
  const a = candidate.metadata.resourceVersion;
  const b = known.metadata.resourceVersion;
  return a.length === b.length ? a < b : a.length < b.length;
}
