/**
 * Ends what it is told to when its parent is gone, however the parent went: it waits for the end of its standard input, which
 * the kernel closes with the parent, and then kills the processes and removes the folder that were written into it.
 *
 * Input: lines `pid NUMBER`, `group NUMBER` (a process group), `forget NUMBER` for one that ended, and `folder PATH`.
 */
import { rmSync } from 'node:fs';
import { createInterface } from 'node:readline';

const pids = new Set<number>();
const folders: string[] = [];

// The parent's Ctrl-C reaches the whole group; the guardian must outlive it to clean up.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const [word, value = ''] = line.split(/ (.*)/s);
    if (word === 'pid') pids.add(Number(value));
    if (word === 'group') pids.add(-Number(value));
    if (word === 'forget') for (const id of [Number(value), -Number(value)]) pids.delete(id);
    if (word === 'folder') folders.push(value);
  })
  .on('close', () => {
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // Already gone, as it is after an orderly stop.
      }
    }
    setTimeout(() => {
      for (const folder of folders) rmSync(folder, { recursive: true, force: true });
    }, 200);
  });
