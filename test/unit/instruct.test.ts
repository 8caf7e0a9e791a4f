import pino from 'pino';
import { describe, expect, test } from 'vitest';
import type { Attempt, TrainingJobStatus } from '../../controller/api/trainingjob.ts';
import { Bookkeeping } from '../../controller/reconcile/bookkeeping.ts';
import { instruct } from '../../controller/reconcile/instruct.ts';
import { WriteMemory } from '../../controller/reconcile/memory.ts';
import { PodLeases } from '../../controller/reconcile/podleases.ts';
import { RunMemory } from '../../controller/reconcile/runmemory.ts';
import type { PullTarget } from '../../controller/telemetry/pull/puller.ts';
import { Telemetry } from '../../controller/telemetry/telemetry.ts';
import { memoryStore, Rows } from '../chaos/memorystore.ts';
import { ManualClock } from './manualclock.ts';
import { attempt, isoAt, nowMs, snapshot, uid } from './snapshot.ts';

const { job } = snapshot();
const key = `${job.metadata.namespace}/${job.metadata.name}`;

/** What is called at the moment, by job. */
class Called {
  readonly targets = new Map<string, PullTarget>();
  begin(target: PullTarget): void {
    this.targets.set(target.uid, target);
  }
  end(of: string): void {
    this.targets.delete(of);
  }
}

function parts() {
  const clock = new ManualClock();
  const store = memoryStore(new Rows(), async (_, commit) => commit());
  const telemetry = new Telemetry({
    store,
    clock,
    keyring: { current: 'k1', keys: { k1: Buffer.alloc(32, 1) } },
    log: pino({ enabled: false }),
    onChange: () => undefined,
  });
  return { store, telemetry, pulls: new Called() };
}

const pulled: Attempt = attempt({ transport: 'Pull' });
const status = (changes: TrainingJobStatus): TrainingJobStatus => ({ observedGeneration: 1, ...changes });

describe('whose pod is called', () => {
  test('that of an attempt that is there and was born to be called', async () => {
    const { telemetry, pulls } = parts();
    await instruct(telemetry, pulls, job, status({ attempt: pulled }));
    expect([...pulls.targets.values()]).toEqual([{ uid, attempt: 1, nonce: 'x9q2', podID: 'pod1' }]);
    expect(telemetry.attempt(uid, 1)).toMatchObject({ podID: 'pod1', closed: false });
  });

  test.each<[string, TrainingJobStatus]>([
    ['is not known yet', { attempt: { ...pulled, state: 'Unknown' } }],
    ['is yet to be asked for', { attempt: { ...pulled, number: 2, state: 'Intent' } }],
    ['is proved gone', { attempt: { ...pulled, state: 'Gone' } }],
    ['never appeared', { attempt: { ...pulled, state: 'Abandoned' } }],
    ['was refused', { attempt: { ...pulled, state: 'Refused' } }],
    ['belongs to a job that is over', { attempt: pulled, completionTime: isoAt(0) }],
    ['is not in the status any more', {}],
  ])('and none that %s', async (_, next) => {
    const { telemetry, pulls } = parts();
    await instruct(telemetry, pulls, job, status({ attempt: pulled }));
    await instruct(telemetry, pulls, job, status(next));
    expect(pulls.targets.size).toBe(0);
  });

  test.each([undefined, 'Push'] as const)(
    'and none that calls by itself (%s), whatever the spec says',
    async (said) => {
      const { telemetry, pulls } = parts();
      const { transport: _, ...rest } = pulled;
      const asks = { ...job, spec: { ...job.spec, telemetry: { transport: 'Pull' as const } } };
      await instruct(telemetry, pulls, asks, status({ attempt: { ...rest, ...(said && { transport: said }) } }));
      expect(pulls.targets.size).toBe(0);
    },
  );

  test('a pod that is being ended is called until it is gone: its final report may be on the way', async () => {
    const { telemetry, pulls } = parts();
    const end = { reason: 'PodLost', message: '', time: isoAt(0) };
    await instruct(telemetry, pulls, job, status({ attempt: { ...pulled, end } }));
    expect(pulls.targets.size).toBe(1);
  });

  describe('a job that the list lacks', () => {
    const known = async (
      isGone: () => Promise<boolean>,
    ): Promise<ReturnType<typeof parts> & { books: Bookkeeping }> => {
      const all = parts();
      const { store, telemetry, pulls } = all;
      let there = true;
      const found = (): typeof job | undefined => (there ? job : undefined);
      const books = new Bookkeeping({
        jobs: { get: found, byUid: found },
        telemetry,
        pulls,
        memory: new WriteMemory(nowMs),
        leases: new PodLeases(telemetry),
        runs: new RunMemory(store),
        accounts: { all: () => [] },
        isGone,
        log: pino({ enabled: false }),
      });
      await books.begin(key);
      await instruct(telemetry, pulls, job, status({ attempt: pulled }));
      there = false;
      return { ...all, books };
    };

    test('nothing of it is left once the API server says that it is gone (I17)', async () => {
      const { books, telemetry, pulls } = await known(async () => true);
      await books.begin(key);
      expect(pulls.targets.size).toBe(0);
      expect(telemetry.attempt(uid, 1)).toBeUndefined();
    });

    test('all of it stays while the API server has it, or cannot be asked (I7)', async () => {
      const { books, telemetry, pulls } = await known(async () => false);
      await books.begin(key);
      await books.forgetGone();
      expect(pulls.targets.size).toBe(1);
      expect(telemetry.attempt(uid, 1)).toBeDefined();
      const silent = await known(() => Promise.reject(new Error('away')));
      await expect(silent.books.begin(key)).rejects.toThrow('away');
      await silent.books.forgetGone();
      expect(silent.telemetry.attempt(uid, 1)).toBeDefined();
    });

    test('a process that starts after its end forgets it', async () => {
      const { books, telemetry } = await known(async () => true);
      await books.forgetGone();
      expect(telemetry.attempt(uid, 1)).toBeUndefined();
    });
  });
});
