import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream, mkdirSync, rmSync, type WriteStream } from 'node:fs';
import { join } from 'node:path';

/** What a pod runs. `stop` resolves when nothing of it is left. */
export interface Container {
  stop(): Promise<void>;
  /** Ends the process as a failing host would. */
  kill(): void;
  readonly pid: number | undefined;
}

export interface ContainerOptions {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly folder: string;
  /** First wait before an exited container is started again; doubles up to 30 s. */
  readonly restartMs: number;
  readonly guard: (line: string) => void;
}

const termGraceMs = 2000;

/**
 * Runs the image's entry point as a process group on this machine. A container that exits is started again with a wiped disk,
 * as on Runpod, until the pod is deleted.
 */
export function runContainer(options: ContainerOptions): Container {
  const { folder } = options;
  const disk = join(folder, 'disk');
  mkdirSync(folder, { recursive: true });
  const log: WriteStream = createWriteStream(join(folder, 'container.log'), { flags: 'a' });
  let child: ChildProcess | undefined;
  let stopped = false;
  let waitMs = options.restartMs;
  let timer: NodeJS.Timeout | undefined;

  const start = (): void => {
    rmSync(disk, { recursive: true, force: true });
    mkdirSync(disk, { recursive: true });
    const [file = '', ...args] = options.command;
    child = spawn(file, args, {
      cwd: disk,
      env: { ...options.env, HOME: disk },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const { pid } = child;
    if (pid !== undefined) options.guard(`group ${pid}`);
    child.stdout?.on('data', (chunk: Buffer) => log.write(chunk));
    child.stderr?.on('data', (chunk: Buffer) => log.write(chunk));
    child.once('error', (error) => log.write(`cannot start ${file}: ${error.message}\n`));
    child.once('close', (code, signal) => {
      if (pid !== undefined) {
        signalGroup(pid, 'SIGKILL');
        options.guard(`forget ${pid}`);
      }
      log.write(`container exited: ${code ?? signal}\n`);
      if (stopped) return;
      timer = setTimeout(start, waitMs);
      waitMs = Math.min(30_000, waitMs * 2);
    });
  };
  start();

  return {
    get pid() {
      return child?.exitCode === null && child.signalCode === null ? child.pid : undefined;
    },
    kill() {
      stopped = true;
      clearTimeout(timer);
      if (child?.pid !== undefined) signalGroup(child.pid, 'SIGKILL');
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      const running = child;
      if (running?.pid !== undefined && running.exitCode === null && running.signalCode === null) {
        const { pid } = running;
        const closed = new Promise((resolve) => running.once('close', resolve));
        signalGroup(pid, 'SIGTERM');
        const hard = setTimeout(() => signalGroup(pid, 'SIGKILL'), termGraceMs);
        await closed;
        clearTimeout(hard);
      }
      await new Promise((resolve) => log.end(resolve));
    },
  };
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // The group is gone already.
  }
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
