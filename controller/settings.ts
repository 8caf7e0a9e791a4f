import { BlockList, isIP } from 'node:net';

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
    '',
    'File that holds the API key of the account default, which jobs of every namespace may use; read again when it changes. When empty, jobs name a RunpodAccount.',
  ),
  trainerImage: text('TRAINER_IMAGE', undefined, 'Image whose entry point is the agent, for jobs that name none.'),
  telemetryTransport: text(
    'TELEMETRY_TRANSPORT',
    'Push',
    'Who calls whom where a job does not say: Push (pods call TELEMETRY_URL) or Pull (the operator calls pods, and needs no address).',
  ),
  telemetryUrl: text(
    'TELEMETRY_URL',
    '',
    'Address under which pods reach this operator; https, unless Runpod is simulated on this machine. Needed for Push only.',
  ),
  runpodProxyUrl: text(
    'RUNPOD_PROXY_URL',
    'https://{podID}-{port}.proxy.runpod.net',
    "Address of a pod's HTTP port, for Pull.",
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
  retryBackoff: seconds(
    'RETRY_BACKOFF_SECONDS',
    '10',
    'From the end of an attempt to the next; doubles with each retry of the run.',
  ),
  retryBackoffMax: seconds('RETRY_BACKOFF_MAX_SECONDS', '300', 'Longest such wait.'),
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
  leaseDuration: seconds(
    'LEASE_DURATION_SECONDS',
    '15',
    'How long a leader that is not heard of keeps another process from leading.',
  ),
  leaseRenewDeadline: seconds(
    'LEASE_RENEW_DEADLINE_SECONDS',
    '10',
    'A leader that could not renew its lease for so long ends; less than LEASE_DURATION_SECONDS.',
  ),
  leaseRetry: seconds('LEASE_RETRY_SECONDS', '2', 'Between tries to renew or to take the lease.'),
  connectPause: seconds(
    'CONNECT_PAUSE_SECONDS',
    '900',
    'How long nothing is rented in an account after three pods in a row that never connected; doubles with each further one.',
  ),
  connectPauseMax: seconds('CONNECT_PAUSE_MAX_SECONDS', '14400', 'Longest such pause.'),
  catalog: seconds('CATALOG_SECONDS', '600', "How long Runpod's price list is kept."),
} as const satisfies Record<string, SettingLine>;

const transports: readonly string[] = ['Push', 'Pull'];
const logLevels: readonly string[] = ['trace', 'debug', 'info', 'warn', 'error'];

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
    if (line.kind === 'text') {
      // An empty path or image would fail later and elsewhere; SQLite takes an empty one for a store that is not kept.
      if (given.trim() === '' && line.default !== '') problems.push(`${line.env} is empty: ${line.description}`);
      return [name, given];
    }
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
    if (given !== undefined && given.trim() !== '' && !listenAddress(given))
      problems.push(`${env} is "${given}"; write host:port, such as 0.0.0.0:8080`);
  }
  if (settings.logLevel.trim() !== '' && !logLevels.includes(settings.logLevel))
    problems.push(`LOG_LEVEL is "${settings.logLevel}"; write ${lines.logLevel.description.replace(/\.$/, '')}`);
  if (settings.telemetryTransport.trim() !== '' && !transports.includes(settings.telemetryTransport))
    problems.push(`TELEMETRY_TRANSPORT is "${settings.telemetryTransport}"; write Push or Pull`);
  const { leaseDuration, leaseRenewDeadline, leaseRetry } = settings;
  const ordered = leaseRetry < leaseRenewDeadline && leaseRenewDeadline < leaseDuration;
  if (!ordered && !problems.some((problem) => problem.startsWith('LEASE_')))
    problems.push(
      `LEASE_DURATION_SECONDS is ${leaseDuration}, LEASE_RENEW_DEADLINE_SECONDS ${leaseRenewDeadline}, LEASE_RETRY_SECONDS ${leaseRetry}; each must be below the one before, such as 15, 10 and 2`,
    );
  // A pod ends itself when no list has shown it for spec.watchdog.deadManSeconds, of which 300 is the least.
  if (Number.isFinite(settings.inventoryCalm) && settings.inventoryCalm > 150)
    problems.push(
      `INVENTORY_CALM_SECONDS is "${settings.inventoryCalm}"; write at most 150, or pods whose spec.watchdog.deadManSeconds is short end themselves between two lists`,
    );
  problems.push(...addressProblems(settings));
  if (problems.length > 0) throw new Error(`The operator cannot start:\n- ${problems.join('\n- ')}`);
  return settings;
}

