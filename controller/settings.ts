/**
 * The environment as one frozen object, and the only reader of it. Every setting is a line of this table; the README's table
 * is generated from it.
 */
export interface SettingLine {
  readonly env: string;
  readonly kind: 'text' | 'seconds' | 'count';
  /** Shown to users and used when the variable is not set; undefined means it must be set. */
  readonly default: string | undefined;
  readonly description: string;
}

const lines = {
  kubeconfig: text('KUBECONFIG', '', "Kubeconfig file; the pod's own service account when empty."),
  namespace: text('OPERATOR_NAMESPACE', 'default', "Namespace of the operator's own ConfigMap and Secret."),
  runpodUrl: text('RUNPOD_API_URL', 'https://api.runpod.io', "Address of Runpod's API."),
  runpodKeyFile: text(
    'RUNPOD_API_KEY_FILE',
    undefined,
    'File that holds the Runpod API key; read again when it changes.',
  ),
  trainerImage: text('TRAINER_IMAGE', undefined, 'Image whose entry point is the agent, for jobs that name none.'),
  telemetryUrl: text(
    'TELEMETRY_URL',
    undefined,
    'Address under which pods reach this operator; https, unless Runpod is simulated on this machine.',
  ),
  telemetryListen: text('TELEMETRY_LISTEN', '0.0.0.0:8080', 'Where the telemetry server listens, host:port.'),
  metricsListen: text('METRICS_LISTEN', '0.0.0.0:9090', 'Where /metrics listens, host:port.'),
  storePath: text('STORE_PATH', '/var/lib/trainingjob/telemetry.sqlite', 'SQLite file of the telemetry store.'),
  logLevel: text('LOG_LEVEL', 'info', 'trace, debug, info, warn or error.'),
  workers: count('WORKERS', '8', 'Jobs reconciled at the same time.'),
  inventoryUnsettled: seconds(
    'INVENTORY_UNSETTLED_SECONDS',
    '10',
    'Between lists of pods while any job waits for one.',
  ),
  inventoryCalm: seconds('INVENTORY_CALM_SECONDS', '60', 'Between lists of pods otherwise.'),
  goneGap: seconds('GONE_GAP_SECONDS', '20', 'Least time between the two lists that prove a pod gone.'),
  createGrace: seconds(
    'CREATE_GRACE_SECONDS',
    '90',
    'How long a pod is looked for after a create without a usable answer.',
  ),
  createTimeout: seconds('RUNPOD_TIMEOUT_SECONDS', '30', 'Most time for one call to Runpod.'),
  stopGrace: seconds('STOP_GRACE_SECONDS', '120', 'What a trainer gets to store a checkpoint when it is stopped.'),
  hold: seconds('HOLD_SECONDS', '120', "How long the agent waits for its pod's end before it ends the pod itself."),
  heartbeat: seconds('HEARTBEAT_SECONDS', '10', 'Between signs of life of an agent.'),
  refusalBackoff: seconds(
    'REFUSAL_BACKOFF_SECONDS',
    '15',
    'First wait after Runpod refused a candidate; doubles with each refusal.',
  ),
  refusalBackoffMax: seconds('REFUSAL_BACKOFF_MAX_SECONDS', '300', 'Longest such wait.'),
  exclude: seconds(
    'EXCLUDE_SECONDS',
    '3600',
    'How long a candidate that was charged or placed otherwise than asked is left out.',
  ),
  recheck: seconds('RECHECK_SECONDS', '15', 'Between looks at what a stalled job waits for.'),
  progressWrite: seconds('PROGRESS_WRITE_SECONDS', '15', 'Least time between status writes that only report progress.'),
  sweepGap: seconds(
    'SWEEP_GAP_SECONDS',
    '30',
    'Least time between the two sightings after which a pod that belongs to no live attempt is ended.',
  ),
  catalog: seconds('CATALOG_SECONDS', '600', "How long Runpod's price list is kept."),
} as const satisfies Record<string, SettingLine>;

