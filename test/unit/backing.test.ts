import { describe, expect, test } from 'vitest';
import type { TrainingJobSpec, TrainingJobStatus } from '../../controller/api/trainingjob.ts';
import type { TrainingRuntimeSpec } from '../../controller/api/trainingruntime.ts';
import { decide } from '../../controller/reconcile/decide.ts';
import type { Runtimes } from '../../controller/reconcile/backing.ts';
import { nextStatus } from '../../controller/reconcile/status.ts';
import { specHash } from '../../controller/reconcile/trainerconfig.ts';
import type { RunRow } from '../../controller/telemetry/store/store.ts';
import { cluster, runtime } from './runtimes.ts';
import { attempt, isoAt, pod, snapshot, spec, uid, type SnapshotParts } from './snapshot.ts';

const { runPolicy: _runPolicy, watchdog: _watchdog, ...plain } = spec;
const runtimeRef = { kind: 'ClusterTrainingRuntime', name: 'standard' } as const;
const wanted: TrainingJobSpec = { ...plain, runtimeRef, runPolicy: { hostFaultLimit: 9 } };
const words: TrainingRuntimeSpec = { image: 'acme:1', runPolicy: { backoffLimit: 7, hostFaultLimit: 1 } };

/** The job of these tests; `spec` in the snapshot's defaults would have words of its own for everything. */
function seen(parts: SnapshotParts, job: TrainingJobSpec = wanted): ReturnType<typeof snapshot> {
  return snapshot({ ...parts, spec: { runPolicy: undefined, watchdog: undefined, ...job } as TrainingJobSpec });
}

const there = cluster(runtime(words));
const newborn = { startTime: undefined } as unknown as TrainingJobStatus;

describe('a job that names a runtime', () => {
  test('has its words where it says nothing, and the operator where neither does', () => {
    const { job } = seen({ runtimes: there });
    expect(job.spec.image).toBe('acme:1');
    expect(job.spec.runPolicy).toMatchObject({ backoffLimit: 7, hostFaultLimit: 9, interruptionLimit: 20 });
  });

  test('is taken up with what it would be pinned to in its status', () => {
    const first = seen({ runtimes: there, status: newborn });
    expect(nextStatus(first, decide(first)).run).toMatchObject({
      runtime: { ...runtimeRef, generation: 3 },
      runtimeHash: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      defaults: { image: 'acme:1', runPolicy: { backoffLimit: 7, hostFaultLimit: 1, interruptionLimit: 20 } },
      specHash: specHash(first.written),
    });
  });

  test('takes an edit of the runtime until its first attempt, and none from there on', () => {
    const taken = nextStatus(seen({ runtimes: there }), decide(seen({ runtimes: there, status: newborn })));
    const edited = cluster(runtime({ ...words, image: 'acme:2' }, 'standard', 4));
    const waiting = seen({ runtimes: edited, status: { ...taken, startTime: isoAt(-9) } });
    const intent = nextStatus(waiting, decide(waiting));
    expect(intent).toMatchObject({
      attempt: { state: 'Intent' },
      run: { runtime: { generation: 4 }, defaults: { image: 'acme:2' } },
    });
    for (const runtimes of [cluster(runtime({}, 'standard', 5)), cluster(), unlisted]) {
      const later = seen({ runtimes, status: { ...intent, attempt: attempt() }, pods: [pod()] });
      expect(later.job.spec).toMatchObject({ image: 'acme:2', runPolicy: { backoffLimit: 7 } });
      expect(nextStatus(later, decide(later)).run).toEqual(intent.run);
      const between = seen({ runtimes, status: { ...intent, attempt: attempt({ state: 'Gone' }) } });
      expect(between.job.spec.image).toBe('acme:2');
      expect(decide(between)).toMatchObject({ stage: 'place', record: { attempt: { number: 2 } } });
    }
  });

  test("takes its own edits of what is free at once, and the runtime's word again when one is taken back", () => {
    const run = { number: 1, specHash: 'a', defaults: { runPolicy: { backoffLimit: 7 } } };
    const policy = (runPolicy: object): unknown =>
      seen({ status: { attempt: attempt(), run } }, { ...wanted, runPolicy }).job.spec.runPolicy.backoffLimit;
    expect(policy({ backoffLimit: 0 })).toBe(0);
    expect(policy({})).toBe(7);
  });

  test('a new run takes the runtime as it is then', () => {
    const run = { number: 2, specHash: 'a', firstAttempt: 2, restartToken: '2' };
    const again = seen({ runtimes: there, status: { attempt: attempt({ state: 'Gone' }), run } }, restarted);
    expect(again.job.spec.image).toBe('acme:1');
  });
});

const restarted = { ...wanted, restartToken: '2' };
const unlisted: Runtimes = { find: () => undefined, names: () => [] };

