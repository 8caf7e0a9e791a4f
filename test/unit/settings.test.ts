import { describe, expect, test } from 'vitest';
import { listenAddress, readSettings, settingLines } from '../../controller/settings.ts';

const good = {
  RUNPOD_API_KEY_FILE: '/etc/runpod/key',
  TRAINER_IMAGE: 'ghcr.io/acme/trainer:1',
  TELEMETRY_URL: 'https://telemetry.example.com',
};

const urlMissing =
  'TELEMETRY_URL is not set: write the address under which pods reach this operator, such as https://telemetry.example.com, or set TELEMETRY_TRANSPORT to Pull, which needs none';

function problems(changes: Readonly<Record<string, string | undefined>>): readonly string[] {
  try {
    readSettings({ ...good, ...changes });
    return [];
  } catch (error) {
    const [head, ...lines] = (error as Error).message.split('\n- ');
    expect(head).toBe('The operator cannot start:');
    return lines;
  }
}

test('three variables are enough; the others have defaults', () => {
  const settings = readSettings(good);
  expect(settings).toMatchObject({
    kubeconfig: '',
    namespace: 'default',
    runpodUrl: 'https://api.runpod.io',
    runpodKeyFile: '/etc/runpod/key',
    workers: 8,
    goneGap: 20,
    createGrace: 90,
    logLevel: 'info',
  });
  expect(Object.isFrozen(settings)).toBe(true);
});

test('every default is right by itself, and every line tells what it is for', () => {
  for (const line of settingLines) {
    expect(line.description).toMatch(/\.$/);
    if (line.kind !== 'text') expect(Number(line.default)).toBeGreaterThan(0);
  }
  expect(new Set(settingLines.map((line) => line.env)).size).toBe(settingLines.length);
});

test('zero is a value, and so are parts of a second', () => {
  expect(readSettings({ ...good, STOP_GRACE_SECONDS: '0', SWEEP_GAP_SECONDS: '0.25' })).toMatchObject({
    stopGrace: 0,
    sweepGap: 0.25,
  });
});

test('all that is wrong is told at once', () => {
  expect(
    problems({
      TRAINER_IMAGE: '',
      TELEMETRY_URL: undefined,
      RUNPOD_API_URL: 'runpod',
      WORKERS: '0',
    }),
  ).toEqual([
    'TRAINER_IMAGE is empty: Image whose entry point is the agent, for jobs that name none.',
    'WORKERS is "0"; write a whole number above 0',
    'RUNPOD_API_URL is "runpod"; write an address such as https://api.runpod.io',
    urlMissing,
  ]);
});

describe('each kind has its sentence', () => {
  const seconds = settingLines.filter((line) => line.kind === 'seconds').map((line) => line.env);
  test.each(seconds)('%s', (env) => {
    for (const given of ['', ' ', 'soon', '-1', 'NaN', 'Infinity', '1,5', '30s']) {
      expect(problems({ [env]: given })).toEqual([`${env} is "${given}"; write a number of seconds, such as 30`]);
    }
  });

  test.each(['', '0', '-1', '1.5', 'many', 'Infinity'])('WORKERS of "%s"', (given) => {
    expect(problems({ WORKERS: given })).toEqual([`WORKERS is "${given}"; write a whole number above 0`]);
  });

  const texts = settingLines.filter((line) => line.kind === 'text' && line.default !== '');
  test.each(texts)('$env must not be empty', ({ env, description }) => {
    expect(problems({ [env]: '' })).toEqual([`${env} is empty: ${description}`]);
    expect(problems({ [env]: ' ' })).toEqual([`${env} is empty: ${description}`]);
  });

  test('an empty KUBECONFIG is the service account', () => expect(problems({ KUBECONFIG: '' })).toEqual([]));

  test('without a key file, every job names a RunpodAccount', () =>
    expect(problems({ RUNPOD_API_KEY_FILE: '' })).toEqual([]));

  test.each(['loud', 'INFO', 'silent'])('LOG_LEVEL of "%s"', (given) => {
    expect(problems({ LOG_LEVEL: given })).toEqual([
      `LOG_LEVEL is "${given}"; write trace, debug, info, warn or error`,
    ]);
  });

  test.each(['8080', 'localhost', '0.0.0.0:', ':8080', '0.0.0.0:65536', '0.0.0.0:-1', 'a b:1', '::1:80'])(
    'METRICS_LISTEN of "%s"',
    (given) => {
      expect(problems({ METRICS_LISTEN: given })).toEqual([
        `METRICS_LISTEN is "${given}"; write host:port, such as 0.0.0.0:8080`,
      ]);
    },
  );

  test.each(['runpod', 'api.runpod.io:443', 'ftp://api.runpod.io', 'http://api.runpod.io'])(
    'RUNPOD_API_URL of "%s"',
    (given) => {
      expect(problems({ RUNPOD_API_URL: given })).toContain(
        `RUNPOD_API_URL is "${given}"; write an address such as https://api.runpod.io`,
      );
    },
  );

  test.each(['telemetry.example.com', 'telemetry.example.com:443', 'ws://telemetry.example.com'])(
    'TELEMETRY_URL of "%s"',
    (given) => {
      expect(problems({ TELEMETRY_URL: given })).toEqual([
        `TELEMETRY_URL is "${given}"; write an address such as https://telemetry.example.com`,
      ]);
    },
  );
});

