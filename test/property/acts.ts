import * as fc from 'fast-check';
import type { TrainingJobSpec } from '../../controller/api/trainingjob.ts';
import { RunpodError } from '../../controller/runpod/errors.ts';
import type { RentedPod } from '../chaos/account.ts';
import type { WatchFault } from '../chaos/cluster.ts';
import { plain } from '../chaos/scenarios.ts';
import type { Mishap } from '../chaos/seam.ts';
import type { World } from '../chaos/world.ts';
import { spec } from '../unit/snapshot.ts';

/** The one job that stories tell of. */
export const name = 'fit';
const [small, large] = spec.compute.candidates;
if (!small || !large) throw new Error('the spec of the tests has two candidates');
const candidates = {
  small: [small],
  large: [large],
  both: [small, large],
  turned: [large, small],
  capped: [{ ...small, maxPricePerHour: '0.05' }, large],
};

/** Times short enough for a story of minutes; one retry of each kind at first. */
export const shortLived: TrainingJobSpec = {
  ...plain,
  runPolicy: {
    ...plain.runPolicy,
    backoffLimit: 1,
    hostFaultLimit: 1,
    interruptionLimit: 1,
    startDeadlineSeconds: 150,
    placementDeadlineSeconds: 900,
  },
  watchdog: { ...plain.watchdog, heartbeatTimeoutSeconds: 90, noProgressTimeoutSeconds: 300 },
};

/** Something that happens, and its words. */
export type Act = readonly [string, (world: World) => void];

/** What users do to the spec. */
const edits: fc.Arbitrary<Act> = fc.oneof(
  choice('suspend', [true, true, false], (suspend) => edit((old) => ({ ...old, suspend }))),
  choice('restartToken', ['', 'one', 'two'], (restartToken) => edit((old) => ({ ...old, restartToken }))),
  choice('candidates', ['small', 'large', 'both', 'turned', 'capped'] as const, (which) =>
    edit((old) => ({ ...old, compute: { ...old.compute, candidates: candidates[which] } })),
  ),
  choice('budget', ['0.002', '0.01', '1', 'none'], (maxTotal) =>
    edit(({ budget: _old, ...old }) => (maxTotal === 'none' ? old : { ...old, budget: { maxTotal } })),
  ),
  choice('backoffLimit', [0, 1, 3], (backoffLimit) => edit(policy({ backoffLimit }))),
  choice('hostFaultLimit', [0, 2], (hostFaultLimit) => edit(policy({ hostFaultLimit }))),
  choice('activeDeadlineSeconds', [30, 300], (activeDeadlineSeconds) => edit(policy({ activeDeadlineSeconds }))),
  choice('placementDeadlineSeconds', [30, 900], (seconds) => edit(policy({ placementDeadlineSeconds: seconds }))),
  choice('ttlSecondsAfterFinished', [0, 60], (seconds) => edit(policy({ ttlSecondsAfterFinished: seconds }))),
);

const deletions: fc.Arbitrary<Act> = fc.constantFrom<Act>(
  ['deleted', (world) => world.cluster.delete(name)],
  [
    'deleted, and applied again',
    (world) => {
      world.cluster.delete(name);
      if (!applying.has(world)) applyOnceGone(world);
    },
  ],
);

/** What becomes of pods and creates. */
const pods: fc.Arbitrary<Act> = fc.oneof(
  fc.constantFrom<Act>(
    ['its host is lost', (world) => each(world, (pod) => world.account.end(pod, 0))],
    ['its pod stands as EXITED', (world) => each(world, (pod) => (pod.stands = 'EXITED'))],
    ['its pod stands as ERROR', (world) => each(world, (pod) => (pod.stands = 'ERROR'))],
    ['no capacity from here on', (world) => (world.account.place = () => noStock)],
    ['capacity', (world) => (world.account.place = () => ({}))],
    ['the next create loses its answer', (world) => once(world, () => ({ replyLost: true }))],
    ['the next create is dark and makes nothing', (world) => once(world, () => dark)],
    ['the next pod is listed late', (world) => once(world, () => ({ replyLost: true, lagMs: 120_000 }))],
    ['the next pod comes up elsewhere, and dear', (world) => once(world, () => ({ costUsdPerHour: 9 }))],
    ['logs of pods hang', (world) => (world.account.logsHang = true)],
    ['two deletes are answered with 404', (world) => (world.account.denies = 2)],
  ),
  fc.integer({ min: 5, max: 60 }).map((seconds): Act => [
    `the key is lost for ${seconds} s`,
    (world) => {
      world.account.keyGood = false;
      late(world, seconds, () => (world.account.keyGood = true));
    },
  ]),
);

