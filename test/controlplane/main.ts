/**
 * A control plane by itself: prints one line of JSON that says how to reach it, and runs until SIGTERM, SIGINT or the end of
 * its standard input. Progress goes to standard error.
 */
import { applyCrds } from './crds.ts';
import { startControlPlane } from './controlplane.ts';

const plane = await startControlPlane({ say: (line) => process.stderr.write(`${line}\n`) });
await applyCrds(plane);
process.stdout.write(`${JSON.stringify(plane)}\n`);

await new Promise((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, resolve);
  process.stdin.once('end', resolve).once('close', resolve).resume();
});
await plane.stop();
process.exit(0);
