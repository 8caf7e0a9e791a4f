/**
 * The SQLite file, in a thread of its own so that no commit stalls the event loop. Requests that arrive while a commit runs
 * are committed together (group commit); each is answered only after its commit. Reads are served even where nothing can be
 * written.
 */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import type { AppendResult, AttemptRow, BatchRow, RunRow, StoredBatch } from './store.ts';

export type StoreRequest =
  | { readonly kind: 'putAttempt'; readonly row: AttemptRow }
  | { readonly kind: 'pinPod'; readonly uid: string; readonly attempt: number; readonly podID: string }
  | { readonly kind: 'closeAttempt'; readonly uid: string; readonly attempt: number }
  | { readonly kind: 'putRun'; readonly row: RunRow }
  | { readonly kind: 'append'; readonly row: BatchRow }
  | { readonly kind: 'forgetJob'; readonly uid: string }
  | { readonly kind: 'check' }
  | { readonly kind: 'attempts' }
  | { readonly kind: 'runs' }
  | { readonly kind: 'batches'; readonly afterID: number; readonly limit: number; readonly uid: string | null };

export type StoreReply = { readonly id: number } & ({ readonly value: unknown } | { readonly error: string });

const port = parentPort;
if (!port) throw new Error('sqlite.worker.ts runs in a worker thread only');

/** Another process that looks into the file, or one of ours that still ends, must not cost a batch. */
const busyMs = 2000;
const mostPageBytes = 8 * 1024 * 1024;
const database = open((workerData as { path: string }).path);

const statements = {
  putAttempt: database.prepare(
    `INSERT INTO attempts (uid, attempt, namespace, name, nonce, scoring, podID, closed) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (uid, attempt) DO UPDATE SET nonce = excluded.nonce, scoring = excluded.scoring,
       podID = iif(nonce = excluded.nonce, podID, excluded.podID),
       closed = iif(nonce = excluded.nonce, closed, excluded.closed)`,
  ),
  closeBefore: database.prepare('UPDATE attempts SET closed = 1 WHERE uid = ? AND attempt < ? AND closed = 0'),
  pinPod: database.prepare('UPDATE attempts SET podID = ? WHERE uid = ? AND attempt = ? AND podID IS NULL'),
  closeAttempt: database.prepare('UPDATE attempts SET closed = 1 WHERE uid = ? AND attempt = ?'),
  putRun: database.prepare(
    `INSERT INTO runs (uid, run, namespace, name, specHash, restartToken, outcome, reason, firstAttempt, attempts, spentUsd,
       outputUri, manifestSHA256, published, completedAt, pinned) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (uid, run) DO UPDATE SET specHash = excluded.specHash, restartToken = excluded.restartToken,
       outcome = excluded.outcome, reason = excluded.reason, firstAttempt = excluded.firstAttempt, attempts = excluded.attempts, spentUsd = excluded.spentUsd,
       outputUri = excluded.outputUri, manifestSHA256 = excluded.manifestSHA256, published = excluded.published,
       completedAt = excluded.completedAt, pinned = excluded.pinned`,
  ),
  runs: database.prepare('SELECT * FROM runs ORDER BY rowid'),
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
  const requests = pending.splice(0);
  const writes = requests.filter(({ request }) => !isRead(request));
  for (const reply of writes.length > 0 ? committed(writes) : []) port?.postMessage(reply);
  for (const { id, request } of requests) {
    if (!isRead(request)) continue;
    try {
      port?.postMessage({ id, value: handle(request) } satisfies StoreReply);
    } catch (error) {
      port?.postMessage({ id, error: words(error) } satisfies StoreReply);
    }
  }
}

function isRead({ kind }: StoreRequest): boolean {
  return kind === 'attempts' || kind === 'runs' || kind === 'batches';
}

function committed(writes: readonly { readonly id: number; readonly request: StoreRequest }[]): readonly StoreReply[] {
  try {
    database.exec('BEGIN IMMEDIATE');
    const replies = writes.map(({ id, request }) => ({ id, value: handle(request) }));
    database.exec('COMMIT');
    return replies;
  } catch (error) {
    // Nothing of the group is on disk: none of it may be acknowledged.
    try {
      if (database.isTransaction) database.exec('ROLLBACK');
    } catch {
      // The first error is the one that tells.
    }
    return writes.map(({ id }) => ({ id, error: words(error) }));
  }
}

