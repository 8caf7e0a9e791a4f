/**
 * Runs a server by itself: prints one line of JSON that says how to reach it, and ends it at SIGTERM, SIGINT or the end of
 * standard input. Progress goes to standard error.
 */
export async function standalone<T extends { stop(): Promise<void> }>(
  start: (say: (line: string) => void) => Promise<T>,
): Promise<never> {
  const server = await start((line) => process.stderr.write(`${line}\n`));
  process.stdout.write(`${JSON.stringify(server)}\n`);
  await new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, resolve);
    process.stdin.once('end', resolve).once('close', resolve).resume();
  });
  await server.stop();
  process.exit(0);
}