type Lines = typeof lines;
export type Settings = {
  readonly [Name in keyof Lines]: Lines[Name]['kind'] extends 'text' ? string : number;
};

export const settingLines: readonly SettingLine[] = Object.values(lines);

/** Throws one error that names every wrong or missing variable. Durations come in seconds and are kept in seconds. */
export function readSettings(environment: Readonly<Record<string, string | undefined>> = process.env): Settings {
  const problems: string[] = [];
  const values = Object.entries(lines).map(([name, line]) => {
    const given = environment[line.env] ?? line.default;
    if (given === undefined) {
      problems.push(`${line.env} is not set: ${line.description}`);
      return [name, ''];
    }
    if (line.kind === 'text') return [name, given];
    const number = Number(given);
    if (
      given.trim() === '' ||
      !Number.isFinite(number) ||
      number < 0 ||
      (line.kind === 'count' && !(Number.isInteger(number) && number > 0))
    ) {
      problems.push(
        `${line.env} is "${given}"; write ${line.kind === 'count' ? 'a whole number above 0' : 'a number of seconds, such as 30'}`,
      );
    }
    return [name, number];
  });
  const settings = Object.freeze(Object.fromEntries(values)) as Settings;
  for (const { env } of [lines.telemetryListen, lines.metricsListen]) {
    const given = environment[env];
    if (given !== undefined && !listenAddress(given))
      problems.push(`${env} is "${given}"; write host:port, such as 0.0.0.0:8080`);
  }
  problems.push(...addressProblems(settings));
  if (problems.length > 0) throw new Error(`The operator cannot start:\n- ${problems.join('\n- ')}`);
  return settings;
}

/** Pods of the real Runpod must reach the operator, and nobody on the way may read their tokens. */
function addressProblems(settings: Settings): readonly string[] {
  if (settings.telemetryUrl === '' || !URL.canParse(settings.runpodUrl)) {
    return settings.telemetryUrl === ''
      ? []
      : [`RUNPOD_API_URL is "${settings.runpodUrl}"; write an address such as https://api.runpod.io`];
  }
  if (!URL.canParse(settings.telemetryUrl)) {
    return [`TELEMETRY_URL is "${settings.telemetryUrl}"; write an address such as https://telemetry.example.com`];
  }
  if (isLocal(new URL(settings.runpodUrl).hostname)) return [];
  const url = new URL(settings.telemetryUrl);
  if (url.protocol === 'https:' && !isLocal(url.hostname)) return [];
  return [
    `TELEMETRY_URL is "${settings.telemetryUrl}", which pods at ${settings.runpodUrl} cannot reach safely; write a public https address`,
  ];
}

/** `host:port` as its two parts; an IPv6 address stands in brackets. */
export function listenAddress(value: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^(\[[0-9a-f:.]+\]|[^:\s]+):(\d{1,5})$/i.exec(value);
  const port = Number(match?.[2]);
  if (!match?.[1] || port > 65_535) return undefined;
  return { host: match[1].replace(/^\[|\]$/g, ''), port };
}

function isLocal(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, '');
  return (
    host === 'localhost' ||
    /\.(localhost|local|internal|svc)$/.test(host) ||
    /^(127\.|10\.|192\.168\.|169\.254\.|172\.(1[6-9]|2\d|3[01])\.|0\.)/.test(host) ||
    /^(::1?$|f[cd]|fe80:)/i.test(host)
  );
}

function text<Default extends string | undefined>(env: string, fallback: Default, description: string) {
  return { env, kind: 'text', default: fallback, description } as const;
}

function seconds(env: string, fallback: string, description: string) {
  return { env, kind: 'seconds', default: fallback, description } as const;
}

function count(env: string, fallback: string, description: string) {
  return { env, kind: 'count', default: fallback, description } as const;
}
