/**
 * Ends the pods' processes when the simulator is gone, however it went: waits for the end of its standard input, which the
 * kernel closes with the simulator.
 *
 * Input: lines `pod ID GROUP` for a container that started, `forget ID` for one that ended, `folder PATH` for one to remove.
 */
import { rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { killPod } from './processes.ts';

const pods = new Map<string, number>();
const folders: string[] = [];

// A Ctrl-C reaches the whole group of the simulator; this process must outlive it.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const [word, value = '', group] = line.split(' ');
    if (word === 'pod') pods.set(value, Number(group));
    if (word === 'forget') pods.delete(value);
    if (word === 'folder') folders.push(line.slice('folder '.length));
  })
  .on('close', () => {
    for (const [id, group] of pods) killPod(id, group);
    for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  });
