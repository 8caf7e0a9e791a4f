import { frozen } from '../api/frozen.ts';
import type { KubeObject } from './client.ts';

interface Entry<T> {
  readonly object: T;
  /** Counts the store's changes; tells what came after a list was asked for. */
  readonly change: number;
}

/** The cache of one kind: newest known version of each object, by `namespace/name`. Objects in it are frozen. */
export class ObjectStore<T extends KubeObject> {
  readonly #entries = new Map<string, Entry<T>>();
  readonly #keyByUid = new Map<string, string>();
  #change = 0;

  get(key: string): T | undefined {
    return this.#entries.get(key)?.object;
  }

  byUid(uid: string): T | undefined {
    const key = this.#keyByUid.get(uid);
    return key === undefined ? undefined : this.get(key);
  }

  list(): readonly T[] {
    return [...this.#entries.values()].map(({ object }) => object);
  }

  keys(): readonly string[] {
    return [...this.#entries.keys()];
  }

  get size(): number {
    return this.#entries.size;
  }

  /**
   * Takes an object unless the cache has this or a newer version of the same uid: events and answers may arrive in any order,
   * and time must not go back. Returns whether the cache changed.
   */
  set(object: T): boolean {
    const old = this.get(storeKey(object));
    if (old && old.metadata.uid === object.metadata.uid && !isOlder(old, object)) return false;
    this.#put(object);
    return true;
  }

  /**
   * Takes the answer to a write of ours, so that the next pass sees it at once. Only of an object that is here: the answer may
   * arrive after the event that tells of the object's end, and would bring it back for ever.
   */
  remember(object: T): boolean {
    if (this.get(storeKey(object))?.metadata.uid !== object.metadata.uid) return false;
    return this.set(object);
  }

  /** To be read before a list is asked for and given to `settle`. */
  get changes(): number {
    return this.#change;
  }

  /**
   * Takes the word of a list, even where a comparison of versions would refuse it (an API server restored from a backup goes
   * back), except for what changed here after the list was asked for and is newer. Returns whether the cache changed.
   */
  settle(object: T, changesBefore: number): boolean {
    const old = this.#entries.get(storeKey(object));
    if (old && old.object.metadata.uid === object.metadata.uid) {
      if (old.object.metadata.resourceVersion === object.metadata.resourceVersion) return false;
      if (old.change > changesBefore && isOlder(object, old.object)) return false;
    }
    this.#put(object);
    return true;
  }

  /** Takes what is read now, where the version here turned out to be old; nothing read means that the object is gone. */
  async reread(object: T, read: () => Promise<T | undefined>): Promise<void> {
    const before = this.#change;
    const fresh = await read();
    if (fresh) this.settle(fresh, before);
    else this.remove(object);
  }

  /** Removes an object, unless another of its name has taken its place since. */
  remove(object: T): boolean {
    const key = storeKey(object);
    const { uid } = object.metadata;
    if (this.get(key)?.metadata.uid !== uid) return false;
    this.#change += 1;
    this.#keyByUid.delete(uid);
    return this.#entries.delete(key);
  }

  #put(object: T): void {
    const key = storeKey(object);
    const old = this.get(key);
    if (old) this.#keyByUid.delete(old.metadata.uid);
    this.#change += 1;
    this.#entries.set(key, { object: frozen(object), change: this.#change });
    this.#keyByUid.set(object.metadata.uid, key);
  }
}

export function storeKey(object: KubeObject): string {
  return `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
}

/** Whether `a` is a version before `b`. Resource versions may be compared as numbers, and only to refuse the past. */
export function isOlder(a: KubeObject, b: KubeObject): boolean {
  return isOlderVersion(a.metadata.resourceVersion, b.metadata.resourceVersion);
}

export function isOlderVersion(a: string, b: string): boolean {
  return a.length === b.length ? a < b : a.length < b.length;
}
