import { describe, expect, test } from 'vitest';
import type { Attempt, TrainingJobSpec, TrainingJobStatus } from '../../controller/api/trainingjob.ts';
import { configFor } from '../../controller/reconcile/configfor.ts';
import type { Secrets } from '../../controller/reconcile/jobsecrets.ts';
import { runFolder } from '../../controller/reconcile/runfolder.ts';
import { specHash, trainerConfig } from '../../controller/reconcile/trainerconfig.ts';
import type { ConfigAnswer } from '../../controller/telemetry/dependencies.ts';
import { KubeError } from '../../controller/kube/errors.ts';
import { initialScorer } from '../../controller/scoring/best.ts';
import type { CheckpointSummary, JobTelemetry } from '../../controller/telemetry/jobtelemetry.ts';
import { attempt, isoAt, snapshot, spec, telemetry, uid, type SnapshotParts } from './snapshot.ts';

const durations = { heartbeatSeconds: 10, holdSeconds: 120, stopGraceSeconds: 60 };

const full: TrainingJobSpec = {
  ...spec,
  trainer: {
    tabular: {
      modelType: 'xgboost_binary_classification',
      dataset: { source: 'file:///volume/data.csv', evalSplit: '0.2', testSplit: '0', seed: 0 },
      target: 'y',
      preprocessing: { imputing: 'Mean', encoding: 'Auto', scaling: 'Auto' },
      classWeight: 'None',
      parameters: {
        nEstimators: 200,
        maxDepth: 2,
        learningRate: '0.03',
        subsample: '0.5',
        colsampleBytree: '1',
        minChildWeight: '1',
        gamma: '0',
        regAlpha: '0',
        regLambda: '5',
        randomState: 0,
      },
    },
    env: [{ name: 'A', value: '1' }],
  },
  evaluation: { everySteps: 20 },
  earlyStopping: { patience: 5, minDelta: '0' },
  checkpoints: { uri: 'file:///volume/checkpoints/fit', keepBest: 1, keepLast: 1 },
  output: { uri: 'file:///volume/models/fit' },
};

/** The same value with the keys of every object the other way round. */
function reversed<T>(value: T): T {
  if (Array.isArray(value)) return value.map(reversed) as T;
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, inner]) => [key, reversed(inner)]),
  ) as T;
}

describe('the hash of what the trainer is asked to do', () => {
  const hash = specHash(full);

  test('is a SHA-256 that the order of keys does not change', () => {
    expect(hash).toMatch(/^[0-9a-f]{64}$/);
    expect(specHash(reversed(full))).toBe(hash);
    expect(specHash(structuredClone(full))).toBe(hash);
  });

  test.each<readonly [string, Partial<TrainingJobSpec>]>([
    ['trainer', { trainer: { ...full.trainer, tabular: { ...full.trainer.tabular!, target: 'z' } } }],
    [
      'a seed',
      {
        trainer: {
          ...full.trainer,
          tabular: { ...full.trainer.tabular!, dataset: { ...full.trainer.tabular!.dataset, seed: 1 } },
        },
      },
    ],
    ['env', { trainer: { ...full.trainer, env: [{ name: 'A', value: '2' }] } }],
    ['no env', { trainer: { tabular: full.trainer.tabular! } }],
    ['evaluation', { evaluation: { everySteps: 10 } }],
    ['checkpoints', { checkpoints: { ...full.checkpoints!, keepBest: 2 } }],
    ['output', { output: { uri: 'file:///volume/other' } }],
    ['scoring', { scoring: { strategy: 'SingleMetric', metric: { name: 'eval/loss', goal: 'Minimize' } } }],
    ['earlyStopping', { earlyStopping: { patience: 3, minDelta: '0' } }],
    ['predictions', { predictions: {} }],
  ])('changes with %s', (_, change) => expect(specHash({ ...full, ...change })).not.toBe(hash));

  test('changes with the order of a list: it is another command', () => {
    const custom = (command: string[]): string => specHash({ ...spec, trainer: { custom: { command } } });
    expect(custom(['a', 'b'])).not.toBe(custom(['b', 'a']));
  });

  test.each<readonly [string, Partial<TrainingJobSpec>]>([
    ['compute', { compute: { ...full.compute, containerDiskGB: 99 } }],
    ['runPolicy', { runPolicy: { ...spec.runPolicy, placementDeadlineSeconds: 1 } }],
    ['budget', { budget: { maxTotal: '1' } }],
    ['watchdog', { watchdog: { ...spec.watchdog, heartbeatTimeoutSeconds: 5 } }],
  ])('stays with %s', (_, change) => expect(specHash({ ...full, ...change })).toBe(hash));
});

