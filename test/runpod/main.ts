/**
 * The simulator by itself. Prints one line of JSON with its address and key, and runs until SIGTERM, SIGINT or the end of its
 * standard input.
 */
import { parseArgs } from 'node:util';
import { splitArgs } from './container.ts';
import { startSimulator } from './simulator.ts';

const { values } = parseArgs({
  options: {
    folder: { type: 'string' },
    port: { type: 'string', default: '0' },
    key: { type: 'string' },
    image: { type: 'string', multiple: true, default: [] },
    volume: { type: 'string', multiple: true, default: [] },
    'provision-ms': { type: 'string', default: '300' },
    'start-ms': { type: 'string', default: '200' },
    'requests-per-minute': { type: 'string', default: '60' },
  },
});

function pair(text: string, what: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw new Error(`${what} is "${text}"; write NAME=VALUE`);
  return [text.slice(0, at), text.slice(at + 1)];
}

if (values.folder === undefined) {
  process.stderr.write(
    'usage: node test/runpod/main.ts --folder DIR [--port N] [--key KEY] [--image NAME=COMMAND]... [--volume ID=DATACENTER]...\n',
  );
  process.exit(2);
}
const simulator = await startSimulator({
  folder: values.folder,
  port: Number(values.port),
  ...(values.key !== undefined && { apiKey: values.key }),
  images: Object.fromEntries(
    values.image.map((text) => {
      const [name, command] = pair(text, '--image');
      return [name, splitArgs(command)];
    }),
  ),
  volumes: values.volume.map((text) => {
    const [id, dataCenter] = pair(text, '--volume');
    return { id, name: id, dataCenter, size: 10 };
  }),
  provisionMs: Number(values['provision-ms']),
  startMs: Number(values['start-ms']),
  limits: [
    { name: 'minute', requests: Number(values['requests-per-minute']) },
    { name: 'hour', requests: 3000 },
    { name: 'day', requests: 50_000 },
  ],
});
process.stdout.write(`${JSON.stringify({ url: simulator.url, apiKey: simulator.apiKey })}\n`);

await new Promise((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, resolve);
  process.stdin.once('end', resolve).once('close', resolve).resume();
});
await simulator.stop();
process.exit(0);