describe('a runtime that will not do', () => {
  const message = (runtimes: Runtimes, job: Partial<TrainingJobSpec> = {}): string => {
    const first = seen({ runtimes, status: newborn }, { ...wanted, ...job });
    const plan = decide(first);
    const status = nextStatus(first, plan);
    // Neither taken up nor rented: no deadline runs.
    expect(plan).toMatchObject({ stage: 'admit', action: { kind: 'none' }, record: {} });
    expect(status.startTime).toBeUndefined();
    const ready = status.conditions?.find(({ type }) => type === 'Ready');
    return `${ready?.reason}: ${ready?.message}`;
  };

  test('is waited for, with what to do', () => {
    expect(message(cluster(runtime({}, 'standart')))).toBe(
      'RuntimeMissing: spec.runtimeRef: there is no ClusterTrainingRuntime standard; create it, or name one that is there. The job goes on by itself then. Did you mean "standart"?',
    );
    expect(message(there, { runtimeRef: { ...runtimeRef, kind: 'TrainingRuntime' } })).toContain(
      'there is no TrainingRuntime standard in namespace team;',
    );
    expect(message(unlisted)).toContain('RuntimeMissing: spec.runtimeRef: ClusterTrainingRuntimes are not listed yet;');
  });

  test('for another kind of trainer is told', () => {
    expect(message(cluster(runtime({ trainer: { tabular: {} } })))).toBe(
      'RuntimeUnfit: spec.runtimeRef: ClusterTrainingRuntime standard is for jobs with spec.trainer.tabular, and this one has spec.trainer.custom; name a runtime for custom jobs in spec.runtimeRef, or leave it out.',
    );
  });

  test.each<readonly [string, TrainingRuntimeSpec, Partial<TrainingJobSpec>, string]>([
    [
      'another interval of evaluations',
      { evaluation: { everySteps: 40 } },
      { checkpoints: { uri: 's3://b/c', everySteps: 100 } },
      'come to checkpoints.everySteps 100 with evaluation.everySteps 40,',
    ],
    [
      'no evaluations',
      { checkpoints: { everySteps: 100 } },
      { checkpoints: { uri: 's3://b/c' } },
      'come to checkpoints.everySteps 100 with no evaluation.everySteps,',
    ],
    [
      'a metric that is not reported',
      { scoring: { strategy: 'SingleMetric', metric: { name: 'eval/bleu', goal: 'Maximize' } } },
      {
        trainer: {
          tabular: {
            modelType: 'xgboost_binary_classification',
            dataset: { source: 's3://d/x.csv', evalSplit: '0.2', testSplit: '0', seed: 1 },
            target: 'y',
            preprocessing: { imputing: 'Mean', encoding: 'Auto', scaling: 'Auto' },
            classWeight: 'None',
          },
        },
      },
      'scores by eval/bleu, which xgboost_binary_classification does not report;',
    ],
    [
      'a metric of a classification, for a regression',
      { scoring: { strategy: 'SingleMetric', metric: { name: 'eval/accuracy', goal: 'Maximize' } } },
      {
        trainer: {
          tabular: {
            modelType: 'svm_regression',
            dataset: { source: 's3://d/x.csv', evalSplit: '0.2', testSplit: '0', seed: 1 },
            target: 'y',
            preprocessing: { imputing: 'Mean', encoding: 'Auto', scaling: 'Auto' },
            classWeight: 'None',
          },
        },
      },
      'scores by eval/accuracy, which svm_regression does not report;',
    ],
  ])('with %s is told', (_, said, job, sentence) => {
    const { scoring: _scoring, ...own } = wanted;
    const first = seen({ runtimes: cluster(runtime(said)), status: newborn }, {
      ...own,
      scoring: undefined,
      ...job,
    } as unknown as TrainingJobSpec);
    expect(decide(first).say).toMatchObject({ reason: 'RuntimeUnfit', stalled: true });
    expect(decide(first).say.message).toContain(sentence);
  });

  test('that went away before the first attempt holds the job, and keeps no pod that is there from being watched', () => {
    const run = { number: 1, specHash: 'a', defaults: {} };
    expect(decide(seen({ runtimes: cluster(), status: { run } }))).toMatchObject({
      stage: 'admit',
      say: { reason: 'RuntimeMissing' },
    });
    const wiped = seen({ runtimes: cluster(), status: { ...newborn, attempt: attempt() }, pods: [pod()] });
    expect(decide(wiped)).toMatchObject({ stage: 'admit', record: { started: true } });
  });
});

describe('what a platform team changes', () => {
  test('trains no job again that succeeded: the hash is of the words of the job', () => {
    const one = seen({ runtimes: there, status: newborn });
    const other = seen({ runtimes: cluster(runtime({ ...words, image: 'acme:9' })), status: newborn });
    const hash = (world: ReturnType<typeof snapshot>): unknown => nextStatus(world, decide(world)).run?.specHash;
    expect(hash(one)).toBe(hash(other));
    expect(specHash({ ...wanted, runtimeRef: { ...runtimeRef, name: 'other' } })).not.toBe(specHash(wanted));
  });
});

test('a status that was lost is written anew with the defaults of the store, though the runtime changed since', () => {
  const pinned = { runtime: { ...runtimeRef, generation: 3 }, runtimeHash: 'b', defaults: { image: 'acme:1' } };
  const own: RunRow = {
    uid,
    run: 1,
    namespace: 'team',
    name: 'fit',
    specHash: specHash(wanted),
    restartToken: '',
    outcome: 'Running',
    reason: '',
    firstAttempt: 1,
    attempts: 1,
    spentUsd: 0,
    pinned: JSON.stringify(pinned),
    outputUri: null,
    manifestSHA256: null,
    published: null,
    completedAt: null,
  };
  const runtimes = cluster(runtime({ image: 'acme:2' }, 'standard', 4));
  const ran = { own, twin: undefined };
  let world = seen({ runtimes, ran, status: null });
  const stages: string[] = [];
  for (let passes = 0; passes < 4 && !world.status.attempt; passes += 1) {
    const plan = decide(world);
    stages.push(plan.stage);
    const status = nextStatus(world, plan);
    expect(status.run).toMatchObject(pinned);
    world = seen({ runtimes, ran, status: { ...newborn, ...status } });
  }
  expect(stages).toEqual(['recall', 'admit', 'place']);
  expect(world.job.spec.image).toBe('acme:1');
});
