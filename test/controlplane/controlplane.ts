import { spawn, type ChildProcess } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findBinaries } from './binaries.ts';

export interface ControlPlane {
  readonly url: string;
  readonly kubeconfigPath: string;
  readonly caPath: string;
  /** Token of a member of system:masters. */
  readonly adminToken: string;
  readonly kubectlPath: string;
  readonly auditLogPath: string;
  readonly readySeconds: number;
  /** A kubeconfig for another user, by a token that the API server knows or issued. */
  kubeconfigFor(name: string, token: string): Promise<string>;
  stop(): Promise<void>;
}

export interface ControlPlaneOptions {
  readonly say?: (line: string) => void;
}

/** Starts a real etcd and kube-apiserver on free ports of this machine, with RBAC and an audit log. */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const binaries = await findBinaries(options.say ?? (() => undefined));
  const folder = await mkdtemp(join(tmpdir(), 'trainingjob-controlplane-'));
  const guardian = spawn(process.execPath, [new URL('./guardian.ts', import.meta.url).pathname], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  guardian.unref();
  guardian.stdin.write(`folder ${folder}\n`);
  const guarded = (child: ChildProcess): ChildProcess => {
    guardian.stdin.write(`pid ${child.pid}\n`);
    return child;
  };
  const started = performance.now();
  const [clientPort, peerPort, apiPort] = await freePorts(3);
  const token = randomBytes(24).toString('hex');
  await prepare(folder, token);

  const etcd = guarded(
    run(binaries.etcd, join(folder, 'etcd.log'), [
      `--data-dir=${join(folder, 'etcd')}`,
      `--listen-client-urls=http://127.0.0.1:${clientPort}`,
      `--advertise-client-urls=http://127.0.0.1:${clientPort}`,
      `--listen-peer-urls=http://127.0.0.1:${peerPort}`,
      `--initial-advertise-peer-urls=http://127.0.0.1:${peerPort}`,
      `--initial-cluster=default=http://127.0.0.1:${peerPort}`,
      '--unsafe-no-fsync',
      '--log-level=warn',
    ]),
  );
  const apiserver = guarded(
    run(binaries.kubeApiserver, join(folder, 'apiserver.log'), [
      `--etcd-servers=http://127.0.0.1:${clientPort}`,
      `--secure-port=${apiPort}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      `--cert-dir=${join(folder, 'certs')}`,
      `--token-auth-file=${join(folder, 'tokens.csv')}`,
      `--service-account-issuer=https://127.0.0.1:${apiPort}`,
      `--service-account-key-file=${join(folder, 'sa.pub')}`,
      `--service-account-signing-key-file=${join(folder, 'sa.key')}`,
      '--authorization-mode=RBAC',
      '--anonymous-auth=false',
      // Without a controller manager there is nobody who makes default service accounts.
      '--disable-admission-plugins=ServiceAccount',
      `--audit-policy-file=${join(folder, 'audit.yaml')}`,
      `--audit-log-path=${join(folder, 'audit.log')}`,
      '--service-cluster-ip-range=10.0.0.0/24',
      '--watch-cache=true',
      '--v=1',
    ]),
  );
  const url = `https://127.0.0.1:${apiPort}`;
  const caPath = join(folder, 'certs', 'apiserver.crt');
  const stop = async (): Promise<void> => {
    await Promise.all([end(apiserver), end(etcd)]);
    await rm(folder, { recursive: true, force: true });
    guardian.stdin.end();
  };
  try {
    await ready(url, caPath, token, [etcd, apiserver], folder);
  } catch (error) {
    await stop();
    throw error;
  }
  const kubeconfigFor = async (name: string, userToken: string): Promise<string> => {
    const path = join(folder, `${name}.kubeconfig`);
    await writeFile(path, kubeconfig(url, await readFile(caPath, 'utf8'), name, userToken));
    return path;
  };
  return {
    url,
    caPath,
    adminToken: token,
    kubeconfigPath: await kubeconfigFor('admin', token),
    kubectlPath: binaries.kubectl,
    auditLogPath: join(folder, 'audit.log'),
    readySeconds: (performance.now() - started) / 1000,
    kubeconfigFor,
    stop,
  };
}

async function prepare(folder: string, token: string): Promise<void> {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  await mkdir(join(folder, 'certs'));
  await Promise.all([
    writeFile(join(folder, 'tokens.csv'), `${token},admin,admin,"system:masters"\n`),
    writeFile(join(folder, 'sa.key'), privateKey.export({ type: 'pkcs1', format: 'pem' })),
    writeFile(join(folder, 'sa.pub'), publicKey.export({ type: 'spki', format: 'pem' })),
    writeFile(
      join(folder, 'audit.yaml'),
      'apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n',
    ),
  ]);
}

function run(file: string, logPath: string, args: readonly string[]): ChildProcess {
  const log = createWriteStream(logPath);
  // A group of its own: the terminal's Ctrl-C must reach our orderly stop first, not etcd.
  const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  child.stdout?.pipe(log);
  child.stderr?.pipe(log);
  return child;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}

async function ready(
  url: string,
  caPath: string,
  token: string,
  children: readonly ChildProcess[],
  folder: string,
): Promise<void> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const dead = children.find((child) => child.exitCode !== null);
    if (dead || performance.now() > deadline) {
      const log = await readFile(join(folder, dead === children[0] ? 'etcd.log' : 'apiserver.log'), 'utf8').catch(
        () => '',
      );
      throw new Error(`the control plane did not start; the end of its log:\n${log.slice(-3000)}`);
    }
    // Nothing can be put into the namespace "default" before the API server has made it, a moment after it is ready.
    if (
      (await answers(`${url}/readyz`, caPath, token)) &&
      (await answers(`${url}/api/v1/namespaces/default`, caPath, token))
    )
      return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function answers(url: string, caPath: string, token: string): Promise<boolean> {
  const ca = await readFile(caPath).catch(() => undefined);
  if (!ca) return false;
  return new Promise((resolve) => {
    const call = request(url, { ca, headers: { authorization: `Bearer ${token}` }, timeout: 2000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    call.on('error', () => resolve(false));
    call.on('timeout', () => call.destroy());
    call.end();
  });
}

/** Ports that were free a moment ago; all are held at once so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer();
      return new Promise<typeof server>((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

function kubeconfig(url: string, ca: string, user: string, token: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'local',
    clusters: [
      { name: 'local', cluster: { server: url, 'certificate-authority-data': Buffer.from(ca).toString('base64') } },
    ],
    users: [{ name: user, user: { token } }],
    contexts: [{ name: 'local', context: { cluster: 'local', user } }],
  });
}
