import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findS3Server } from './binary.ts';

export interface S3Server {
  readonly endpoint: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** Each folder in it is a bucket, and each file an object. */
  readonly folder: string;
  /** Its program, whose `admin` commands make users. */
  readonly program: string;
  /** Makes a bucket, and a user whom it belongs to and who has no right in any other. */
  owner(bucket: string): Promise<S3User>;
  stop(): Promise<void>;
}

export interface S3User {
  readonly accessKey: string;
  readonly secretKey: string;
}

/** Starts a real S3 server on a free port of this machine, without any bucket. It is addressed by path. */
export async function startS3Server(say: (line: string) => void = () => undefined): Promise<S3Server> {
  const file = await findS3Server(say);
  const root = await mkdtemp(join(tmpdir(), 'trainingjob-s3-'));
  const [folder, metadata, users] = [join(root, 'buckets'), join(root, 'metadata'), join(root, 'users')];
  await Promise.all([mkdir(folder), mkdir(metadata), mkdir(users)]);
  const guardian = spawn(process.execPath, [new URL('../controlplane/guardian.ts', import.meta.url).pathname], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  guardian.unref();
  guardian.stdin.write(`folder ${root}\n`);
  const { accessKey, secretKey } = newUser();
  const port = await freePort();
  // Beside the objects, not in extended attributes: not every folder for temporary files has those.
  const server = ['--port', `127.0.0.1:${port}`, '--iam-dir', users, '--quiet'];
  const child = spawn(file, [...server, 'posix', '--sidecar', metadata, folder], {
    env: { ROOT_ACCESS_KEY: accessKey, ROOT_SECRET_KEY: secretKey },
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  guardian.stdin.write(`pid ${child.pid}\n`);
  const stop = async (): Promise<void> => {
    await end(child);
    await rm(root, { recursive: true, force: true });
    guardian.stdin.end();
  };
  const endpoint = `http://127.0.0.1:${port}`;
  try {
    await ready(endpoint, child);
  } catch (error) {
    await stop();
    throw error;
  }
  const admin = async (...command: readonly string[]): Promise<void> => {
    const how = ['admin', '--access', accessKey, '--secret', secretKey, '--endpoint-url', endpoint];
    await promisify(execFile)(file, [...how, ...command]);
  };
  const owner = async (bucket: string): Promise<S3User> => {
    const user = newUser();
    await mkdir(join(folder, bucket));
    await admin('create-user', '--access', user.accessKey, '--secret', user.secretKey, '--role', 'user');
    await admin('change-bucket-owner', '--bucket', bucket, '--owner', user.accessKey);
    return user;
  };
  return { endpoint, accessKey, secretKey, folder, program: file, owner, stop };
}

function newUser(): S3User {
  return { accessKey: randomBytes(10).toString('hex'), secretKey: randomBytes(20).toString('hex') };
}

async function ready(endpoint: string, child: ChildProcess): Promise<void> {
  let words = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    words = (words + text).slice(-2000);
  });
  const deadline = performance.now() + 60_000;
  for (;;) {
    if (child.exitCode !== null || performance.now() > deadline) {
      throw new Error(`the S3 server did not start: ${words}`);
    }
    // Any answer will do; without a signature it is a refusal.
    const answered = await fetch(endpoint, { signal: AbortSignal.timeout(2000) }).then(
      (answer) => answer.arrayBuffer().then(() => true),
      () => false,
    );
    if (answered) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