describe('the folder of a run', () => {
  const { job } = snapshot();
  test.each([
    ['file:///volume/models', `file:///volume/models/team/fit/${uid}/1`],
    ['file:///volume/models/', `file:///volume/models/team/fit/${uid}/1`],
    ['file:///volume/models///', `file:///volume/models/team/fit/${uid}/1`],
  ])('%s', (uri, folder) => expect(runFolder(uri, job, 1)).toBe(folder));

  test('is another for another run', () =>
    expect(runFolder('file:///v', job, 2)).not.toBe(runFolder('file:///v', job, 1)));
});

describe('the configuration of an attempt', () => {
  const config = (parts: SnapshotParts): ReturnType<typeof trainerConfig> =>
    trainerConfig(snapshot(parts).job, { env: { A: '1' }, secretEnv: ['A'], keys: {} }, durations, null);

  test('has all that the trainer is asked to do', () => {
    const hash = 'a'.repeat(64);
    const made = config({
      spec: full,
      status: { attempt: attempt({ number: 3 }), run: { number: 1, specHash: hash } },
    });
    expect(made).toEqual({
      protocolVersion: 1,
      job: { uid, namespace: 'team', name: 'fit', attempt: 3, run: 1, specHash: hash },
      trainer: { tabular: full.trainer.tabular },
      env: { A: '1' },
      secretEnv: ['A'],
      evaluation: { everySteps: 20 },
      checkpoints: full.checkpoints,
      output: full.output,
      storage: {
        checkpoints: `file:///volume/checkpoints/fit/team/fit/${uid}/1`,
        output: `file:///volume/models/fit/team/fit/${uid}/1`,
      },
      scoring: { strategy: 'MultiMetric' },
      earlyStopping: { patience: 5, minDelta: '0' },
      agent: durations,
      resume: null,
    });
  });

  test('says null for storage that was not asked for, and no evaluation', () => {
    const made = config({});
    expect(made).toMatchObject({ checkpoints: null, output: null, storage: { checkpoints: null, output: null } });
    expect(made).not.toHaveProperty('evaluation');
    expect(made).not.toHaveProperty('earlyStopping');
    expect(made).not.toHaveProperty('predictions');
    expect(made.trainer).toEqual({ custom: { command: ['python', 'train.py'], args: [] } });
  });
});

