import { spawn, type ChildProcess } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';

export interface OperatorProcess {
  readonly child: ChildProcess;
  readonly exited: Promise<void>;
  /** SIGTERM; resolves when the process is gone. One that does not go is killed, and that is an error. */
  end(): Promise<void>;
}

/** Starts the operator as a process of its own; resolves when it runs, leading or not. Its log is appended to a file. */
export async function startOperatorProcess(
  environment: Readonly<Record<string, string | undefined>>,
  logPath: string,
): Promise<OperatorProcess> {
  const out = openSync(logPath, 'a');
  const child = spawn(process.execPath, [new URL('../../controller/main.ts', import.meta.url).pathname], {
    env: { ...environment },
    stdio: ['ignore', out, out],
    detached: true,
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await untilAnswers(`http://${environment['METRICS_LISTEN']}/healthz`, child, logPath);
  return { child, exited, end: () => ended(child, exited) };
}

/** Resolves when the address answers with success; rejects when the process ends before that. */
export async function untilAnswers(url: string, child: ChildProcess, logPath: string): Promise<void> {
  const log = (): string => readFileSync(logPath, 'utf8').slice(-3000);
  const deadline = performance.now() + 30_000;
  while (performance.now() < deadline) {
    if (child.exitCode !== null) throw new Error(`the operator ended with ${child.exitCode}:\n${log()}`);
    const response = await fetch(url).catch(() => undefined);
    await response?.body?.cancel();
    if (response?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${url} did not answer:\n${log()}`);
}

async function ended(child: ChildProcess, exited: Promise<void>): Promise<void> {
  child.kill('SIGTERM');
  let killed = false;
  const timer = setTimeout(() => {
    killed = true;
    child.kill('SIGKILL');
  }, 30_000);
  await exited;
  clearTimeout(timer);
  if (killed) throw new Error('the operator did not end within 30 s of SIGTERM and was killed');
}

/** Ports that were free a moment ago; all are held at once so that they differ. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
