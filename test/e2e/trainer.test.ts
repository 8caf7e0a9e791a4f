import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TrainingJob } from '../../controller/api/trainingjob.ts';
import { kubectl } from '../controlplane/crds.ts';
import { makeReader } from '../rig/reader.ts';
import { startRig, type DeepPartial, type Rig } from '../rig/rig.ts';
import { python, runPython, trainerImage, trainerImages, writePatients } from '../rig/trainer.ts';

const settings = { TRAINER_IMAGE: trainerImage };
const secret = 'planted-secret-5f1c';

let rig: Rig;
let volume: string;
beforeAll(async () => {
  rig = await startRig({
    images: trainerImages,
    volumes: [{ id: 'vol', name: 'vol', dataCenter: 'EU-RO-1', size: 10 }],
    restartMs: 500,
  });
  volume = rig.simulator.volumeFolder('vol');
  await writePatients(join(volume, 'data'));
  await rig.start(settings);
});
afterAll(() => rig.stop());

const compute = {
  candidates: [{ name: 'cpu', cpu: { flavor: 'cpu3c', vcpus: 2 } }],
  networkVolume: { id: 'vol', mountPath: '/volume' },
};

function tabular(file: string, more: DeepPartial = {}, trainer: object = {}): DeepPartial {
  return {
    trainer: {
      tabular: {
        modelType: 'xgboost_binary_classification',
        dataset: { source: `file:///volume/data/${file}` },
        target: 'above_median',
        parameters: { nEstimators: 60, maxDepth: 2, learningRate: '0.1' },
        ...trainer,
      },
    },
    compute,
    evaluation: { everySteps: 10 },
    checkpoints: { uri: 'file:///volume/checkpoints' },
    output: { uri: 'file:///volume/models' },
    scoring: { strategy: 'MultiMetric' },
    ...more,
  };
}

function script(text: string, more: DeepPartial = {}): DeepPartial {
  return { trainer: { custom: { command: [python, '-c', text] } }, compute, ...more };
}

const onDisk = (uri: string | undefined): string => join(volume, new URL(uri ?? '').pathname.replace('/volume', ''));
const billed = (name: string): readonly string[] =>
  rig.simulator.bill().flatMap((line) => (line.name.endsWith(`-${name}`) && line.endedAt === null ? [line.id] : []));

async function ended(name: string, spec: DeepPartial): Promise<TrainingJob> {
  const namespace = await rig.namespace();
  await rig.create(namespace, name, spec);
  const job = await rig.until(namespace, name, ({ status }) => status?.completionTime !== undefined, 60_000);
  expect(billed(name)).toEqual([]);
  return job;
}

const reader = () => makeReader(rig);

