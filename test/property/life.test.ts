import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { plain } from '../chaos/scenarios.ts';
import { once, type Scenario } from '../chaos/scenario.ts';
import { trainsWell, type Behaviour } from '../chaos/trainer.ts';
import { World } from '../chaos/world.ts';
import { explore } from './runs.ts';
import { play, stories, wiped } from './story.ts';

explore(400);

const minutes = 60_000;

test(
  'whatever is edited, interrupted or lost, every job comes to its end or to rest, and every invariant holds',
  () =>
    fc.assert(
      fc.asyncProperty(stories, async (story) => {
        const world = await play(story);
        expect(world.monitors.broken).toEqual([]);
      }),
    ),
  60 * minutes,
);

test(
  'a status that is wiped by hand at any time costs no second pod and leaves none',
  () =>
    fc.assert(
      fc.asyncProperty(stories, fc.nat(60), fc.nat(12), async ({ steps, trainers }, afterSeconds, at) => {
        const world = await play({ steps: steps.toSpliced(at, 0, { afterSeconds, act: wiped }), trainers });
        expect(world.monitors.broken).toEqual([]);
      }),
      { numRuns: Math.ceil((fc.readConfigureGlobal().numRuns ?? 100) / 4) },
    ),
  60 * minutes,
);

const story: Scenario = { name: 'a story', spec: plain, ends: 'Succeeded' };

test.each([undefined, 'crashBefore', 'crashAfter'] as const)(
  'a status that is wiped while the pod of a success ends: nothing is rented again (%s)',
  async (mishap) => {
    for (let at = 0; at < (mishap ? 5 : 1); at += 1) {
      const user = once('Terminating', 200, (world) => {
        world.byHand(() => world.cluster.wipeStatus('fit'));
        if (mishap) world.seam.strike(mishap, at);
      });
      const world = await new World({ ...story, user }).live();
      expect(world.monitors.broken).toEqual([]);
      expect(world.account.rented).toHaveLength(1);
      expect(world.cluster.job('fit')?.status?.outcome).toMatchObject({ reason: 'TrainerSucceeded' });
    }
  },
);

test('a list from before a job existed takes nothing of what its trainer reported', async () => {
  const user = once('Running', 60_000, (world) => {
    world.cluster.freeze(100);
    world.clock.after(30_000, () => world.cluster.freeze(undefined));
    if (world.operator) world.crash(world.operator);
  });
  const world = await new World({ ...story, user }).live();
  expect(world.monitors.broken).toEqual([]);
  expect(world.account.rented).toHaveLength(1);
  expect(world.cluster.job('fit')?.status).toMatchObject({ phase: 'Succeeded', progress: { step: 12 } });
});

test('a telemetry store that is lost while a job runs: best and checkpoint stay, and the next attempt goes on from them', async () => {
  const spec = { ...plain, runPolicy: { ...plain.runPolicy, hostFaultLimit: 1 } };
  const user = once('Running', 75_000, (world) => {
    if (world.operator) world.crash(world.operator);
    world.rows.lose();
    world.clock.after(6000, () => world.account.ours().forEach((pod) => world.account.end(pod, 0)));
  });
  // The trainer gets worse: nothing that it reports later is as good.
  const trainer = (pod: number): Behaviour => ({ ...trainsWell, ...(pod > 1 && { worse: true }) });
  const world = await new World({ ...story, spec, user, trainer }).live();
  expect(world.monitors.broken.filter((what) => !what.startsWith('I7'))).toEqual([]);
  expect(world.cluster.job('fit')?.status).toMatchObject({
    phase: 'Succeeded',
    attempt: { number: 2, resumedFromStep: 6 },
    best: { step: 6, verified: true },
  });
});

test('a suspended job rents nothing, however long, and then goes on; a time to live ends its object', async () => {
  const runPolicy = { ...plain.runPolicy, placementDeadlineSeconds: 600, ttlSecondsAfterFinished: 100 };
  const world = new World({ ...story, spec: { ...plain, suspend: true, runPolicy } });
  world.begin();
  await world.clock.pass(120 * minutes);
  expect(world.cluster.job('fit')?.status?.phase).toBe('Suspended');
  expect(world.account.rented).toEqual([]);
  world.cluster.edit('fit', (spec) => ({ ...spec, suspend: false }));
  await world.clock.pass(20 * minutes, () => world.cluster.job('fit')?.status?.phase === 'Succeeded');
  await world.clock.pass(99_000);
  expect(world.cluster.job('fit')?.metadata.deletionTimestamp).toBeUndefined();
  await world.rest(() => world.cluster.jobs().length === 0);
  expect(world.account.rented).toHaveLength(1);
  expect(world.monitors.broken).toEqual([]);
});

test('a job whose trainer fails every time is tried again as often as it may, and no more', async () => {
  const spec = { ...plain, runPolicy: { ...plain.runPolicy, backoffLimit: 2 } };
  const world = await new World({ ...story, spec, trainer: () => ({ ...trainsWell, failsAtStep: 2 }) }).live();
  expect(world.monitors.broken).toEqual([]);
  expect(world.account.rented).toHaveLength(3);
  expect(world.cluster.job('fit')?.status).toMatchObject({
    phase: 'Failed',
    retries: { user: 2, host: 0, interruption: 0 },
  });
});