test.each([
  ['0.0.0.0:8080', '0.0.0.0', 8080],
  ['127.0.0.1:0', '127.0.0.1', 0],
  ['localhost:65535', 'localhost', 65_535],
  ['[::]:9090', '::', 9090],
  ['[fe80::1]:80', 'fe80::1', 80],
])('%s listens on %s, port %d', (value, host, port) => expect(listenAddress(value)).toEqual({ host, port }));

describe('the address that pods post to', () => {
  const real = 'https://api.runpod.io';
  const refused = (telemetry: string): string =>
    `TELEMETRY_URL is "${telemetry}", which pods at ${real} cannot reach safely; write a public https address`;

  test.each([
    'http://telemetry.example.com',
    'https://localhost:8443',
    'https://telemetry.localhost',
    'https://LOCALHOST',
    'https://localhost.',
    'https://telemetry',
    'https://operator.svc',
    'https://operator.team.svc.cluster.local',
    'https://printer.local',
    'https://host.docker.internal',
    'https://127.0.0.1',
    'https://127.1',
    'https://0x7f000001',
    'https://0.0.0.0',
    'https://10.1.2.3',
    'https://100.64.0.1',
    'https://169.254.169.254',
    'https://172.16.0.1',
    'https://172.31.255.255',
    'https://192.168.1.1:443/path',
    'https://[::1]',
    'https://[::]',
    'https://[fd00::1]',
    'https://[fe80::1]',
    'https://[::ffff:10.0.0.1]',
  ])('%s is refused together with the real Runpod', (telemetry) => {
    expect(problems({ TELEMETRY_URL: telemetry })).toEqual([refused(telemetry)]);
  });

  test.each([
    'https://telemetry.example.com',
    'https://telemetry.example.com:8443/base/',
    'https://fdic.example.com',
    'https://fc-training.example.com',
    'https://10.example.com',
    'https://127.0.0.1.example.com',
    'https://172.15.0.1',
    'https://172.32.0.1',
    'https://100.128.0.1',
    'https://8.8.8.8',
    'https://[2001:db8::1]',
  ])('%s is taken', (telemetry) => expect(problems({ TELEMETRY_URL: telemetry })).toEqual([]));

  test.each(['http://127.0.0.1:9000', 'http://localhost:9000', 'http://[::1]:9000', 'http://simulator:80'])(
    'with Runpod simulated at %s any address will do',
    (runpod) => {
      for (const telemetry of ['http://127.0.0.1:8080', 'http://operator:8080', 'https://telemetry.example.com']) {
        expect(problems({ RUNPOD_API_URL: runpod, TELEMETRY_URL: telemetry })).toEqual([]);
      }
    },
  );

  test.each(['https://10.proxy.example.com', 'https://fd.example.com'])(
    'a public proxy %s is not taken for a simulator',
    (runpod) => {
      expect(problems({ RUNPOD_API_URL: runpod, TELEMETRY_URL: 'http://127.0.0.1:8080' })).toHaveLength(1);
    },
  );
});

describe('who calls whom', () => {
  test.each([undefined, '', ' '])('where pods call, TELEMETRY_URL of "%s" is not enough', (given) => {
    expect(problems({ TELEMETRY_URL: given })).toEqual([urlMissing]);
    expect(problems({ TELEMETRY_URL: given, TELEMETRY_TRANSPORT: 'Push' })).toEqual([urlMissing]);
    expect(problems({ TELEMETRY_URL: given, TELEMETRY_TRANSPORT: 'Pull' })).toEqual([]);
  });

  test('where pods are called, an address that pods could not reach is refused all the same: a job may want to', () => {
    expect(problems({ TELEMETRY_URL: 'http://10.1.2.3', TELEMETRY_TRANSPORT: 'Pull' })).toHaveLength(1);
  });

  test.each(['pull', 'PUSH', 'Both'])('TELEMETRY_TRANSPORT of "%s"', (given) => {
    expect(problems({ TELEMETRY_TRANSPORT: given })).toEqual([`TELEMETRY_TRANSPORT is "${given}"; write Push or Pull`]);
  });

  test.each([
    'proxy',
    'https://proxy.example.com',
    'https://{podID}.proxy.example.com',
    'https://{port}.proxy.example.com',
    'http://{podID}-{port}.proxy.example.com',
    'ftp://{podID}-{port}.proxy.example.com',
  ])('RUNPOD_PROXY_URL of "%s"', (given) => {
    expect(problems({ RUNPOD_PROXY_URL: given })).toEqual([
      `RUNPOD_PROXY_URL is "${given}"; write an address such as https://{podID}-{port}.proxy.runpod.net`,
    ]);
  });

  test('with Runpod simulated, its proxy is, too', () => {
    const simulated = { RUNPOD_API_URL: 'http://127.0.0.1:9', RUNPOD_PROXY_URL: 'http://127.0.0.1:9/{podID}/{port}' };
    expect(problems(simulated)).toEqual([]);
  });
});
