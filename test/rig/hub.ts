import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { python } from './trainer.ts';

/** A stand-in for the Hugging Face Hub, the one that the trainer's own tests use. Its token "good" may write for acme. */
export interface Hub {
  readonly url: string;
  stop(): Promise<void>;
}

/** `refusals`: so many commits are answered with 500 before one is taken. */
export async function startHub(refusals = 0): Promise<Hub> {
  const root = mkdtempSync(join(tmpdir(), 'trainingjob-hub-'));
  const child = spawn(python, ['-m', 'tests.hubserver', '--root', root, '--refuse-commits', String(refusals)], {
    cwd: new URL('../../trainer/', import.meta.url).pathname,
    // It ends with its standard input, so it never outlives whoever started it.
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const [url] = (await once(createInterface(child.stdout), 'line')) as [string];
  return {
    url,
    async stop() {
      const ended = once(child, 'exit');
      child.stdin.end();
      await ended;
      rmSync(root, { recursive: true, force: true });
    },
  };
}
