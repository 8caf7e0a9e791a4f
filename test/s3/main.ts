/**
 * An S3 server by itself: prints one line of JSON that says how to reach it, and runs until SIGTERM, SIGINT or the end of its
 * standard input. Progress goes to standard error.
 */
import { startS3Server } from './server.ts';

const server = await startS3Server((line) => process.stderr.write(`${line}\n`));
process.stdout.write(`${JSON.stringify(server)}\n`);

await new Promise((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, resolve);
  process.stdin.once('end', resolve).once('close', resolve).resume();
});
await server.stop();
process.exit(0);
