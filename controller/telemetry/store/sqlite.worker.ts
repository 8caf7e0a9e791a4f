/**
 * The SQLite file, in a thread of its own so that no commit stalls the event loop. Requests that arrive while a commit runs
 * are committed together (group commit); each is answered only after its commit.
 */
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import type { AppendResult, AttemptRow, BatchRow, StoredBatch } from './store.ts';

export type StoreRequest =
  | { readonly kind: 'putAttempt'; readonly row: AttemptRow }
  | { readonly kind: 'pinPod'; readonly uid: string; readonly attempt: number; readonly podID: string }
  | { readonly kind: 'closeAttempt'; readonly uid: string; readonly attempt: number }
  | { readonly kind: 'append'; readonly row: BatchRow }
  | { readonly kind: 'forgetJob'; readonly uid: string }
  | { readonly kind: 'attempts' }
  | { readonly kind: 'batches'; readonly afterID: number; readonly limit: number; readonly uid: string | null };

export type StoreReply = { readonly id: number } & ({ readonly value: unknown } | { readonly error: string });

const port = parentPort;
if (!port) throw new Error('sqlite.worker.ts runs in a worker thread only');

const database = new DatabaseSync((workerData as { path: string }).path);
database.exec(`
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS attempts (
    uid TEXT NOT NULL, attempt INTEGER NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, nonce TEXT NOT NULL,
    scoring TEXT NOT NULL, podID TEXT, closed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (uid, attempt)
  ) STRICT;
  CREATE TABLE IF NOT EXISTS batches (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL, attempt INTEGER NOT NULL, session TEXT NOT NULL,
    sequence INTEGER NOT NULL, hash TEXT NOT NULL, receivedAt INTEGER NOT NULL, payload TEXT NOT NULL,
    UNIQUE (uid, attempt, session, sequence)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS batches_by_job ON batches (uid, id);
`);

const statements = {
  putAttempt: database.prepare(
    `INSERT INTO attempts (uid, attempt, namespace, name, nonce, scoring, podID, closed) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (uid, attempt) DO UPDATE SET nonce = excluded.nonce, scoring = excluded.scoring`,
  ),
  pinPod: database.prepare('UPDATE attempts SET podID = ? WHERE uid = ? AND attempt = ? AND podID IS NULL'),
  closeAttempt: database.prepare('UPDATE attempts SET closed = 1 WHERE uid = ? AND attempt = ?'),
  hash: database.prepare('SELECT hash FROM batches WHERE uid = ? AND attempt = ? AND session = ? AND sequence = ?'),
  last: database.prepare('SELECT max(sequence) AS last FROM batches WHERE uid = ? AND attempt = ? AND session = ?'),
  append: database.prepare(
    'INSERT INTO batches (uid, attempt, session, sequence, hash, receivedAt, payload) VALUES (?, ?, ?, ?, ?, ?, ?)',
  ),
  forgetBatches: database.prepare('DELETE FROM batches WHERE uid = ?'),
  forgetAttempts: database.prepare('DELETE FROM attempts WHERE uid = ?'),
  attempts: database.prepare('SELECT * FROM attempts ORDER BY uid, attempt'),
  batches: database.prepare('SELECT * FROM batches WHERE id > ? ORDER BY id LIMIT ?'),
  batchesOf: database.prepare('SELECT * FROM batches WHERE uid = ? AND id > ? ORDER BY id LIMIT ?'),
};

const pending: { readonly id: number; readonly request: StoreRequest }[] = [];

port.on('message', (message: { readonly id: number; readonly request: StoreRequest } | 'close') => {
  if (message === 'close') {
    flush();
    database.close();
    port.postMessage('closed');
    return;
  }
  pending.push(message);
  if (pending.length === 1) setImmediate(flush);
});

function flush(): void {
  const batch = pending.splice(0);
  if (batch.length === 0) return;
  const replies: StoreReply[] = [];
  try {
    database.exec('BEGIN IMMEDIATE');
    for (const { id, request } of batch) replies.push({ id, value: handle(request) });
    database.exec('COMMIT');
  } catch (error) {
    // Nothing of the group is on disk: none of it may be acknowledged.
    const message = error instanceof Error ? error.message : String(error);
    try {
      if (database.isTransaction) database.exec('ROLLBACK');
    } catch {
      // The first error is the one that tells.
    }
    for (const { id } of batch) port?.postMessage({ id, error: message });
    return;
  }
  for (const reply of replies) port?.postMessage(reply);
}

function handle(request: StoreRequest): unknown {
  switch (request.kind) {
    case 'putAttempt': {
      const { row } = request;
      return run(
        statements.putAttempt,
        row.uid,
        row.attempt,
        row.namespace,
        row.name,
        row.nonce,
        row.scoring,
        row.podID,
        row.closed ? 1 : 0,
      );
    }
    case 'pinPod':
      return run(statements.pinPod, request.podID, request.uid, request.attempt);
    case 'closeAttempt':
      return run(statements.closeAttempt, request.uid, request.attempt);
    case 'append':
      return append(request.row);
    case 'forgetJob':
      run(statements.forgetBatches, request.uid);
      return run(statements.forgetAttempts, request.uid);
    case 'attempts':
      return statements.attempts.all().map((row) => ({ ...row, closed: row['closed'] === 1 }));
    case 'batches': {
      const { uid, afterID, limit } = request;
      const rows =
        uid === null ? statements.batches.all(afterID, limit) : statements.batchesOf.all(uid, afterID, limit);
      return rows.map((row) => ({ ...row }) as unknown as StoredBatch);
    }
  }
}

function run(statement: ReturnType<DatabaseSync['prepare']>, ...values: SQLInputValue[]): null {
  statement.run(...values);
  return null;
}

function append(row: BatchRow): AppendResult {
  const { uid, attempt, session, sequence, hash } = row;
  const present = statements.hash.get(uid, attempt, session, sequence)?.['hash'];
  if (present === hash) return { kind: 'duplicate' };
  const expected = Number(statements.last.get(uid, attempt, session)?.['last'] ?? 0) + 1;
  if (present !== undefined || sequence !== expected) return { kind: 'conflict', expected };
  statements.append.run(uid, attempt, session, sequence, hash, row.receivedAt, row.payload);
  return { kind: 'stored' };
}
