import pino from 'pino';
import { describe, expect, test } from 'vitest';
import { podName } from '../../controller/api/identity.ts';
import type { Attempt, TrainingJob, TrainingJobStatus } from '../../controller/api/trainingjob.ts';
import { orphans, Sightings } from '../../controller/reconcile/sweep.ts';
import { Sweeper } from '../../controller/reconcile/sweeper.ts';
import { Waiting } from '../../controller/reconcile/waiting.ts';
import type { CloudPod } from '../../controller/runpod/cloudpod.ts';
import { RunpodError } from '../../controller/runpod/errors.ts';
import type { InventoryView, ListRecord } from '../../controller/runpod/inventory.ts';
import { at, attempt, installation, isoAt, list, nameOf, pod, snapshot, uid } from './snapshot.ts';

function job(status: TrainingJobStatus = {}, deletionTimestamp?: string): TrainingJob {
  return snapshot({ status, metadata: { ...(deletionTimestamp !== undefined && { deletionTimestamp }) } }).job;
}

describe('orphans', () => {
  const reason = (seen: CloudPod, jobs: readonly TrainingJob[]): string | undefined =>
    orphans([seen], jobs, installation)[0]?.reason;
  const holding = (changes: Partial<Attempt>): readonly TrainingJob[] => [job({ attempt: attempt(changes) })];
  const second = pod({ attempt: 2 });

  const cases: readonly (readonly [string, CloudPod, readonly TrainingJob[], string | undefined])[] = [
    ['a pod of a job that is not there', pod(), [], 'UnknownJob'],
    ['the recorded pod', pod(), holding({}), undefined],
    ['a second pod of the recorded attempt', pod({ id: 'twin' }), holding({}), 'OldAttempt'],
    ['a pod of an older attempt', pod(), holding({ number: 2 }), 'OldAttempt'],
    ['a pod of a later attempt: the cache is behind', second, holding({}), undefined],
    ['a pod of a job whose status is empty: the job takes it back', pod(), [job()], undefined],
    ['the pod of an intent', pod(), holding({ state: 'Intent' }), undefined],
    ['the pod of an unknown outcome', pod(), holding({ state: 'Unknown' }), undefined],
    ['the pod of a refused create', pod(), holding({ state: 'Refused' }), 'AttemptOver'],
    ['the late pod of an attempt that was given up', pod(), holding({ state: 'Abandoned' }), 'AttemptOver'],
    ['a pod that was proved gone and is back', pod(), holding({ state: 'Gone' }), 'AttemptOver'],
    ['a pod that is terminated already', pod({ status: 'TERMINATED' }), [], undefined],
    [
      'a pod of another installation',
      pod({ name: podName({ installation: 'zzzzzz', uid12: '0123abcd4567', attempt: 1, nonce: 'abcd' }, 'fit') }),
      [],
      undefined,
    ],
    ['a notebook', pod({ name: 'my-notebook' }), [], undefined],
    ['a name that only begins like ours', pod({ name: `tj-${installation}-notebook` }), [], undefined],
  ];
  test.each(cases)('%s', (_, seen, jobs, expected) => expect(reason(seen, jobs)).toBe(expected));
});

describe('sightings', () => {
  const orphan = { podID: 'a', podName: 'x', reason: 'UnknownJob' } as const;
  const gap = 30_000;

  test('two at least the gap apart make an orphan ripe', () => {
    const sightings = new Sightings();
    expect(sightings.ripe([orphan], at(0), gap)).toEqual([]);
    expect(sightings.ripe([orphan], at(29.999), gap)).toEqual([]);
    expect(sightings.ripe([orphan], at(30), gap)).toEqual([orphan]);
    expect(sightings.ripe([orphan], at(40), gap)).toEqual([orphan]);
  });

  test('the same list twice is one sighting', () => {
    const sightings = new Sightings();
    sightings.ripe([orphan], at(0), gap);
    expect(sightings.ripe([orphan], at(0), gap)).toEqual([]);
  });

  test('with a gap of zero the second look ends it', () => {
    const sightings = new Sightings();
    expect(sightings.ripe([orphan], at(0), 0)).toEqual([]);
    expect(sightings.ripe([orphan], at(1), 0)).toEqual([orphan]);
  });

  test('one that was away in between begins anew', () => {
    const sightings = new Sightings();
    sightings.ripe([orphan], at(0), gap);
    sightings.ripe([], at(20), gap);
    expect(sightings.ripe([orphan], at(40), gap)).toEqual([]);
    expect(sightings.ripe([orphan], at(70), gap)).toEqual([orphan]);
  });
});

function view(
  pods: readonly CloudPod[],
  lists: readonly ListRecord[],
  more: Partial<InventoryView> = {},
): InventoryView {
  return { pods, lists, error: undefined, suspicious: false, ...more };
}

