/**
 * `make demo`: a real API server, the Runpod simulator and the operator on this machine, and one job from apply to model.
 * JOB names the job and TYPE the type of a tabular one; KEEP=1 leaves it running until Ctrl-C; ROWS and ROUNDS make the tabular job
 * longer; TELEMETRY=pull lets the operator call the pod. Everything that it started ends with it.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pino from 'pino';
import { stringify } from 'yaml';
import type { TrainingJob } from '../../controller/api/trainingjob.ts';
import { systemClock } from '../../controller/clock.ts';
import { KubeClient } from '../../controller/kube/client.ts';
import { kubeConnection } from '../../controller/kube/config.ts';
import { Reflector } from '../../controller/kube/reflector.ts';
import { trainingJobs } from '../../controller/kube/resources.ts';
import { applyCrds, kubectl } from '../controlplane/crds.ts';
import { startControlPlane } from '../controlplane/controlplane.ts';
import { freePorts, startOperatorProcess } from '../rig/process.ts';
import { startHub } from '../rig/hub.ts';
import { startSimulator } from '../runpod/simulator.ts';
import { Display } from './display.ts';
import { demoJob, type DemoJob } from './job.ts';
import { modelFolder } from './result.ts';

const root = new URL('../../', import.meta.url).pathname;
const state = join(root, '.state', 'demo');
const python = join(root, '.venv', 'bin', 'python');
const image = 'trainingjob/trainer:0.1.0';
const volume = 'demovolume';
const keep = process.env['KEEP'] === '1';
const pull = oneOf('TELEMETRY', ['push', 'pull']) === 'pull';
const { manifest, publishing, preparing, prepare, result } = chosen();

const display = new Display();
const cleanups: (() => Promise<unknown> | void)[] = [];
let interrupted: (() => void) | undefined;
const interrupt = new Promise<'interrupted'>((resolve) => {
  interrupted = () => resolve('interrupted');
});
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted?.());

const succeeded = await run().catch((error: unknown) => {
  display.line(error instanceof Error ? error.message : String(error));
  return false;
});
display.line(keep ? 'ending everything that the demo started' : '');
for (const cleanup of cleanups.toReversed()) await cleanup();
process.exit(succeeded ? 0 : 1);

async function run(): Promise<boolean> {
  rmSync(join(state, 'runpod', 'pods'), { recursive: true, force: true });
  rmSync(join(state, 'store'), { recursive: true, force: true });
  mkdirSync(state, { recursive: true });

  display.step('starting kube-apiserver and etcd');
  const plane = await startControlPlane({ say: (text) => display.line(text) });
  cleanups.push(() => plane.stop());
  await applyCrds(plane);

  display.step('starting the Runpod simulator');
  const simulator = await startSimulator({
    folder: join(state, 'runpod'),
    images: { [image]: [python, '-m', 'trainingjob', 'agent'] },
    volumes: [{ id: volume, name: volume, dataCenter: 'EU-RO-1', size: 10 }],
    provisionMs: 1500,
    startMs: 1000,
  });
  cleanups.push(() => simulator.stop());
  const hub = publishing && (await startHub());
  cleanups.push(() => hub?.stop());
  display.step(preparing);
  await prepare(simulator.volumeFolder(volume));

  display.step(
    pull
      ? 'starting the operator, without an address that pods could call: it calls them'
      : 'starting the operator, which pods call',
  );
  const [telemetryPort, metricsPort] = await freePorts(2);
  const keyPath = join(state, 'runpod-key');
  writeFileSync(keyPath, simulator.apiKey, { mode: 0o600 });
  const settings = {
    KUBECONFIG: plane.kubeconfigPath,
    RUNPOD_API_URL: simulator.url,
    RUNPOD_API_KEY_FILE: keyPath,
    TRAINER_IMAGE: image,
    RUNPOD_PROXY_URL: simulator.proxyUrl,
    TELEMETRY_TRANSPORT: pull ? 'Pull' : 'Push',
    TELEMETRY_URL: pull ? '' : `http://127.0.0.1:${telemetryPort}`,
    TELEMETRY_LISTEN: `127.0.0.1:${telemetryPort}`,
    METRICS_LISTEN: `127.0.0.1:${metricsPort}`,
    STORE_PATH: join(state, 'store', 'telemetry.sqlite'),
    // Shorter than the defaults, so that nobody waits for a demonstration.
    INVENTORY_UNSETTLED_SECONDS: '2',
    GONE_GAP_SECONDS: '3',
    PROGRESS_WRITE_SECONDS: '1',
    HEARTBEAT_SECONDS: '2',
    CREATE_GRACE_SECONDS: '15',
    LEASE_DURATION_SECONDS: '5',
    LEASE_RENEW_DEADLINE_SECONDS: '4',
    LEASE_RETRY_SECONDS: '0.5',
  };
  const restart = join(state, 'operator.sh');
  const exports = Object.entries(settings).map(([name, value]) => `export ${name}='${value}'`);
  writeFileSync(restart, `${exports.join('\n')}\nexec '${process.execPath}' '${join(root, 'controller/main.ts')}'\n`);
  const logPath = join(state, 'operator.log');
  rmSync(logPath, { force: true });
  const operator = await startOperatorProcess({ PATH: process.env['PATH'], ...settings }, logPath);
  const guardian = spawn(process.execPath, [join(root, 'test/controlplane/guardian.ts')], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  guardian.unref();
  guardian.stdin.write(`pid ${operator.child.pid}\n`);
  cleanups.push(async () => {
    await operator.end();
    guardian.stdin.end();
  });

  const { name } = manifest.metadata;
  const manifestPath = join(state, 'job.yaml');
  writeFileSync(manifestPath, stringify(hub ? publishing(hub) : manifest));

  const kube = new KubeClient({ connection: kubeConnection(plane.kubeconfigPath), clock: systemClock });
  let finish: ((job: TrainingJob) => void) | undefined;
  const finished = new Promise<TrainingJob>((resolve) => {
    finish = resolve;
  });
  const reflector = new Reflector<TrainingJob>({
    client: kube,
    type: trainingJobs,
    clock: systemClock,
    log: pino({ enabled: false }),
    onKey(key) {
      const job = reflector.store.get(key);
      if (job?.metadata.name !== name) return;
      display.job(job);
      if (job.status?.completionTime !== undefined) finish?.(job);
    },
  });
  cleanups.push(async () => {
    await reflector.stop();
    await kube.close();
  });
  reflector.start();

  const use = (text: string): string => `${plane.kubectlPath} --kubeconfig ${plane.kubeconfigPath} ${text}`;
  await kubectl(plane, ['create', 'serviceaccount', 'reader']);
  await kubectl(plane, [
    'create',
    'clusterrole',
    'trainingjob-reader',
    '--verb=get,list,watch',
    '--resource=trainingjobs',
  ]);
  await kubectl(plane, [
    'create',
    'clusterrolebinding',
    'reader',
    '--clusterrole=trainingjob-reader',
    '--serviceaccount=default:reader',
  ]);
  const look = (uid: string): void => {
    display.line('Look further:');
    display.line(`  ${use(`get tj -A -o wide`)}`);
    display.line(`  ${use(`describe tj ${name}`)}`);
    display.line(`  curl -s http://127.0.0.1:${metricsPort}/metrics | grep ^trainingjob_`);
    for (const what of ['evaluations', 'predictions'])
      display.line(
        `  curl -s -H "Authorization: Bearer $(${use('create token reader')})" http://127.0.0.1:${telemetryPort}/v1/jobs/${uid}/${what}`,
      );
    display.line(
      `  operator: pid ${operator.child.pid}, log ${logPath}; start it again after killing it: sh ${restart}`,
    );
  };
  if (hub) await kubectl(plane, ['create', 'secret', 'generic', 'hub', '--from-literal=HF_TOKEN=good']);
  display.step(`kubectl apply -f ${manifestPath}`);
  await kubectl(plane, ['apply', '-f', manifestPath]);
  const applied = JSON.parse(await kubectl(plane, ['get', 'tj', name, '-o', 'json'])) as TrainingJob;
  if (keep) look(applied.metadata.uid);

  const job = await Promise.race([finished, interrupt]);
  if (job === 'interrupted') return false;
  display.end();
  display.line(await kubectl(plane, ['get', 'tj', '-A', '-o', 'wide']));
  const final = JSON.parse(await kubectl(plane, ['get', 'tj', name, '-o', 'json'])) as TrainingJob;
  display.line(stringify({ status: final.status }));
  const good = job.status?.phase === 'Succeeded';
  display.line(`Telemetry: ${job.status?.attempt?.transport ?? 'unknown'}`);
  if (good) {
    const folder = modelFolder(job, simulator.volumeFolder(volume), '/volume');
    for (const line of await result(folder, hub)) display.line(line);
  }
  display.line('Bill of the simulator for this job:');
  for (const line of simulator.bill()) {
    const end = line.endedAt === null ? 'STILL BILLED' : `ended ${line.endedAt}`;
    display.line(
      `  pod ${line.id} ${line.name}: ${line.seconds.toFixed(1)} s at ${line.costUsdPerHour.toFixed(2)} USD/h = ${line.totalUsd.toFixed(6)} USD, ${end}`,
    );
  }
  display.line('');
  if (keep) {
    look(job.metadata.uid);
    display.line('Running until Ctrl-C.');
    await interrupt;
  } else display.line('KEEP=1 make demo leaves all this running, to look further with kubectl, curl and Prometheus.');
  return good;
}

function oneOf(variable: string, values: readonly [string, ...string[]]): string {
  const given = process.env[variable] ?? '';
  if (given === '') return values[0];
  if (values.includes(given)) return given;
  process.stderr.write(`${variable} is "${given}"; write ${values.join(' or ')}\n`);
  process.exit(2);
}

function chosen(): DemoJob {
  const { JOB = '', TYPE = '' } = process.env;
  try {
    return demoJob(root, JOB === '' ? 'tabular' : JOB, TYPE === '' ? undefined : TYPE, {
      rows: whole('ROWS'),
      rounds: whole('ROUNDS'),
    });
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(2);
  }
}

function whole(variable: string): number | undefined {
  const given = process.env[variable] ?? '';
  if (given === '') return undefined;
  const number = Number(given);
  if (Number.isInteger(number) && number >= 50) return number;
  process.stderr.write(`${variable} is "${given}"; write a whole number of at least 50\n`);
  process.exit(2);
}
