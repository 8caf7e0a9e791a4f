import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openSqliteStore } from '../../controller/telemetry/store/sqlite.ts';
import type { RunRow } from '../../controller/telemetry/store/store.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'trainingjob-runs-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const row: RunRow = {
  uid: 'u1',
  run: 1,
  namespace: 'team',
  name: 'churn',
  specHash: 'a',
  restartToken: '',
  outcome: 'Running',
  reason: '',
  firstAttempt: 1,
  attempts: 1,
  spentUsd: 0,
  pinned: null,
  outputUri: null,
  manifestSHA256: null,
  published: null,
  completedAt: null,
};

test('a run is there after the store was closed, as it was last written, and outlives its job', async () => {
  const path = join(folder, 'store.sqlite');
  const store = openSqliteStore(path);
  await store.putRun(row);
  await store.putRun({ ...row, uid: 'u2', run: 3, restartToken: 'again' });
  const done: RunRow = {
    ...row,
    outcome: 'Succeeded',
    reason: 'TrainerSucceeded',
    attempts: 4,
    spentUsd: 1.25,
    outputUri: 'file:///volume/models/churn',
    manifestSHA256: 'f'.repeat(64),
    published: '{"huggingFaceRevision":"c0ffee"}',
    completedAt: 1_790_000_000_000,
  };
  await store.putRun(done);
  await store.forgetJob('u1');
  await store.close();
  const again = openSqliteStore(path);
  expect(await again.runs()).toEqual([done, { ...row, uid: 'u2', run: 3, restartToken: 'again' }]);
  await again.close();
});