describe('the trainer in a pod', () => {
  test('trains a table: best step verified, model stored, and everybody says the same', async () => {
    const job = await ended('table', tabular('patients.csv'));
    expect(job.status?.phase).toBe('Succeeded');
    const { best, output, dataset, progress } = job.status ?? {};
    expect(dataset).toMatchObject({ samples: 442 });
    expect(progress).toMatchObject({ step: 60, totalSteps: 60, percentage: 100 });
    expect(best?.verified).toBe(true);
    expect(existsSync(join(onDisk(best?.uri), 'manifest.json'))).toBe(true);
    const folder = onDisk(output?.uri);
    const metrics = JSON.parse(readFileSync(join(folder, 'metrics.json'), 'utf8')) as {
      best_step: number;
      accuracy: number;
    };
    expect(metrics.best_step).toBe(best?.step);
    const read = await reader();
    const { items } = await read<Record<string, unknown>>(`/v1/jobs/${job.metadata.uid}/evaluations`);
    expect(items.map((item) => item['step'])).toEqual([10, 20, 30, 40, 50, 60]);
    const evaluation = items.find((item) => item['step'] === best?.step) as { metrics: Record<string, number> };
    const accuracy = await runPython(['-c', plainXgboost, folder]);
    expect(Number(accuracy)).toBe(metrics.accuracy);
    expect(evaluation.metrics['eval/accuracy']).toBe(metrics.accuracy);
    const checkpoints = await read<Record<string, unknown>>(`/v1/jobs/${job.metadata.uid}/checkpoints`);
    for (const entry of checkpoints.items)
      expect(existsSync(join(onDisk(String(entry['uri'])), 'model.json'))).toBe(true);
    expect(checkpoints.items.map((entry) => entry['step'])).toContain(best?.step);
  }, 90_000);

  test('a column called a,"b" ; drop is used, named in the report, and asked for in predictions', async () => {
    const awkward = 'a,"b" ; drop';
    const [names = '', ...rows] = readFileSync(join(volume, 'data', 'patients.csv'), 'utf8').split('\n');
    const quoted = `"${awkward.replaceAll('"', '""')}"`;
    writeFileSync(join(volume, 'data', 'awkward.csv'), [names.replace('bmi', quoted), ...rows].join('\n'));
    const job = await ended('awkward', tabular('awkward.csv', {}, { features: [awkward, 'bp', 's5'] }));
    expect(job.status?.phase).toBe('Succeeded');
    const folder = onDisk(job.status?.output?.uri);
    expect(readFileSync(join(folder, 'report.html'), 'utf8')).toContain('a,&#34;b&#34; ; drop');
    const again = join(volume, 'again.csv');
    const asked = ['--model', folder, '--data', join(folder, 'heldout.csv'), '--output', again];
    await runPython(['-m', 'trainingjob', 'predict', ...asked]);
    expect(readFileSync(again, 'utf8')).toBe(readFileSync(join(folder, 'predictions.csv'), 'utf8'));
    // Predictions follow the column: without it they are refused by its name.
    const bare = ['--model', folder, '--data', join(volume, 'data', 'patients.csv'), '--output', again];
    await expect(runPython(['-m', 'trainingjob', 'predict', ...bare])).rejects.toThrow(awkward);
  });

  test('a run that gets no better ends early, and status and an event say so', async () => {
    // Nothing is better by so much.
    const job = await ended('early', tabular('patients.csv', { earlyStopping: { patience: 2, minDelta: '1000' } }));
    expect(job.status).toMatchObject({ phase: 'Succeeded', progress: { step: 30, totalSteps: 60 } });
    const message = '2 evaluations in a row lowered the score by no more than 1000; training ends early';
    expect(job.status?.alerts).toMatchObject([{ attempt: 1, name: 'EarlyStopped', severity: 'Info', message }]);
    const { namespace } = job.metadata;
    const notes = ['events.events.k8s.io', '-n', namespace, '-o', 'jsonpath={range .items[*]}{.reason} {.note}{"\\n"}'];
    expect(await kubectl(rig.plane, ['get', ...notes])).toContain(`EarlyStopped ${message}`);
  });

  const header = 'age,above_median';
  test.each([
    ['missing', undefined, {}, 'DataInvalid', 'is not there'],
    ['empty', '', {}, 'DataInvalid', 'is empty'],
    ['targetless', 'age,above_mean\n1,0\n', {}, 'DataInvalid', 'Did you mean "above_mean"?'],
    ['wordy', `${header}\n1,0\n2,yes\n`, {}, 'DataInvalid', 'line 3, target column "above_median" holds "yes"'],
  ])('data that are %s fail the job with a sentence', async (name, content, trainer, reason, sentence) => {
    if (content !== undefined) writeFileSync(join(volume, 'data', `${name}.csv`), content);
    const job = await ended(name, tabular(`${name}.csv`, {}, trainer));
    expect(job.status?.failure).toMatchObject({ reason, exitCode: 3 });
    expect(job.status?.failure?.message).toContain(sentence);
    expect(job.status?.attempts?.[0]).toMatchObject({ reason, exitCode: 3 });
  });

  test('a trainer that is killed: the signal, its last words and its log are in status', async () => {
    const killed = 'import os; print("so far", flush=True); os.kill(os.getpid(), 9)';
    const job = await ended('crash', script(killed, { runPolicy: { backoffLimit: 0 } }));
    expect(job.status?.failure).toMatchObject({ reason: 'TrainerFailed', exitCode: -9 });
    expect(job.status?.failure?.message).toContain('SIGKILL');
    expect(job.status?.attempts?.[0]?.logTail).toContain('so far');
  });

  test('a program that is not in the image', async () => {
    const job = await ended('absent', { ...script(''), trainer: { custom: { command: ['no-such-trainer'] } } });
    expect(job.status?.failure).toMatchObject({ reason: 'ConfigurationInvalid', exitCode: 2 });
    expect(job.status?.failure?.message).toContain('no-such-trainer');
  });

  test('a trainer that hangs and ignores signals is stopped with its pod', async () => {
    const hang = 'import signal, threading; signal.signal(signal.SIGTERM, signal.SIG_IGN); threading.Event().wait()';
    const job = await ended('hang', script(hang, { runPolicy: { activeDeadlineSeconds: 2 } }));
    expect(job.status?.failure?.reason).toBe('DeadlineExceeded');
  });

  test('garbage among good reports: what is good arrives, and the job succeeds', async () => {
    const text = `
import os
from trainingjob import report
report(step=1, metrics={"train/loss": 2.0})
with open(os.environ["TRAININGJOB_EVENTS"], "ab") as file:
    file.write(b"\\xff\\xfe garbage\\n{\\"type\\": \\"point\\", \\"step\\": -5, \\"metrics\\": {}}\\n")
    file.write(b"{\\"type\\": \\"final\\", \\"outcome\\": \\"Failed\\", \\"exitCode\\": 9, \\"reason\\": \\"X\\", \\"message\\": \\"\\"}\\n")
report(step=2, metrics={"train/loss": 1.0})
`;
    const job = await ended('garbage', script(text));
    expect(job.status?.phase).toBe('Succeeded');
    const read = await reader();
    const { items } = await read<Record<string, unknown>>(`/v1/jobs/${job.metadata.uid}/points`);
    expect(items.map((item) => item['step'])).toEqual([1, 2]);
  });

  test.each(['Push', 'Pull'])('a secret reaches the trainer and nobody else (%s)', async (transport) => {
    const namespace = await rig.namespace();
    const passed: Buffer[] = [];
    rig.simulator.onPassed(({ request, response }) => passed.push(request, response));
    const name = `secretive-${transport.toLowerCase()}`;
    const literal = `--from-literal=token=${secret}`;
    await kubectl(rig.plane, ['create', 'secret', 'generic', 'hub', '-n', namespace, literal]);
    // Turned round, so that the manifest itself does not hold what is looked for.
    const turned = secret.split('').toReversed().join('');
    const text = `
import os
assert os.environ["HUB"] == "${turned}"[::-1], "the secret did not come"
assert not {"TRAININGJOB_TOKEN", "RUNPOD_API_KEY"} & set(os.environ), "the agent's own keys came"
print("careless:", os.environ["HUB"])
`;
    const spec = script(text);
    const env = [{ name: 'HUB', valueFrom: { secretKeyRef: { name: 'hub', key: 'token' } } }];
    const trainer = { ...(spec.trainer as object), env };
    await rig.create(namespace, name, { ...spec, trainer, telemetry: { transport } });
    const job = await rig.until(namespace, name, ({ status }) => status?.completionTime !== undefined, 60_000);
    expect(job.status).toMatchObject({ phase: 'Succeeded', attempt: { transport } });
    // All that Runpod has of the job: what was asked for, what its pod printed, and what its proxy forwarded.
    const pods = rig.simulator.pods.all().map((pod) => pod.body);
    const printed = rig.simulator.podLog(job.status?.attempt?.podID ?? '');
    const forwarded = Buffer.concat(passed).toString('latin1');
    expect(printed).toContain('careless: [hidden]');
    expect(passed.length > 0).toBe(transport === 'Pull');
    const metrics = await (await fetch(rig.metricsUrl)).text();
    const events = await kubectl(rig.plane, ['get', 'events', '-n', namespace, '-o', 'json']);
    for (const seen of [JSON.stringify(pods), printed, forwarded, rig.log(), JSON.stringify(job), metrics, events])
      expect(seen).not.toContain(secret);
    // Nor anything else that the operator tells the agent, or the agent the operator.
    for (const word of ['trainer', 'heartbeatSeconds', 'started', 'Succeeded']) expect(forwarded).not.toContain(word);
  });

  test("a pod's token opens its own attempt only, and nothing after the end", async () => {
    const namespace = await rig.namespace();
    const wait = script('import threading; threading.Event().wait()');
    for (const name of ['mine', 'other']) await rig.create(namespace, name, wait);
    const [mine, other] = await Promise.all(
      ['mine', 'other'].map((name) => rig.until(namespace, name, ({ status }) => status?.phase === 'Running', 60_000)),
    );
    const pod = rig.simulator.live().find((entry) => entry.id === mine?.status?.attempt?.podID);
    const post = async (uid: string | undefined): Promise<number> => {
      const response = await fetch(`${rig.telemetryUrl}/v1/jobs/${uid}/attempts/1/events`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${pod?.body.env['TRAININGJOB_TOKEN']}`,
          'content-type': 'application/json',
        },
        body: JSON.stringify({
          session: '00000000000000aa',
          sequence: 1,
          podID: pod?.id,
          events: [{ type: 'point', step: 7, metrics: { 'train/loss': 0 } }],
        }),
      });
      return response.status;
    };
    expect(await post(other?.metadata.uid)).toBe(401);
    expect(await post(mine?.metadata.uid)).toBe(200);
    await rig.patch(namespace, 'mine', { spec: { runPolicy: { activeDeadlineSeconds: 1 } } });
    await rig.until(namespace, 'mine', ({ status }) => status?.completionTime !== undefined, 60_000);
    // The attempt is closed right after the status is written.
    await expect.poll(() => post(mine?.metadata.uid)).toBe(410);
    const read = await reader();
    expect((await read<Record<string, unknown>>(`/v1/jobs/${mine?.metadata.uid}/points`)).items).toHaveLength(1);
    expect((await read<Record<string, unknown>>(`/v1/jobs/${other?.metadata.uid}/points`)).items).toEqual([]);
    await kubectl(rig.plane, ['delete', 'tj', '-n', namespace, 'other', '--wait=false']);
    await rig.untilGone(namespace, 'other');
  }, 120_000);

  test('the operator is killed while a job trains: the same pod goes on, no point is lost or doubled', async () => {
    const namespace = await rig.namespace();
    const spec = tabular('patients.csv', { evaluation: { everySteps: 100 } }, { parameters: { nEstimators: 3000 } });
    await rig.create(namespace, 'outlives', spec);
    const before = await rig.until(namespace, 'outlives', ({ status }) => (status?.progress?.step ?? 0) > 0, 60_000);
    expect(before.status?.progress?.step).toBeLessThan(3000);
    await rig.kill();
    await rig.start(settings);
    const after = await rig.until(namespace, 'outlives', ({ status }) => status?.completionTime !== undefined, 240_000);
    expect(after.status?.phase).toBe('Succeeded');
    expect(after.status?.attempt?.podID).toBe(before.status?.attempt?.podID);
    expect(rig.simulator.bill().filter((line) => line.name.endsWith('-outlives'))).toHaveLength(1);
    const read = await reader();
    const { items } = await read<Record<string, unknown>>(`/v1/jobs/${after.metadata.uid}/points?limit=10000`);
    const every = Array.from({ length: 120 }, (_, index) => (index + 1) * 25);
    expect(items.map((item) => item['step'])).toEqual(every);
  }, 360_000);

  test('the operator goes away: a trainer that is done waits for it, and then its pod ends itself', async () => {
    const namespace = await rig.namespace();
    await rig.kill();
    await rig.start({ ...settings, HOLD_SECONDS: '4' });
    const go = join(volume, 'go');
    const text = `
import os, pathlib, time
file = pathlib.Path(os.environ["TRAININGJOB_FILE_ROOT"] + "/volume/go")
while not file.exists():
    time.sleep(0.05)
`;
    await rig.create(namespace, 'alone', script(text, { runPolicy: { hostFaultLimit: 0 } }));
    const job = await rig.until(namespace, 'alone', ({ status }) => status?.phase === 'Running', 60_000);
    await rig.kill();
    const ownEnd = rig.simulator.nextCall((call) => call.byPod && call.method === 'DELETE', 60_000);
    writeFileSync(go, '');
    await ownEnd;
    expect(billed('alone')).toEqual([]);
    await rig.start(settings);
    const after = await rig.until(namespace, 'alone', ({ status }) => status?.completionTime !== undefined, 60_000);
    expect(after.status?.failure?.reason).toBe('PodLost');
    expect(after.status?.attempt?.podID).toBe(job.status?.attempt?.podID);
  }, 180_000);
});

/** Accuracy on the held-out rows beside a model, by nothing but XGBoost. */
const plainXgboost = `
import csv, sys, xgboost
rows = list(csv.DictReader(open(sys.argv[1] + "/heldout.csv")))
model = xgboost.Booster(model_file=sys.argv[1] + "/model.json")
data = xgboost.DMatrix([[float(row[name]) for name in model.feature_names] for row in rows], feature_names=model.feature_names)
hits = [(p > 0.5) == (row["above_median"] == "1") for p, row in zip(model.predict(data), rows)]
print(sum(hits) / len(hits))
`;