describe('the sweeper', () => {
  function sweeper(
    jobs: readonly TrainingJob[],
    live: ReadonlySet<string> | Error,
  ): { readonly it: Sweeper; readonly ended: string[] } {
    const ended: string[] = [];
    const it = new Sweeper({
      installation,
      gapMs: 30_000,
      jobs: () => jobs,
      liveUids: () => (live instanceof Error ? Promise.reject(live) : Promise.resolve(live)),
      deleteCloudPod: (podID) => {
        ended.push(podID);
        return podID === 'locked' ? Promise.reject(new RunpodError('conflict', 'locked')) : Promise.resolve();
      },
      log: pino({ enabled: false }),
      swept: () => undefined,
    });
    return { it, ended };
  }
  const looks = async (it: Sweeper, pods: readonly CloudPod[], more: Partial<InventoryView> = {}): Promise<boolean> => {
    it.look(view(pods, [list(0)]));
    const again = it.look(view(pods, [list(0), list(31)], more));
    await it.stop();
    return again;
  };

  test('ends what it saw twice, asks for further lists meanwhile, and one failure does not stop it', async () => {
    const { it, ended } = sweeper([], new Set());
    expect(await looks(it, [pod({ id: 'locked' }), pod()])).toBe(true);
    expect(ended).toEqual(['locked', 'pod1']);
  });

  test('ends nothing while the cache lacks a job that the API server has', async () => {
    const { it, ended } = sweeper([], new Set([uid]));
    await looks(it, [pod()]);
    expect(ended).toEqual([]);
  });

  test('ends nothing while the API server cannot be asked', async () => {
    const { it, ended } = sweeper([], new Error('503'));
    await looks(it, [pod()]);
    expect(ended).toEqual([]);
  });

  test.each([
    ['a list that is not believed', { suspicious: true }],
    ['a list that failed', { error: new RunpodError('transient', '502') }],
  ])('draws nothing from %s', async (_, more) => {
    const { it, ended } = sweeper([], new Set());
    expect(await looks(it, [pod()], more)).toBe(false);
    expect(ended).toEqual([]);
  });

  test('does nothing without a list or an orphan', () => {
    const { it } = sweeper([], new Set());
    expect(it.look(view([pod()], []))).toBe(false);
    expect(it.look(view([], [list(0)]))).toBe(false);
  });
});

describe('who waits for a list', () => {
  const key = 'team/fit';
  function waiting(jobs: readonly TrainingJob[]): { readonly it: Waiting; readonly due: string[] } {
    const due: string[] = [];
    return { it: new Waiting({ list: () => jobs }, (found) => due.push(found)), due };
  }

  test('a key is due with each list until it waits no more', () => {
    const { it, due } = waiting([]);
    expect(it.any).toBe(false);
    it.set(key, true);
    it.set('(sweeper)', true);
    expect(it.any).toBe(true);
    it.listed(view([], [list(0)]));
    it.listed(view([], [list(1)]));
    expect(due).toEqual([key, key]);
    it.set(key, false);
    it.listed(view([], [list(2)]));
    expect(due).toHaveLength(2);
  });

  test('a job is due when its pods change, not when they stay', () => {
    const { it, due } = waiting([job({ attempt: attempt() })]);
    for (const pods of [[], [pod()], [pod()], [pod({ costUsdPerHour: 9 })], [pod({ costUsdPerHour: 9 })], []]) {
      it.listed(view(pods, [list(0)]));
    }
    expect(due).toHaveLength(4);
  });

  test('a pod that came and went between two lists: the job is due with each list that lacks it', () => {
    const jobs = [job()];
    const { it, due } = waiting(jobs);
    it.listed(view([], [list(0)]));
    due.length = 0;
    jobs[0] = job({ attempt: attempt() });
    it.listed(view([], [list(1)]));
    it.listed(view([], [list(2)]));
    expect(due).toEqual([key, key]);
  });

  test('all unfinished jobs are due when the account begins or ceases to refuse us', () => {
    const done = job({ completionTime: isoAt(-1) });
    const other = {
      ...done,
      metadata: { ...done.metadata, uid: 'ffffffff-0000-4000-8000-000000000000', name: 'done' },
    };
    const { it, due } = waiting([job(), other]);
    it.listed(view([], [list(0)]));
    due.length = 0;
    const refused = { error: new RunpodError('unauthorized', 'revoked') };
    it.listed(view([], [list(0)], refused));
    it.listed(view([], [list(0)], refused));
    it.listed(view([], [list(0), list(1)]));
    expect(due).toEqual([key, key]);
  });

  test.each([
    ['a rented pod', job({ attempt: attempt() }), ['pod1']],
    ['not one that was asked to end', job({ attempt: attempt({ billedTo: isoAt(-1) }) }), []],
    [
      'not one of a run that is over',
      job({ attempt: attempt(), outcome: { result: 'Failed', reason: 'X', time: isoAt(-1) } }),
      [],
    ],
    [
      'not one that is to be ended',
      job({ attempt: attempt({ end: { reason: 'X', message: '', time: isoAt(-1) } }) }),
      [],
    ],
    ['not one of a job that is being deleted', job({ attempt: attempt() }, isoAt(-1)), []],
    ['not one of which nothing is known', job({ attempt: attempt({ state: 'Unknown' }) }), []],
  ] as const)('must be in a list: %s', (_, given, expected) => {
    expect([...waiting([given]).it.expectedPods()]).toEqual(expected);
  });

  test('names in the tests are those of the product', () =>
    expect(nameOf(1)).toBe('tj-abc123-0123abcd4567-a1-x9q2-fit'));
});
