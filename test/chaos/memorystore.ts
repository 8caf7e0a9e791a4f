import type {
  AppendResult,
  AttemptRow,
  BatchRow,
  RunRow,
  StoredBatch,
  TelemetryStore,
} from '../../controller/telemetry/store/store.ts';

/** The rows of a telemetry store: what a disk keeps when the process that wrote it is gone. */
export class Rows {
  readonly attempts = new Map<string, AttemptRow>();
  readonly batches: StoredBatch[] = [];
  readonly runs = new Map<string, RunRow>();
  #id = 0;

  putAttempt(row: AttemptRow): void {
    const key = `${row.uid}/${row.attempt}`;
    const known = this.attempts.get(key);
    const same = known?.nonce === row.nonce;
    this.attempts.set(key, same ? { ...row, podID: known.podID, closed: known.closed } : row);
    for (const [other, entry] of this.attempts) {
      if (entry.uid === row.uid && entry.attempt < row.attempt) this.attempts.set(other, { ...entry, closed: true });
    }
  }

  change(uid: string, attempt: number, change: Partial<AttemptRow>): void {
    const key = `${uid}/${attempt}`;
    const known = this.attempts.get(key);
    if (known) this.attempts.set(key, { ...known, ...change });
  }

  append(row: BatchRow): AppendResult {
    const session = this.batches.filter(
      (entry) => entry.uid === row.uid && entry.attempt === row.attempt && entry.session === row.session,
    );
    const known = session.find((entry) => entry.sequence === row.sequence);
    const expected = (session.at(-1)?.sequence ?? 0) + 1;
    if (known) return known.hash === row.hash ? { kind: 'duplicate' } : { kind: 'conflict', expected };
    if (row.sequence !== expected) return { kind: 'conflict', expected };
    this.#id += 1;
    this.batches.push({ ...row, id: this.#id });
    return { kind: 'stored' };
  }

  forget(uid: string): void {
    for (const [key, row] of this.attempts) if (row.uid === uid) this.attempts.delete(key);
    for (let index = this.batches.length - 1; index >= 0; index -= 1) {
      if (this.batches[index]?.uid === uid) this.batches.splice(index, 1);
    }
  }

  /** The disk is gone, and another one is empty. */
  lose(): void {
    this.attempts.clear();
    this.runs.clear();
    this.batches.length = 0;
  }

  holds(uid: string): boolean {
    return [...this.attempts.values()].some((row) => row.uid === uid) || this.batches.some((row) => row.uid === uid);
  }
}

/** One process's way to the rows. Every write passes through `write`, where it may be struck. */
export function memoryStore(rows: Rows, write: <T>(target: string, commit: () => T) => Promise<T>): TelemetryStore {
  return {
    putAttempt: (row) => write('putAttempt', () => rows.putAttempt(row)),
    pinPod: (uid, attempt, podID) =>
      write('pinPod', () => {
        if (rows.attempts.get(`${uid}/${attempt}`)?.podID === null) rows.change(uid, attempt, { podID });
      }),
    closeAttempt: (uid, attempt) => write('closeAttempt', () => rows.change(uid, attempt, { closed: true })),
    putRun: (row) => write('putRun', () => void rows.runs.set(`${row.uid}/${row.run}`, row)),
    runs: () => Promise.resolve([...rows.runs.values()]),
    append: (row) => write('append', () => rows.append(row)),
    attempts: () => Promise.resolve([...rows.attempts.values()]),
    batches: (afterID, limit, uid) =>
      Promise.resolve(
        rows.batches.filter((row) => row.id > afterID && (uid === undefined || row.uid === uid)).slice(0, limit),
      ),
    forgetJob: (uid) => write('forgetJob', () => rows.forget(uid)),
    check: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
}