function handle(request: StoreRequest): unknown {
  switch (request.kind) {
    case 'putAttempt': {
      const { uid, attempt, namespace, name, nonce, scoring, podID, closed } = request.row;
      run(statements.closeBefore, uid, attempt);
      return run(statements.putAttempt, uid, attempt, namespace, name, nonce, scoring, podID, closed ? 1 : 0);
    }
    case 'pinPod':
      return run(statements.pinPod, request.podID, request.uid, request.attempt);
    case 'closeAttempt':
      return run(statements.closeAttempt, request.uid, request.attempt);
    case 'putRun': {
      const { uid, run: number, namespace, name, specHash, restartToken, outcome, reason, ...rest } = request.row;
      const { firstAttempt, attempts, spentUsd, outputUri, manifestSHA256, published, completedAt, pinned } = rest;
      const known = [uid, number, namespace, name, specHash, restartToken, outcome, reason] as const;
      const last = [outputUri, manifestSHA256, published, completedAt, pinned] as const;
      return run(statements.putRun, ...known, firstAttempt, attempts, spentUsd, ...last);
    }
    case 'append':
      return append(request.row);
    case 'forgetJob':
      run(statements.forgetBatches, request.uid);
      return run(statements.forgetAttempts, request.uid);
    case 'check':
      // Always writes the file's first page, and changes nothing that anybody reads.
      database.exec('PRAGMA user_version = 1');
      return null;
    case 'attempts':
      return statements.attempts.all().map((row) => ({ ...row, closed: row['closed'] === 1 }));
    case 'runs':
      return statements.runs.all().map((row) => ({ ...row }));
    case 'batches': {
      const { uid, afterID, limit } = request;
      const rows =
        uid === null ? statements.batches.iterate(afterID, limit) : statements.batchesOf.iterate(uid, afterID, limit);
      return page(rows as Iterable<unknown> as Iterable<StoredBatch>);
    }
  }
}

/** As many rows as memory may hold at once. */
function page(rows: Iterable<StoredBatch>): readonly StoredBatch[] {
  const taken: StoredBatch[] = [];
  let bytes = 0;
  for (const row of rows) {
    taken.push({ ...row });
    bytes += row.payload.length;
    if (bytes >= mostPageBytes) break;
  }
  return taken;
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

function open(path: string): DatabaseSync {
  try {
    mkdirSync(dirname(path), { recursive: true });
    const opened = new DatabaseSync(path, { timeout: busyMs });
    opened.exec(`
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      CREATE TABLE IF NOT EXISTS attempts (
        uid TEXT NOT NULL, attempt INTEGER NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, nonce TEXT NOT NULL,
        scoring TEXT NOT NULL, podID TEXT, closed INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (uid, attempt)
      ) STRICT;
      CREATE TABLE IF NOT EXISTS runs (
        uid TEXT NOT NULL, run INTEGER NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, specHash TEXT NOT NULL,
        restartToken TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL, firstAttempt INTEGER NOT NULL, attempts INTEGER NOT NULL,
        spentUsd REAL NOT NULL, outputUri TEXT, manifestSHA256 TEXT, completedAt INTEGER, pinned TEXT, published TEXT,
        PRIMARY KEY (uid, run)
      ) STRICT;
      CREATE TABLE IF NOT EXISTS batches (
        id INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL, attempt INTEGER NOT NULL, session TEXT NOT NULL,
        sequence INTEGER NOT NULL, hash TEXT NOT NULL, receivedAt INTEGER NOT NULL, payload TEXT NOT NULL,
        UNIQUE (uid, attempt, session, sequence)
      ) STRICT;
      CREATE INDEX IF NOT EXISTS batches_by_job ON batches (uid, id);
    `);
    // A file from before runs were pinned to defaults, or published.
    const columns = opened.prepare('PRAGMA table_info(runs)').all();
    for (const column of ['pinned', 'published'])
      if (!columns.some(({ name }) => name === column)) opened.exec(`ALTER TABLE runs ADD COLUMN ${column} TEXT`);
    return opened;
  } catch (error) {
    throw new Error(
      `it cannot be opened: ${words(error)}. STORE_PATH must name a file that this process may write; a damaged file is to be ` +
        'restored or moved away (trainers send again what was not acknowledged, points that were are lost with it)',
      { cause: error },
    );
  }
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
