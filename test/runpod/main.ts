/** The simulator by itself. Prints one line of JSON with its address, key and folder, and runs until it is told to end. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { changeOffer } from './control.ts';
import { parseFlags, usage, type Flags } from './flags.ts';
import { startSimulator, type Simulator } from './simulator.ts';

const flags = readFlags();
const folder = flags.folder ?? mkdtempSync(join(tmpdir(), 'runpod-simulator-'));
// Listened for before anything is started: an end that comes early must not leave half of it behind.
const told = new Promise<void>((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve());
  if (flags.untilStdinEnds) process.stdin.once('end', resolve).once('close', resolve).resume();
});

const simulator = await start().catch((error: unknown) => {
  return giveUp(error instanceof Error ? error.message : String(error));
});
process.stdout.write(
  `${JSON.stringify({ url: simulator.url, apiKey: simulator.apiKey, proxyUrl: simulator.proxyUrl, folder })}\n`,
);
await told;
await simulator.stop();
process.exit(0);

async function start(): Promise<Simulator> {
  const started = await startSimulator({
    folder,
    temporary: flags.folder === undefined,
    port: flags.port,
    ...(flags.key !== undefined && { apiKey: flags.key }),
    images: flags.images,
    volumes: flags.volumes,
    provisionMs: flags.provisionMs,
    startMs: flags.startMs,
    restartMs: flags.restartMs,
    limits: [
      { name: 'minute', requests: flags.requestsPerMinute },
      { name: 'hour', requests: 3000 },
      { name: 'day', requests: 50_000 },
    ],
  });
  for (const fault of flags.faults) started.fault(fault);
  try {
    for (const offer of flags.offers) changeOffer(started.catalog, offer);
  } catch (error) {
    await started.stop();
    throw error;
  }
  return started;
}

function readFlags(): Flags {
  try {
    const read = parseFlags(process.argv.slice(2));
    if (read !== 'help') return read;
  } catch (error) {
    return giveUp(error instanceof Error ? error.message : String(error));
  }
  process.stdout.write(usage);
  process.exit(0);
}

function giveUp(why: string): never {
  process.stderr.write(`${why}\n\n--help lists the flags.\n`);
  process.exit(2);
}
