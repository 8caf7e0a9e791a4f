import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { openReporter, startIngest, type Reporter } from './ingest.ts';

/** A telemetry server as a process of its own, so that it can be killed for real. */
export interface IngestProcess {
  readonly url: string;
  readonly reporters: readonly Reporter[];
  readonly child: ChildProcess;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
}

/** `shell` goes before the command: limits of the process, for instance. */
export async function startIngestProcess(path: string, jobs: number, shell = ''): Promise<IngestProcess> {
  const command = `${shell} exec ${process.execPath} ${new URL(import.meta.url).pathname} ${path} ${jobs}`;
  const child = spawn('bash', ['-c', command], { stdio: ['pipe', 'pipe', 'inherit'] });
  const gone = once(child, 'exit');
  const lines = createInterface(child.stdout);
  const ended = gone.then(() => Promise.reject(new Error('the server ended before it was ready')));
  const [line] = (await Promise.race([once(lines, 'line'), ended])) as [string];
  ended.catch(() => undefined);
  return {
    ...(JSON.parse(line) as { url: string; reporters: readonly Reporter[] }),
    child,
    async kill() {
      child.kill('SIGKILL');
      await gone;
    },
  };
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const [, , path = '', jobs = '1'] = process.argv;
  const { url, telemetry } = await startIngest({ path });
  const reporters = await Promise.all(
    Array.from({ length: Number(jobs) }, (_, index) =>
      openReporter(telemetry, { uid: `00000000-0000-0000-0000-${String(index).padStart(12, '0')}` }),
    ),
  );
  process.stdout.write(`${JSON.stringify({ url, reporters })}\n`);
  // Ends with its parent, whose end closes this stream.
  process.stdin.resume().on('end', () => process.exit(0));
}
