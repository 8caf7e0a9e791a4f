import type { TrainingJobSpec } from '../../controller/api/trainingjob.ts';
import { RunpodError } from '../../controller/runpod/errors.ts';
import { spec } from '../unit/snapshot.ts';
import { once, phases, type Scenario } from './scenario.ts';
import { trainsWell } from './trainer.ts';
import type { World } from './world.ts';

const [small, large] = spec.compute.candidates;
if (!small || !large) throw new Error('the spec of the tests has two candidates');

/** What most of them ask for: one candidate, a secret, and no retries unless they say how many. */
export const plain: TrainingJobSpec = {
  ...spec,
  compute: { ...spec.compute, candidates: [small] },
  trainer: {
    ...spec.trainer,
    env: [{ name: 'HF_TOKEN', valueFrom: { secretKeyRef: { name: 'hf', key: 'token' } } }],
  },
  runPolicy: { ...spec.runPolicy, backoffLimit: 0, hostFaultLimit: 0, interruptionLimit: 0 },
};
const twoCandidates = { ...plain, compute: { ...plain.compute, candidates: [small, large] } };

const deleted = phases.map((phase): Scenario => ({
  name: `deleted when ${phase}`,
  spec: plain,
  ends: 'Deleted',
  user: once(phase, 500, (world) => world.cluster.delete('fit')),
}));

const noStock = new RunpodError('capacity', 'there are no instances available', { status: 400 });

