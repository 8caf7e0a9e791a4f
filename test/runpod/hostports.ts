import { createServer } from 'node:net';

/** Below the ports that systems give to outgoing connections, so that none of those takes one before its process listens. */
const first = 20_000;
const last = 32_000;
const tries = 100;

const given = new Set<number>();

/** A port of this machine that is free and was not given before; a process here cannot have a container's own. */
export async function hostPort(): Promise<number> {
  for (let tried = 0; tried < tries; tried += 1) {
    const port = first + Math.floor(Math.random() * (last - first));
    if (!given.has(port) && (await isFree(port))) {
      given.add(port);
      return port;
    }
  }
  throw new Error(`no free port between ${first} and ${last} was found`);
}

/** To be given again. */
export function giveBack(port: number): void {
  given.delete(port);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
