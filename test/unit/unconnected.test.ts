import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Trial } from '../../controller/accounts/trial.ts';
import { pausedUntilMs, unconnected } from '../../controller/accounts/unconnected.ts';
import type { LedgerEntry, TrainingJob, TrainingJobStatus } from '../../controller/api/trainingjob.ts';
import { ManualClock } from './manualclock.ts';
import { attempt, isoAt, snapshot } from './snapshot.ts';

/** A line of the ledger that ended so many seconds ago. */
function entry(secondsAgo: number, changes: Partial<LedgerEntry> = {}): LedgerEntry {
  return {
    number: 1,
    podName: 'p',
    podID: `pod${secondsAgo}`,
    candidate: 'small',
    account: 'team',
    reason: 'StartDeadlineExceeded',
    startTime: isoAt(-secondsAgo - 60),
    endTime: isoAt(-secondsAgo),
    ...changes,
  };
}
const heard = (secondsAgo: number): LedgerEntry => entry(secondsAgo, { activeSeconds: 0, reason: 'TrainerFailed' });

function job(name: string, status: Partial<TrainingJobStatus>): TrainingJob {
  const { job: whole } = snapshot({ metadata: { name, uid: name }, spec: { accountRef: { name: 'team' } } });
  return { ...whole, status: { observedGeneration: 1, ...status } };
}
const silent = (...secondsAgo: number[]): TrainingJob =>
  job('silent', { attempts: secondsAgo.map((ago) => entry(ago)) });
const rents = (changes = {}): TrainingJobStatus => ({
  observedGeneration: 1,
  attempt: attempt({ account: 'team', ...changes }),
});

describe('pods of an account that never connected, since the last that did', () => {
  test.each<[string, readonly TrainingJob[], number]>([
    ['no job', [], 0],
    ['three of one job', [silent(30, 20, 10)], 3],
    ['three of three jobs', [silent(30), silent(20), silent(10)], 3],
    ['one that was heard before them', [silent(20, 10), job('old', { attempts: [heard(30)] })], 2],
    ['one that was heard among them', [silent(30, 10), job('old', { attempts: [heard(20)] })], 1],
    ['one that was heard after them', [silent(30, 20), job('new', { attempts: [heard(10)] })], 0],
    ['one that is at work now', [silent(30, 20, 10), job('now', rents({ connectedTime: isoAt(-90) }))], 0],
    [
      'one that is at work in another account',
      [silent(30, 20, 10), job('now', rents({ account: 'x', connectedTime: isoAt(-90) }))],
      3,
    ],
    ['one that starts just now', [silent(30, 20, 10), job('now', rents())], 3],
    ['those of another account', [job('x', { attempts: [entry(10, { account: 'x' })] })], 0],
    ['one that a person ended', [job('x', { attempts: [entry(10, { reason: 'Suspended' })] })], 0],
    ['a create that made none', [job('x', { attempts: [(({ podID: _none, ...rest }) => rest)(entry(10))] })], 0],
  ])('%s', (_, jobs, count) => expect(unconnected(jobs, 'team').count).toBe(count));

  test('the newest are named', () =>
    expect(unconnected([silent(40, 30, 20, 10)], 'team').words).toBe(
      'pod10 of team/silent (StartDeadlineExceeded), pod20 of team/silent (StartDeadlineExceeded), pod30 of team/silent (StartDeadlineExceeded)',
    ));

  test('the order of jobs and lines does not matter', () => {
    const lines = fc.array(fc.tuple(fc.integer({ min: 1, max: 999 }), fc.boolean()), { maxLength: 8 });
    fc.assert(
      fc.property(lines, (given) => {
        const jobs = given.map(([ago, spoke], index) =>
          job(`j${index}`, { attempts: [spoke ? heard(ago) : entry(ago)] }),
        );
        const { count, lastEndMs } = unconnected(jobs, 'team');
        expect(unconnected(jobs.toReversed(), 'team')).toMatchObject({ count, lastEndMs });
        expect(count).toBeLessThanOrEqual(given.filter(([, spoke]) => !spoke).length);
      }),
    );
  });
});

test.each([
  [2, undefined],
  [3, 10],
  [4, 20],
  [6, 80],
  [99, 100],
])('after %i of them the pause is %s seconds', (count, seconds) => {
  const until = pausedUntilMs({ count, lastEndMs: 1000, words: '' }, { firstMs: 10_000, maxMs: 100_000 });
  expect(until).toBe(seconds === undefined ? undefined : 1000 + seconds * 1000);
});

describe('renting in an account whose pods never connect', () => {
  const asking = job('asking', {});
  const other = job('other', {});
  /** A minute's pause, that began ten seconds ago. */
  function trial(...more: TrainingJob[]): { clock: ManualClock; it: Trial } {
    const clock = new ManualClock();
    const jobs = [silent(30, 20, 10), ...more];
    return {
      clock,
      it: new Trial({ account: 'team', clock, jobs: () => jobs, pause: { firstMs: 60_000, maxMs: 60_000 } }),
    };
  }

  test('is stopped for a while, and the message does not change meanwhile', () => {
    const { clock, it } = trial();
    const told = it.closedTo(asking);
    expect(told).toMatchObject({ reason: 'PodsNeverConnect' });
    expect(told?.message).toContain(`Nothing is rented until ${isoAt(50)}; then one pod is tried.`);
    clock.advance(49_000);
    expect(it.closedTo(asking)).toEqual(told);
  });

  test('is then tried by one job at a time: the first that asks', () => {
    const { clock, it } = trial();
    clock.advance(51_000);
    expect(it.closedTo(asking)).toBeUndefined();
    expect(it.closedTo(other)?.message).toContain('One pod is tried at a time.');
    expect(it.closedTo(asking)).toBeUndefined();
    clock.advance(31_000);
    expect(it.closedTo(other)).toBeUndefined();
    expect(it.closedTo(asking)?.message).toContain('One pod is tried at a time.');
  });

  test('waits as long as another pod is tried, but not for its own', () => {
    const { clock, it } = trial(job('trying', rents()));
    clock.advance(51_000);
    expect(it.closedTo(other)?.message).toContain('now that of team/trying.');
    expect(it.closedTo(job('trying', rents()))).toBeUndefined();
  });

  test('is open to all as long as fewer than three were silent', () => {
    const jobs = [silent(20, 10)];
    const it = new Trial({
      account: 'team',
      clock: new ManualClock(),
      jobs: () => jobs,
      pause: { firstMs: 1, maxMs: 1 },
    });
    expect([asking, other].map((one) => it.closedTo(one))).toEqual([undefined, undefined]);
  });
});