/** The addresses by which operator, Runpod and pods reach each other: nobody on the way may read tokens or our key. */
function addressProblems(settings: Settings): readonly string[] {
  const { runpodUrl } = settings;
  const runpod = webAddress(runpodUrl);
  const simulated = runpod !== undefined && isLocal(runpod.hostname);
  const real = runpod !== undefined && !simulated;
  const problems: string[] = [];
  if (runpodUrl.trim() !== '' && (!runpod || (runpod.protocol === 'http:' && !simulated)))
    problems.push(`RUNPOD_API_URL is "${runpodUrl}"; write an address such as https://api.runpod.io`);
  return [...problems, ...proxyProblems(settings, real), ...telemetryProblems(settings, real)];
}

/** Nothing is readable on the way, but whoever is on it could keep the operator from its pods. */
function proxyProblems({ runpodProxyUrl }: Settings, real: boolean): readonly string[] {
  if (runpodProxyUrl.trim() === '') return [];
  const proxy = webAddress(runpodProxyUrl.replaceAll('{podID}', 'pod').replaceAll('{port}', '1'));
  const whole = runpodProxyUrl.includes('{podID}') && runpodProxyUrl.includes('{port}');
  if (proxy && whole && !(proxy.protocol === 'http:' && real)) return [];
  return [`RUNPOD_PROXY_URL is "${runpodProxyUrl}"; write an address such as ${lines.runpodProxyUrl.default}`];
}

/** Pods of the real Runpod must reach the operator, where they are to call it. */
function telemetryProblems(
  { runpodUrl, telemetryUrl, telemetryTransport }: Settings,
  real: boolean,
): readonly string[] {
  if (telemetryUrl.trim() === '') {
    return telemetryTransport === 'Pull'
      ? []
      : [
          'TELEMETRY_URL is not set: write the address under which pods reach this operator, such as https://telemetry.example.com, or set TELEMETRY_TRANSPORT to Pull, which needs none',
        ];
  }
  const telemetry = webAddress(telemetryUrl);
  if (!telemetry) return [`TELEMETRY_URL is "${telemetryUrl}"; write an address such as https://telemetry.example.com`];
  if (!real || (telemetry.protocol === 'https:' && !isLocal(telemetry.hostname))) return [];
  return [
    `TELEMETRY_URL is "${telemetryUrl}", which pods at ${runpodUrl} cannot reach safely; write a public https address`,
  ];
}

function webAddress(value: string): URL | undefined {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  return url?.protocol === 'https:' || url?.protocol === 'http:' ? url : undefined;
}

/** `host:port` as its two parts; an IPv6 address stands in brackets. */
export function listenAddress(value: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^(\[[0-9a-f:.]+\]|[^:\s]+):(\d{1,5})$/i.exec(value);
  const port = Number(match?.[2]);
  if (!match?.[1] || port > 65_535) return undefined;
  return { host: match[1].replace(/^\[|\]$/g, ''), port };
}

/** Networks that are not reached from the internet: this host, private, carrier-grade NAT, link-local. */
const localNetworks = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
] as const) {
  localNetworks.addSubnet(network, prefix, 'ipv4');
}
localNetworks.addSubnet('::', 127, 'ipv6');
localNetworks.addSubnet('fc00::', 7, 'ipv6');
localNetworks.addSubnet('fe80::', 10, 'ipv6');

/** A name without a dot is one of a cluster or a machine, never one of the internet. */
function isLocal(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  const family = isIP(host);
  if (family !== 0) return localNetworks.check(host, family === 4 ? 'ipv4' : 'ipv6');
  return !host.includes('.') || /\.(localhost|local|internal|svc)$/.test(host);
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