export const scenarios: readonly Scenario[] = [
  { name: 'success', spec: plain, ends: 'Succeeded', reason: 'TrainerSucceeded' },
  {
    name: 'the trainer fails',
    spec: plain,
    ends: 'Failed',
    reason: 'TrainerFailed',
    trainer: () => ({ trainSeconds: 60, end: 'Failed' }),
  },
  {
    name: 'no candidate can be had',
    spec: { ...twoCandidates, runPolicy: { ...plain.runPolicy, placementDeadlineSeconds: 200 } },
    ends: 'Failed',
    reason: 'PlacementDeadlineExceeded',
    prepare: (world) => (world.account.place = () => noStock),
  },
  ...deleted,
  {
    name: "a create's answer is lost",
    spec: plain,
    ends: 'Succeeded',
    reason: 'TrainerSucceeded',
    prepare: (world) => (world.account.place = (_body, count) => ({ replyLost: count === 0 })),
  },
  {
    name: 'a create that failed in the dark made no pod',
    spec: plain,
    ends: 'Succeeded',
    reason: 'TrainerSucceeded',
    prepare: (world) =>
      (world.account.place = (_body, count) => (count === 0 ? new RunpodError('unknownOutcome', '502') : {})),
  },
  {
    name: 'a pod appears long after it was given up',
    spec: plain,
    ends: 'Succeeded',
    reason: 'TrainerSucceeded',
    prepare: (world) =>
      (world.account.place = (_body, count) => (count === 0 ? { replyLost: true, lagMs: 150_000 } : {})),
  },
  {
    name: 'no capacity, then capacity',
    spec: plain,
    ends: 'Succeeded',
    reason: 'TrainerSucceeded',
    prepare: (world) => (world.account.place = () => (world.clock.monotonic() < 60_000 ? noStock : {})),
  },
  {
    name: 'the budget is used up',
    spec: { ...plain, budget: { maxTotal: '0.005' } },
    ends: 'Failed',
    reason: 'BudgetExceeded',
    trainer: () => ({ trainSeconds: 3000, end: 'Succeeded' }),
  },
  {
    name: 'the active deadline is reached',
    spec: { ...plain, runPolicy: { ...plain.runPolicy, activeDeadlineSeconds: 90 } },
    ends: 'Failed',
    reason: 'DeadlineExceeded',
    trainer: () => ({ trainSeconds: 3000, end: 'Succeeded' }),
  },
  {
    name: 'the host is lost',
    spec: plain,
    ends: 'Failed',
    reason: 'PodLost',
    trainer: () => ({ trainSeconds: 60, end: 'crashes' }),
  },
  {
    name: 'the trainer goes silent',
    spec: plain,
    ends: 'Failed',
    reason: 'HeartbeatLost',
    trainer: () => ({ trainSeconds: 60, end: 'goes silent' }),
  },
  {
    name: 'the trainer never connects',
    spec: plain,
    ends: 'Failed',
    reason: 'StartDeadlineExceeded',
    trainer: () => ({ trainSeconds: 60, end: 'goes silent', connects: false }),
  },
  {
    name: 'the key is lost and comes back',
    spec: plain,
    ends: 'Succeeded',
    reason: 'TrainerSucceeded',
    user: once('Terminating', 0, (world) => {
      world.account.keyGood = false;
      world.clock.after(120_000, () => (world.account.keyGood = true));
    }),
  },
  {
    name: 'Runpod says that there is no such pod while it runs on',
    spec: plain,
    ends: 'Deleted',
    prepare: (world) => (world.account.denies = 3),
    user: once('Running', 10_000, (world) => world.cluster.delete('fit')),
  },
  {
    name: 'the final report is lost at first',
    spec: plain,
    ends: 'Succeeded',
    reason: 'TrainerSucceeded',
    trainer: () => ({ ...trainsWell, cut: { from: 100, to: 200 } }),
  },
  {
    name: 'the rate charged is too high',
    spec: { ...plain, compute: { ...plain.compute, candidates: [{ ...small, maxPricePerHour: '0.20' }, large] } },
    ends: 'Succeeded',
    reason: 'TrainerSucceeded',
    prepare: (world) => (world.account.place = (body) => ({ costUsdPerHour: body.cpu ? 0.3 : 2 })),
  },
  {
    name: 'the pod comes up in another data center',
    spec: { ...plain, compute: { ...plain.compute, candidates: [{ ...small, dataCenters: ['EU-RO-1'] }, large] } },
    ends: 'Succeeded',
    reason: 'TrainerSucceeded',
    prepare: (world) => (world.account.place = (body) => (body.cpu ? { dataCenterId: 'US-TX-3' } : {})),
  },
  {
    name: 'the status is wiped',
    spec: plain,
    ends: 'Succeeded',
    reason: 'TrainerSucceeded',
    user: once('Running', 40_000, (world) => world.byHand(() => world.cluster.wipeStatus('fit'))),
  },
  {
    name: 'deleted, and applied again at once',
    spec: plain,
    ends: 'Succeeded',
    reason: 'TrainerSucceeded',
    user: once('Running', 20_000, (world) => {
      world.cluster.delete('fit');
      applyOnceGone(world);
    }),
  },
  {
    name: 'the operator is away for ten minutes',
    spec: { ...plain, watchdog: { ...plain.watchdog, heartbeatTimeoutSeconds: 120 } },
    ends: 'Succeeded',
    reason: 'TrainerSucceeded',
    trainer: () => ({ trainSeconds: 900, stepSeconds: 60, end: 'Succeeded' }),
    user: once('Running', 20_000, (world) => {
      if (world.operator) world.crash(world.operator, 600_000);
    }),
  },
  {
    name: 'the trainer fails, and is tried again',
    spec: { ...plain, runPolicy: { ...plain.runPolicy, backoffLimit: 1 } },
    ends: 'Succeeded',
    reason: 'TrainerSucceeded',
    trainer: (pod) => ({ trainSeconds: 120, end: 'Succeeded', ...(pod === 1 && { failsAtStep: 5 }) }),
  },
  {
    name: 'the trainer fails until its retries are used up',
    spec: { ...plain, runPolicy: { ...plain.runPolicy, backoffLimit: 1 } },
    ends: 'Failed',
    reason: 'TrainerFailed',
    trainer: () => ({ trainSeconds: 120, end: 'Succeeded', failsAtStep: 5 }),
  },
  {
    name: 'the host is lost, and another goes on',
    spec: { ...plain, runPolicy: { ...plain.runPolicy, hostFaultLimit: 2 } },
    ends: 'Succeeded',
    reason: 'TrainerSucceeded',
    trainer: (pod) => (pod === 1 ? { trainSeconds: 60, end: 'crashes' } : trainsWell),
  },
  {
    name: 'suspended for a while, and resumed',
    spec: plain,
    ends: 'Succeeded',
    reason: 'TrainerSucceeded',
    user: once('Running', 35_000, (world) => {
      world.cluster.edit('fit', (spec) => ({ ...spec, suspend: true }));
      world.clock.after(180_000, () => world.cluster.edit('fit', (spec) => ({ ...spec, suspend: false })));
    }),
  },
  {
    name: 'suspended from the start, then deleted',
    spec: { ...plain, suspend: true },
    ends: 'Deleted',
    user: once('Pending', 60_000, (world) => world.cluster.delete('fit')),
  },
  {
    name: 'a finished job is run again by its restart token',
    spec: plain,
    ends: 'Succeeded',
    reason: 'TrainerSucceeded',
    pods: 2,
    user: once('Succeeded', 30_000, (world) => world.cluster.edit('fit', again)),
  },
  {
    name: 'a running job is begun anew by its restart token',
    spec: plain,
    ends: 'Succeeded',
    reason: 'TrainerSucceeded',
    pods: 2,
    user: once('Running', 40_000, (world) => world.cluster.edit('fit', again)),
  },
  {
    name: 'applied again after its success, it is not trained again',
    spec: plain,
    ends: 'Succeeded',
    reason: 'AlreadyTrained',
    user: once('Succeeded', 30_000, (world) => {
      world.cluster.delete('fit');
      applyOnceGone(world);
    }),
  },
  {
    name: 'a finished job is deleted in time',
    spec: { ...plain, runPolicy: { ...plain.runPolicy, ttlSecondsAfterFinished: 60 } },
    ends: 'Deleted',
  },
];

function again(spec: TrainingJobSpec): TrainingJobSpec {
  return { ...spec, restartToken: 'again' };
}

function applyOnceGone(world: World): void {
  if (world.cluster.job('fit')) world.clock.after(1000, () => applyOnceGone(world));
  else world.cluster.apply('fit', plain);
}
