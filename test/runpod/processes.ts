import { readdirSync, readFileSync } from 'node:fs';

/**
 * Kills what a pod started, whatever session or group it went to, as the end of a container does: a training that an agent runs
 * in a session of its own would live on otherwise. Processes are known by the pod's id in their environment, which only Linux
 * shows; elsewhere the group must do.
 */
export function killPod(id: string, group: number | undefined): void {
  if (group !== undefined) signalGroup(group, 'SIGKILL');
  // Again until none is found: one may have been started while the others were looked for.
  for (let round = 0; round < 10; round += 1) {
    const found = pidsOf(id);
    for (const pid of found) signal(pid, 'SIGKILL');
    if (found.length === 0) return;
  }
}

export function signalGroup(group: number, name: NodeJS.Signals): void {
  signal(-group, name);
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It is gone already.
  }
}

function pidsOf(id: string): readonly number[] {
  return pids().filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`RUNPOD_POD_ID=${id}`);
    } catch {
      return false;
    }
  });
}

function pids(): readonly number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return [];
  }
}