describe('who gets a configuration', () => {
  const secrets = {
    readSecretKey: (namespace: string, name: string, key: string) => {
      if (name === 'forbidden') return Promise.reject(new KubeError('forbidden', 'no'));
      if (name === 'broken') return Promise.reject(new KubeError('transient', 'API server is away'));
      return Promise.resolve(
        namespace === 'team' && name === 'hub' && key === 'token'
          ? ({ kind: 'value', value: 's3cret' } as const)
          : ({ kind: 'missing', message: `Secret ${name} is not in namespace ${namespace}.` } as const),
      );
    },
  };
  const ask = (status: TrainingJobStatus, number = 1, parts: SnapshotParts = {}): Promise<ConfigAnswer> =>
    configFor(snapshot({ ...parts, status }).job, number, secrets, durations, parts.telemetry);
  const end = { reason: 'WrongPlace', message: '', time: isoAt(-1) };
  const outcome = { result: 'Failed', reason: 'X', time: isoAt(-1) } as const;

  const cases: readonly (readonly [string, TrainingJobStatus, number, ConfigAnswer['status']])[] = [
    ['the recorded pod', { attempt: attempt() }, 1, 'ok'],
    ['a pod that is not recorded yet', { attempt: attempt({ state: 'Unknown' }) }, 1, 'wait'],
    ['a pod whose create is under way', { attempt: attempt({ state: 'Intent' }) }, 1, 'wait'],
    ['a pod of an attempt that the cache does not know yet', { attempt: attempt() }, 2, 'wait'],
    ['a pod of a status that was wiped', {}, 1, 'wait'],
    ['a pod of an older attempt', { attempt: attempt({ number: 2 }) }, 1, 'superseded'],
    ['a pod that was given up', { attempt: attempt({ state: 'Abandoned' }) }, 1, 'superseded'],
    ['a pod that was proved gone', { attempt: attempt({ state: 'Gone' }) }, 1, 'superseded'],
    ['a pod in a wrong place', { attempt: attempt({ end }) }, 1, 'superseded'],
    ['a pod of a run that is over', { attempt: attempt(), outcome }, 1, 'superseded'],
    ['a pod of a finished job', { attempt: attempt(), completionTime: isoAt(-1) }, 1, 'superseded'],
    ['a pod that is asked to stop', { attempt: attempt({ stop: end }) }, 1, 'ok'],
  ];
  test.each(cases)('%s', async (_, status, number, expected) => {
    expect((await ask(status, number)).status).toBe(expected);
  });

  test('a job that is not listed is no job that is gone: its pod waits', async () => {
    expect(await configFor(undefined, 1, secrets, durations, undefined)).toMatchObject({ status: 'wait' });
  });

  test('not the pod of a job that is going', async () => {
    const parts = { metadata: { deletionTimestamp: isoAt(-1) } };
    expect(await ask({ attempt: attempt() }, 1, parts)).toEqual({ status: 'superseded' });
  });

  test('what this run stored and verified, the newest first, is where it may go on', async () => {
    const stored = (attemptNumber: number, step: number, verified = true): CheckpointSummary => ({
      step,
      uri: `file:///v/${step}`,
      manifestSHA256: 'c'.repeat(64),
      verified,
      time: step,
      attempt: attemptNumber,
      scorer: initialScorer,
    });
    const checkpoints = [stored(1, 10), stored(2, 20), stored(2, 40, false), stored(3, 60)];
    const resume = async (firstAttempt: number): Promise<unknown> => {
      const status = { attempt: attempt({ number: 4 }), run: { number: 2, specHash: 'a', firstAttempt } };
      const answer = await ask(status, 4, { telemetry: telemetry({ attempt: 3, checkpoints }) });
      return answer.status === 'ok' ? answer.config.resume : answer;
    };
    const manifestSHA256 = 'c'.repeat(64);
    expect(await resume(2)).toEqual({
      checkpoints: [
        { uri: 'file:///v/60', step: 60, manifestSHA256 },
        { uri: 'file:///v/20', step: 20, manifestSHA256 },
      ],
    });
    expect(await resume(4)).toBeNull();
  });

  test('where the store was lost, the run goes on from what status names', async () => {
    const manifestSHA256 = 'c'.repeat(64);
    const named = (step: number): NonNullable<TrainingJobStatus['checkpoint']> => ({
      step,
      uri: `file:///v/${step}`,
      manifestSHA256,
      verified: true,
      time: isoAt(-100),
    });
    const best = { ...named(20), score: '0.2', scorerVersion: 1 };
    const resume = async (status: TrainingJobStatus, heard?: JobTelemetry): Promise<unknown> => {
      const answer = await ask({ attempt: attempt(), ...status }, 1, { telemetry: heard });
      return answer.status === 'ok' && answer.config.resume?.checkpoints.map(({ step }) => step);
    };
    expect(await resume({ checkpoint: named(40), best })).toEqual([40, 20]);
    expect(await resume({ checkpoint: named(20), best })).toEqual([20]);
    expect(await resume({ checkpoint: { ...named(40), verified: false } })).toBeUndefined();
    // What telemetry knows of, it knows better.
    const broken = {
      ...named(40),
      manifestSHA256,
      verified: false,
      time: 1,
      attempt: 1,
      scorer: initialScorer,
    };
    expect(await resume({ checkpoint: named(40), best }, telemetry({ checkpoints: [broken] }))).toEqual([20]);
  });

  const env = (name: string, key = 'token'): SnapshotParts => ({
    spec: {
      trainer: {
        ...spec.trainer,
        env: [
          { name: 'PLAIN', value: '' },
          { name: 'HF_TOKEN', valueFrom: { secretKeyRef: { name, key } } },
        ],
      },
    },
  });

  test('values of Secrets are in it, and an empty value is one', async () => {
    const answer = await ask({ attempt: attempt() }, 1, env('hub'));
    expect(answer).toMatchObject({ status: 'ok', config: { env: { PLAIN: '', HF_TOKEN: 's3cret' } } });
  });

  describe('keys of buckets', () => {
    const held: Readonly<Record<string, Readonly<Record<string, string>>>> = {
      read: { AWS_ACCESS_KEY_ID: 'r', AWS_SECRET_ACCESS_KEY: 'rs', AWS_SESSION_TOKEN: 'rt', OTHER: 'o' },
      write: { AWS_ACCESS_KEY_ID: 'w', AWS_SECRET_ACCESS_KEY: 'ws', AWS_ENDPOINT_URL: 'https://s3.example' },
      half: { AWS_ACCESS_KEY_ID: 'h' },
      broken: { AWS_ACCESS_KEY_ID: 'b', AWS_SECRET_ACCESS_KEY: 'bs\n' },
    };
    const bucketSecrets: Secrets = {
      readSecretKey: (namespace, name, key) => {
        const value = held[name]?.[key];
        if (value !== undefined) return Promise.resolve({ kind: 'value', value });
        const message = held[name]
          ? `Secret ${name} lacks ${key}.`
          : `Secret ${name} is not in namespace ${namespace}.`;
        return Promise.resolve({ kind: 'missing', message });
      },
    };
    const places = (data: string, stored: string, output = stored): TrainingJobSpec => ({
      ...full,
      trainer: {
        tabular: {
          ...full.trainer.tabular!,
          dataset: {
            source: 's3://data/rows.csv',
            secretRef: { name: data },
            evalSplit: '0.2',
            testSplit: '0',
            seed: 0,
          },
        },
      },
      checkpoints: { ...full.checkpoints!, uri: 's3://models/c', secretRef: { name: stored } },
      output: { uri: 's3://models/o', secretRef: { name: output } },
    });
    const asked = (jobSpec: TrainingJobSpec): Promise<ConfigAnswer> =>
      configFor(
        snapshot({ spec: jobSpec, status: { attempt: attempt() } }).job,
        1,
        bucketSecrets,
        durations,
        undefined,
      );

    test('each address has the key of its own Secret, and nothing else of it', async () => {
      const answer = await asked(places('read', 'write'));
      const { OTHER: _other, ...read } = held['read']!;
      expect(answer.status === 'ok' && answer.config.storage.keys).toEqual({
        's3://data/rows.csv': read,
        [`s3://models/c/team/fit/${uid}/1`]: held['write'],
        [`s3://models/o/team/fit/${uid}/1`]: held['write'],
      });
      // The trainer refuses members that it does not know.
      expect(JSON.stringify(answer)).not.toContain('secretRef');
    });

    test('a Secret, a key or a value that will not do is waited for, each with its sentence', async () => {
      expect(await asked(places('absent', 'half', 'broken'))).toEqual({
        status: 'wait',
        reason: [
          "spec.trainer.tabular.dataset.secretRef: Secret absent is not in namespace team. A bucket's key is AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
          "spec.checkpoints.secretRef: Secret half lacks AWS_SECRET_ACCESS_KEY. A bucket's key is AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
          'spec.output.secretRef: AWS_SECRET_ACCESS_KEY in Secret broken is empty or has a space or a line break; write it without, as printf does and echo does not.',
        ].join(' '),
      });
    });
  });

  test.each([
    ['missing', 'env HF_TOKEN: Secret missing is not in namespace team.'],
    [
      'forbidden',
      'env HF_TOKEN: the operator may not read Secret forbidden in namespace team; let its service account get that Secret.',
    ],
  ])('a Secret that is %s is waited for', async (name, reason) => {
    expect(await ask({ attempt: attempt() }, 1, env(name))).toEqual({ status: 'wait', reason });
  });

  test('an API server that is away is a failure of ours, not a missing Secret', async () => {
    await expect(ask({ attempt: attempt() }, 1, env('broken'))).rejects.toThrow('away');
  });
});

test('a state of an attempt that is not known is none that gets Secrets', async () => {
  const odd = attempt({ state: 'Later' as Attempt['state'] });
  const answer = await configFor(
    snapshot({ status: { attempt: odd } }).job,
    1,
    { readSecretKey: () => Promise.reject(new Error('asked')) },
    durations,
    undefined,
  );
  expect(answer.status).toBe('superseded');
});
