import * as fc from 'fast-check';
import { trainsWell, type Behaviour } from '../chaos/trainer.ts';
import { World } from '../chaos/world.ts';
import { applying, everything, name, shortLived, type Act } from './acts.ts';

/** What happens at one moment of a story; its name is what a failure prints. */
export interface Step {
  readonly afterSeconds: number;
  readonly act: (world: World) => void;
  toString(): string;
}

/** A job's life among edits, mishaps and trainers of every kind. */
export interface Story {
  readonly steps: readonly Step[];
  /** How the trainers behave, in the order of their pods; those that come later train well. */
  readonly trainers: readonly Behaviour[];
}

const behaviours: fc.Arbitrary<Behaviour> = fc
  .record({
    trainSeconds: fc.constantFrom(30, 60, 120),
    end: fc.constantFrom<Behaviour['end']>('Succeeded', 'Succeeded', 'Failed', 'crashes', 'goes silent'),
    failsAtStep: fc.option(fc.integer({ min: 1, max: 8 }), { nil: undefined, freq: 4 }),
    connects: fc.constantFrom(true, true, true, true, true, false),
    repeats: fc.boolean(),
    cut: fc.option(
      fc.tuple(fc.nat(100), fc.integer({ min: 5, max: 80 })).map(([from, length]) => ({ from, to: from + length })),
      { nil: undefined },
    ),
  })
  .map(({ failsAtStep, cut, ...rest }) => ({
    ...rest,
    ...(failsAtStep !== undefined && { failsAtStep }),
    ...(cut && { cut }),
  }));

function stepsOf(acts: fc.Arbitrary<Act>): fc.Arbitrary<readonly Step[]> {
  const step = fc.tuple(fc.integer({ min: 0, max: 60 }), acts).map(([afterSeconds, [words, act]]): Step => ({
    afterSeconds,
    act,
    toString: () => `${afterSeconds} s: ${words}`,
  }));
  return fc.array(step, { maxLength: 12 });
}

export const stories: fc.Arbitrary<Story> = fc.record({
  steps: stepsOf(everything),
  trainers: fc.array(behaviours, { maxLength: 4 }),
});

/** Plays a story, then lets all that disturbs it end, and goes on until every job came to its end or to rest (I13). */
export async function play({ steps, trainers }: Story): Promise<World> {
  const calmed = { yet: false };
  const world = new World({
    name: 'a story',
    spec: shortLived,
    ends: 'Succeeded',
    trainer: (pod) => (calmed.yet ? trainsWell : (trainers[pod - 1] ?? trainsWell)),
  });
  world.begin();
  for (const { afterSeconds, act } of steps) {
    await world.clock.pass(afterSeconds * 1000);
    act(world);
  }
  calmed.yet = true;
  world.seam.calm();
  world.account.place = () => ({});
  world.account.logsHang = false;
  world.cluster.edit(name, (old) => ({ ...old, suspend: false }));
  return world.rest(() => isAtRest(world));
}

/** How long after a create a list surely shows its pod. */
const listedMs = 15_000;

/**
 * Somebody removes the status by hand, once the newest list shows every pod of the job: of a pod that only the status knew, nobody
 * can know any more.
 */
export function wiped(world: World): void {
  const nowMs = world.clock.now();
  const { attempt } = world.cluster.job(name)?.status ?? {};
  const isKnown = attempt?.state !== 'Intent' && attempt?.state !== 'Unknown';
  const isListed = world.account.ours().every(({ listedFromMs }) => nowMs >= listedFromMs + listedMs);
  if (isKnown && isListed && world.operator && world.account.frozenAtMs === undefined)
    world.byHand(() => world.cluster.wipeStatus(name));
  else world.clock.after(5000, () => wiped(world));
}

function isAtRest(world: World): boolean {
  const over = world.cluster
    .jobs()
    .every(
      ({ status, spec: { restartToken } }) =>
        status?.completionTime !== undefined && status.run?.restartToken === restartToken,
    );
  return over && !applying.has(world) && world.account.keyGood && world.account.ours().length === 0;
}
