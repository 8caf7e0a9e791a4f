import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { batch, evaluation, point, post, startIngest, type Reporter } from './ingest.ts';
import { startIngestProcess, type IngestProcess } from './ingestprocess.ts';

let folder: string;
let running: IngestProcess | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'trainingjob-crash-'));
});
afterEach(async () => {
  await running?.kill();
  await rm(folder, { recursive: true, force: true });
});

const kills = 20;
/** One request of each is always under way: more of them only wait longer. */
const senders = 16;
const acknowledgedPerLife = 400;
const pointsPerBatch = 20;

/** A trainer: sends what was not acknowledged again, in order, until the server takes it. */
interface Trainer {
  readonly session: string;
  acknowledged: number;
}

test('whatever was acknowledged at full rate is there exactly once after twenty kills', async () => {
  const path = join(folder, 'telemetry.sqlite');
  const trainers: Trainer[] = Array.from({ length: senders }, (_, index) => ({
    session: index.toString(16).repeat(16),
    acknowledged: 0,
  }));
  for (let life = 0; life < kills; life += 1) {
    const server = await startIngestProcess(path, trainers.length);
    running = server;
    let left = acknowledgedPerLife;
    let killed: Promise<void> | undefined;
    await Promise.all(
      trainers.map(async (trainer, index) => {
        const job = { ...(server.reporters[index] as Reporter), session: trainer.session };
        while (!killed) {
          const sequence = trainer.acknowledged + 1;
          const answer = await post(server.url, job, reported(job, sequence)).catch(() => undefined);
          if (answer === undefined) return;
          expect(answer).toMatchObject({ status: 200, body: { acknowledged: { sequence } } });
          trainer.acknowledged = sequence;
          left -= 1;
          // In the middle of whatever the others have under way.
          if (left === 0) killed = server.kill();
        }
      }),
    );
    await killed;
  }

  const ingest = await startIngest({ path });
  for (const [index, { acknowledged, session }] of trainers.entries()) {
    const uid = `00000000-0000-0000-0000-${String(index).padStart(12, '0')}`;
    const rows = await ingest.store.batches(0, 100_000, uid);
    const sequences = rows.map((row) => row.sequence);
    expect(sequences).toEqual(sequences.map((_, at) => at + 1));
    // One more at most: durable, and killed before its answer was out.
    expect(sequences.length - acknowledged).toBeOneOf([0, 1]);
    expect(acknowledged).toBeGreaterThan(0);
    const [first] = rows;
    expect(first?.session).toBe(session);
    for (const row of rows) expect(JSON.parse(row.payload)).toEqual(events(row.sequence));
    const last = sequences.length;
    expect(ingest.telemetry.summary(uid)).toMatchObject({
      step: last * pointsPerBatch,
      lastSequence: last,
      evaluations: Math.floor(last / 5),
    });
  }
  await ingest.stop();
}, 120_000);

function reported(job: Reporter, sequence: number): object {
  return batch(job, sequence, events(sequence));
}

function events(sequence: number): readonly object[] {
  const last = sequence * pointsPerBatch;
  const points = Array.from({ length: pointsPerBatch }, (_, index) => point(last - pointsPerBatch + 1 + index));
  return [...points, ...(sequence % 5 === 0 ? [evaluation(last, 1 / sequence)] : [])];
}
