import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { explore } from './runs.ts';
import { effects, mishaps, World, type Fault, type Plot } from './world.ts';

explore(600);

const faults: readonly Fault[] = [
  'create:refuse',
  ...effects.flatMap((effect) => mishaps.map((mishap): Fault => `${effect}:${mishap}`)),
];

const undisturbed: Plot = { fault: 'none', after: 0 };

type Step = (world: World) => Promise<void> | void;

const named = (name: string, run: Step): { readonly run: Step; toString(): string } => ({ run, toString: () => name });
const steps = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.constant(named('pass', (world) => world.passes(undisturbed))) },
    {
      weight: 5,
      arbitrary: fc
        .tuple(fc.constantFrom(...faults), fc.nat(3))
        .map(([fault, after]) => named(`pass with ${fault} after ${after}`, (world) => world.passes({ fault, after }))),
    },
    { weight: 6, arbitrary: fc.constant(named('list', (world) => world.list())) },
    { weight: 1, arbitrary: fc.constant(named('list fails', (world) => world.list(true))) },
    {
      weight: 5,
      arbitrary: fc
        .integer({ min: 1, max: 60 })
        .map((seconds) => named(`${seconds} s`, (world) => world.clock.advance(seconds * 1000))),
    },
    { weight: 2, arbitrary: fc.constant(named('restart', (world) => world.boot())) },
    { weight: 3, arbitrary: fc.constant(named('watch', (world) => world.watch())) },
    { weight: 2, arbitrary: fc.constant(named('contact', (world) => world.hear('contact'))) },
    {
      weight: 2,
      arbitrary: fc
        .constantFrom('checkpoint' as const, 'succeeded' as const, 'failed' as const, 'preempted' as const)
        .map((word) => named(word, (world) => world.hear(word))),
    },
    {
      weight: 1,
      arbitrary: fc.boolean().map((suspend) => named(`suspend: ${suspend}`, (world) => world.patch({ suspend }))),
    },
    {
      weight: 1,
      arbitrary: fc
        .constantFrom('', 'one', 'two')
        .map((restartToken) => named(`restartToken: ${restartToken}`, (world) => world.patch({ restartToken }))),
    },
    { weight: 1, arbitrary: fc.constant(named('job deleted', (world) => world.deleteJob())) },
    { weight: 1, arbitrary: fc.constant(named('pods lost', (world) => world.live.clear())) },
  ),
  { maxLength: 60 },
);

/** Faults stop, trainers report their end, lists come every ten seconds: the job must end, and with it the bill (I13). */
async function calm(world: World): Promise<void> {
  world.patch({ suspend: false });
  for (let round = 0; round < 200; round += 1) {
    world.clock.advance(10_000);
    world.watch();
    await world.list();
    world.hear('succeeded');
    await world.passes(undisturbed);
    const { status, spec } = world.job ?? {};
    const finished = status?.completionTime !== undefined && status.run?.restartToken === spec?.restartToken;
    if (!world.job || finished) break;
  }
  world.watch();
  await world.passes(undisturbed);
}

test('whatever is interrupted or lost, a job has one pod at a time, ends, and leaves none billing (I1 to I5, I13)', async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.constantFrom(0, 5000), async (history, lagMs) => {
      const world = new World();
      world.lagMs = lagMs;
      await world.list();
      for (const step of history) await step.run(world);
      await calm(world);
      expect(world.live.size).toBe(0);
      if (world.job) {
        expect(world.job.status?.completionTime).toBeDefined();
        expect(['Succeeded', 'Failed']).toContain(world.job.status?.phase);
      }
      expect(world.broken).toEqual([]);
    }),
  );
});

test('a status that is wiped by hand at any time costs no second pod and leaves none', async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.nat(60), async (history, when) => {
      const world = new World();
      await world.list();
      for (const [index, step] of history.entries()) {
        if (index === when) {
          // The list of before shows the pod, as it does unless the wipe comes in the ten seconds after a create.
          await world.list();
          world.wipeStatus();
          world.watch();
        }
        await step.run(world);
      }
      await calm(world);
      expect(world.live.size).toBe(0);
      expect(world.broken).toEqual([]);
    }),
  );
});

test('a job whose trainer fails every time is tried again as often as it may, and no more', async () => {
  const world = new World();
  for (let round = 0; round < 60 && world.job?.status?.completionTime === undefined; round += 1) {
    world.clock.advance(10_000);
    await world.list();
    world.hear('failed');
    await world.passes(undisturbed);
    world.watch();
  }
  expect(world.broken).toEqual([]);
  expect(world.asked).toHaveLength(3);
  expect(world.job?.status).toMatchObject({ phase: 'Failed', retries: { user: 2, host: 0, interruption: 0 } });
});

test('a suspended job rents nothing, however long, and then goes on; a time to live ends its object', async () => {
  const world = new World();
  world.patch({ suspend: true, runPolicy: { ...world.job!.spec.runPolicy, ttlSecondsAfterFinished: 100 } });
  for (let round = 0; round < 5; round += 1) {
    world.watch();
    await world.list();
    await world.passes(undisturbed);
    world.clock.advance(20_000_000);
  }
  expect(world.job?.status?.phase).toBe('Suspended');
  expect(world.asked).toEqual([]);
  await calm(world);
  expect(world.job?.status?.phase).toBe('Succeeded');
  world.clock.advance(99_000);
  await world.passes(undisturbed);
  expect(world.job?.metadata.deletionTimestamp).toBeUndefined();
  world.clock.advance(1000);
  for (let round = 0; round < 3; round += 1) {
    await world.passes(undisturbed);
    world.watch();
  }
  expect(world.job).toBeUndefined();
  expect(world.broken).toEqual([]);
});

test('an undisturbed job: one create, one pod, success', async () => {
  const world = new World();
  await calm(world);
  expect(world.broken).toEqual([]);
  expect(world.asked).toHaveLength(1);
  expect(world.job?.status).toMatchObject({ phase: 'Succeeded', attempt: { state: 'Gone', number: 1 } });
});
