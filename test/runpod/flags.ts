import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';
import { dataCenters } from './catalog.ts';
import { splitArgs } from './container.ts';
import { parseFault, type Fault } from './faults.ts';
import type { Volume } from './pods.ts';

export const usage = `usage: node test/runpod/main.ts [flags]

  --folder DIR               where disks and network volumes live; a new temporary folder when absent
  --port N                   port to listen on at 127.0.0.1; a free one when absent
  --key KEY                  the account's API key; a random one when absent
  --image NAME=COMMAND       what a pod with this image runs; may be repeated
  --volume ID=DATACENTER     a network volume; may be repeated
  --fault JSON               a fault, as {"kind":"loseCreateReply"}; may be repeated
  --offer JSON               a price or stock, as {"id":"cpu3c","stock":0}; may be repeated
  --provision-ms N           from create to STARTING, as for pulling an image (300)
  --start-ms N               from there to RUNNING (200)
  --restart-ms N             first wait before an exited container starts again (1000)
  --requests-per-minute N    rate limit of the minute window (60)
  --until-stdin-ends         end with the program at the other end of standard input
  --help                     this text
`;

export interface Flags {
  readonly folder: string | undefined;
  readonly port: number;
  readonly key: string | undefined;
  readonly images: Readonly<Record<string, readonly string[]>>;
  readonly volumes: readonly Volume[];
  readonly faults: readonly Fault[];
  readonly offers: readonly unknown[];
  readonly provisionMs: number;
  readonly startMs: number;
  readonly restartMs: number;
  readonly requestsPerMinute: number;
  readonly untilStdinEnds: boolean;
}

const repeated = { type: 'string' as const, multiple: true as const, default: [] as string[] };

const options = {
  folder: { type: 'string' },
  port: { type: 'string', default: '0' },
  key: { type: 'string' },
  image: repeated,
  volume: repeated,
  fault: repeated,
  offer: repeated,
  'provision-ms': { type: 'string', default: '300' },
  'start-ms': { type: 'string', default: '200' },
  'restart-ms': { type: 'string', default: '1000' },
  'requests-per-minute': { type: 'string', default: '60' },
  'until-stdin-ends': { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} satisfies ParseArgsOptionsConfig;

/** Reads the command line; `help` when only the usage is wanted. Throws a sentence for the first flag that is wrong. */
export function parseFlags(args: readonly string[]): Flags | 'help' {
  const { values } = parseArgs({ args: [...args], options });
  if (values.help) return 'help';
  return {
    folder: values.folder,
    port: count('port', values.port, 0, 65_535),
    key: values.key === undefined ? undefined : keyOf(values.key),
    images: Object.fromEntries(values.image.map(imageOf)),
    volumes: values.volume.map(volumeOf),
    faults: values.fault.map((text) => parseFault(json('fault', text))),
    offers: values.offer.map((text) => json('offer', text)),
    provisionMs: count('provision-ms', values['provision-ms'], 0),
    startMs: count('start-ms', values['start-ms'], 0),
    restartMs: count('restart-ms', values['restart-ms'], 0),
    requestsPerMinute: count('requests-per-minute', values['requests-per-minute'], 1),
    untilStdinEnds: values['until-stdin-ends'],
  };
}

function count(flag: string, text: string, least: number, most = 2 ** 31 - 1): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= least && number <= most) return number;
  throw new Error(`--${flag} is "${text}"; write a whole number from ${least} to ${most}`);
}

function keyOf(text: string): string {
  if (/^[\x21-\x7e]+$/.test(text)) return text;
  throw new Error(`--key is "${text}"; write letters and digits without spaces`);
}

function imageOf(text: string): readonly [string, readonly string[]] {
  const [name, value] = pair('image', text, 'NAME=COMMAND');
  const command = splitArgs(value);
  if (command.length === 0) throw new Error(`--image is "${text}"; write the command after the =, as ${name}=sleep 60`);
  return [name, command];
}

function volumeOf(text: string): Volume {
  const [id, dataCenter] = pair('volume', text, 'ID=DATACENTER');
  if (!/^[\w-]+$/.test(id)) throw new Error(`--volume is "${text}"; write letters, digits, - and _ before the =`);
  const known = dataCenters.map((entry) => entry.id);
  if (!known.includes(dataCenter))
    throw new Error(`--volume is "${text}"; write one of ${known.join(', ')} after the =`);
  return { id, name: id, dataCenter, size: 10 };
}

function pair(flag: string, text: string, form: string): readonly [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw new Error(`--${flag} is "${text}"; write ${form}`);
  return [text.slice(0, at), text.slice(at + 1)];
}

function json(flag: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`--${flag} is "${text}"; write JSON, in quotes that your shell keeps`);
  }
}
