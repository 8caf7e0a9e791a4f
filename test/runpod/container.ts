import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, mkdirSync, rmSync, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import type { PodLog } from './podlog.ts';
import { killPod, signalGroup } from './processes.ts';

/** What a pod runs. `stop` resolves when nothing of it is left. */
export interface Container {
  stop(): Promise<void>;
  /** Ends the process as a failing host would. */
  kill(): void;
  readonly pid: number | undefined;
}

export interface ContainerOptions {
  readonly podID: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly folder: string;
  readonly log: PodLog;
  /** First wait before an exited container is started again; doubles up to 30 s. */
  readonly restartMs: number;
  /** Tells whoever ends the processes when the simulator cannot. */
  readonly guard: (line: string) => void;
}

const termGraceMs = 2000;
const lastWordsMs = 1000;

/**
 * Runs the image's entry point on this machine. A container that exits takes all its processes with it and is started again
 * with a wiped disk, as on Runpod, until the pod is deleted.
 */
export function runContainer(options: ContainerOptions): Container {
  const { folder, podID, guard } = options;
  const disk = join(folder, 'disk');
  mkdirSync(folder, { recursive: true });
  const file: WriteStream = createWriteStream(join(folder, 'container.log'), { flags: 'a' });
  const said = (text: string): void => {
    file.write(text);
    options.log.write(text);
  };
  const happened = (line: string): void => {
    file.write(`${line}\n`);
    options.log.system(line);
  };
  let child: ChildProcess | undefined;
  let closed: Promise<unknown> = Promise.resolve();
  let stopped = false;
  let waitMs = options.restartMs;
  let timer: NodeJS.Timeout | undefined;

  const start = (): void => {
    rmSync(disk, { recursive: true, force: true });
    mkdirSync(disk, { recursive: true });
    const [program = '', ...args] = options.command;
    const started = spawn(program, args, {
      cwd: disk,
      env: { ...options.env, HOME: disk },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    child = started;
    const { pid } = started;
    if (pid !== undefined) guard(`pod ${podID} ${pid}`);
    for (const stream of [started.stdout, started.stderr]) stream.setEncoding('utf8').on('data', said);
    started.once('error', (error) => happened(`cannot start ${program}: ${error.message}`));
    started.once('exit', () => {
      killPod(podID, pid);
      guard(`forget ${podID}`);
      // Who got away from the container and holds its output must not keep it from ending.
      setTimeout(() => {
        started.stdout.destroy();
        started.stderr.destroy();
      }, lastWordsMs).unref();
    });
    closed = new Promise<void>((resolve) => {
      started.once('close', (code, signal) => {
        happened(`container exited: ${code ?? signal}`);
        resolve();
        if (stopped) return;
        timer = setTimeout(start, waitMs);
        waitMs = Math.min(30_000, waitMs * 2);
      });
    });
  };
  const running = (): number | undefined =>
    child?.exitCode === null && child.signalCode === null ? child.pid : undefined;
  start();

  return {
    get pid() {
      return running();
    },
    kill() {
      stopped = true;
      clearTimeout(timer);
      if (running() !== undefined) killPod(podID, running());
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      const pid = running();
      if (pid !== undefined) signalGroup(pid, 'SIGTERM');
      const hard = setTimeout(() => killPod(podID, running()), termGraceMs);
      await closed;
      clearTimeout(hard);
      await new Promise((resolve) => file.end(resolve));
    },
  };
}

/** `args` of a create as words, with quotes as a POSIX shell reads them; nothing is expanded. */
export function splitArgs(args: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let index = 0; index < args.length; index += 1) {
    const char = args[index] ?? '';
    if (quote !== '') {
      if (char === quote) quote = '';
      else if (char === '\\' && quote === '"') word = (word ?? '') + (args[(index += 1)] ?? '');
      else word = (word ?? '') + char;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= '';
    } else if (/\s/.test(char)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? '') + (char === '\\' ? (args[(index += 1)] ?? '') : char);
  }
  if (word !== undefined) words.push(word);
  return words;
}