const oldListSeconds = 40;

const mishaps: readonly Mishap[] = [
  'crashBefore',
  'crashAfter',
  'failBefore',
  'failAfter',
  'staleResource',
  'staleInventory',
  'staleBoth',
  'staleBothCrash',
  'leaseLost',
];

/** What happens to the operator and its views. */
const faults: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(fc.constantFrom(...mishaps), fc.nat(4))
      .map(([mishap, after]): Act => [`${mishap} after ${after} writes`, (world) => world.seam.strike(mishap, after)]),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom<WatchFault>('drop', 'duplicate', 'swap'), fc.nat(3))
      .map(([fault, after]): Act => [
        `the watch meets ${fault} after ${after} changes`,
        (world) => (world.cluster.watchFault = { index: world.cluster.changes + after, fault }),
      ]),
  },
  {
    weight: 1,
    arbitrary: fc.integer({ min: 1, max: 120 }).map((seconds): Act => [
      `the operator is away for ${seconds} s`,
      (world) => {
        if (!world.operator) return;
        world.lateSeconds += seconds;
        world.crash(world.operator, seconds * 1000);
      },
    ]),
  },
  {
    weight: 1,
    arbitrary: fc.integer({ min: 1, max: 30 }).map((changes): Act => [
      `the operator restarts, and its list lacks the last ${changes} changes`,
      (world) => {
        if (!world.operator) return;
        world.cluster.freeze(Math.max(100, world.cluster.version - changes));
        late(world, oldListSeconds, () => world.cluster.freeze(undefined));
        world.crash(world.operator);
      },
    ]),
  },
  {
    weight: 1,
    arbitrary: fc.constant<Act>([
      'another leads',
      (world) => {
        const { operator } = world;
        if (!operator) return;
        operator.fenced = true;
        world.replace(operator);
      },
    ]),
  },
);

export const everything = fc.oneof(
  { weight: 8, arbitrary: edits },
  { weight: 1, arbitrary: deletions },
  { weight: 7, arbitrary: pods },
  { weight: 10, arbitrary: faults },
);

function choice<T>(field: string, values: readonly T[], act: (value: T) => Act[1]): fc.Arbitrary<Act> {
  return fc.constantFrom(...values).map((value): Act => [`${field}: ${JSON.stringify(value)}`, act(value)]);
}

function edit(change: (old: TrainingJobSpec) => TrainingJobSpec): Act[1] {
  return (world) => world.cluster.edit(name, change);
}

function policy(change: Partial<TrainingJobSpec['runPolicy']>): (old: TrainingJobSpec) => TrainingJobSpec {
  return (old) => ({ ...old, runPolicy: { ...old.runPolicy, ...change } });
}

const noStock = new RunpodError('capacity', 'there are no instances available', { status: 400 });
const dark = new RunpodError('unknownOutcome', '502');

type Place = World['account']['place'];

/** The next create alone is answered so. */
function once(world: World, place: Place): void {
  const { account } = world;
  const after = account.place;
  account.place = (body, count) => {
    account.place = after;
    return place(body, count);
  };
}

function each(world: World, act: (pod: RentedPod) => void): void {
  for (const pod of world.account.ours()) act(pod);
}

/** Something that keeps the operator from its work for so long. */
function late(world: World, seconds: number, over: () => void): void {
  world.lateSeconds += seconds;
  world.clock.after(seconds * 1000, over);
}

/** Worlds whose user waits for the object to go, to apply it again. */
export const applying = new WeakSet<World>();

function applyOnceGone(world: World): void {
  if (world.cluster.job(name)) {
    applying.add(world);
    world.clock.after(1000, () => applyOnceGone(world));
    return;
  }
  applying.delete(world);
  world.cluster.apply(name, shortLived);
}
