import { describe, expect, test } from 'vitest';
import type { TrainingJobStatus } from '../../controller/api/trainingjob.ts';
import { afterAct } from '../../controller/reconcile/afteract.ts';
import { decide } from '../../controller/reconcile/decide.ts';
import { lastWords } from '../../controller/reconcile/lastwords.ts';
import { WriteMemory } from '../../controller/reconcile/memory.ts';
import { observe } from '../../controller/reconcile/observe.ts';
import { redacted } from '../../controller/reconcile/redact.ts';
import { nextStatus } from '../../controller/reconcile/status.ts';
import { ManualClock } from './manualclock.ts';
import {
  at,
  attempt,
  final,
  installation,
  isoAt,
  list,
  pod,
  policy,
  snapshot,
  spec,
  telemetry,
  type SnapshotParts,
} from './snapshot.ts';

const failed = { result: 'Failed', reason: 'StartDeadlineExceeded', message: 'Late.', time: isoAt(-1) } as const;
const retried = { reason: 'HeartbeatLost', message: 'Silent.', time: isoAt(-1), fault: 'Host' } as const;
const suspended = { reason: 'Suspended', message: 'Asked.', time: isoAt(-1) } as const;

describe('whose log is read', () => {
  const read = async (parts: SnapshotParts, times = 1): Promise<readonly string[]> => {
    const { job, account, inventory, telemetry: heard } = snapshot({ pods: [pod()], ...parts });
    const asked: string[] = [];
    const memory = new WriteMemory(0);
    for (let time = 0; time < times; time += 1) {
      await observe(
        {
          clock: new ManualClock(),
          memory,
          accounts: {
            of: () => ({ ...account, view: () => inventory.view, prices: () => undefined, closedTo: () => undefined }),
          },
          telemetry: { summary: () => heard, ingestReadyAtMs: 0 },
          secrets: { readSecretKey: () => Promise.reject(new Error('no Secret is named')) },
          lastWords: async (_job, podID) => {
            asked.push(podID);
            return [];
          },
          runtimes: { find: () => 'absent' as const, names: () => [] },
          installation,
          policy,
          runs: { ofJob: () => undefined, succeededBefore: () => undefined },
        },
        job,
      );
    }
    return asked;
  };

  const cases: readonly (readonly [string, SnapshotParts, boolean])[] = [
    ['a run that failed without a final report', { status: { attempt: attempt(), outcome: failed } }, true],
    ['an attempt that is to be tried again', { status: { attempt: attempt({ end: retried }) } }, true],
    [
      'one whose agent was heard, and reported no end',
      { status: { attempt: attempt({ end: retried }) }, telemetry: telemetry() },
      true,
    ],
    [
      'one whose agent reported its end',
      { status: { attempt: attempt(), outcome: failed }, telemetry: telemetry({ finals: { 1: final() } }) },
      false,
    ],
    ['a success', { status: { attempt: attempt(), outcome: { ...failed, result: 'Succeeded' } } }, false],
    ['a suspended one', { status: { attempt: attempt({ end: suspended }) } }, false],
    ['a pod that goes on', { status: { attempt: attempt() } }, false],
    ['a pod that no list shows', { status: { attempt: attempt(), outcome: failed }, pods: [] }, false],
    [
      'a job that is being deleted',
      { status: { attempt: attempt(), outcome: failed }, metadata: { deletionTimestamp: isoAt(-1) } },
      false,
    ],
    [
      'one whose log is in status already',
      { status: { attempt: attempt({ containerLog: ['x'] }), outcome: failed } },
      false,
    ],
  ];
  test.each(cases)('%s', async (_, parts, expected) => {
    expect(await read(parts)).toEqual(expected ? ['pod1'] : []);
  });

  test('it is read once, also when there was nothing in it', async () => {
    expect(await read({ status: { attempt: attempt(), outcome: failed } }, 3)).toEqual(['pod1']);
  });
});

describe('where the words go', () => {
  const own = { lastWords: { podID: 'pod1', lines: ['boom'] } };
  const words = { attempt: attempt(), outcome: failed };

  test('into status with the end of the pod, and from there into the ledger as words of the container', () => {
    const ending = snapshot({ status: words, pods: [pod()], own });
    const planned = decide(ending);
    expect(planned.action.kind).toBe('terminatePod');
    const plan = afterAct(ending, planned, { kind: 'terminated', podID: 'pod1', atMs: at(0) });
    const status = nextStatus(ending, plan);
    expect(status.attempt).toMatchObject({ containerLog: ['boom'], billedTo: isoAt(0) });

    // Another process finds the pod gone: it read no log.
    const gone = snapshot({ nowMs: at(60), status, lists: [list(20), list(50)], own: { processStartedAtMs: at(10) } });
    const over = nextStatus(gone, decide(gone));
    expect(over.attempts).toMatchObject([{ logTail: ['boom'], logSource: 'Container' }]);
    expect(over.attempt).not.toHaveProperty('containerLog');
  });

  test('a final report that comes after all has the better words', () => {
    const status = { attempt: attempt({ containerLog: ['boom'] }), outcome: failed };
    const told = telemetry({ lastReportAt: at(-100), finals: { 1: final({ logTail: ['said'] }) } });
    const gone = snapshot({ status, telemetry: told, lists: [list(-40), list(-2)] });
    expect(nextStatus(gone, decide(gone)).attempts).toMatchObject([{ logTail: ['said'], logSource: 'Agent' }]);
  });

  test('without a log the agent’s own words stay', () => {
    const gone = snapshot({
      status: words,
      telemetry: telemetry({ lastReportAt: at(-100), logTail: ['said'] }),
      lists: [list(-40), list(-2)],
    });
    expect(nextStatus(gone, decide(gone)).attempts).toMatchObject([{ logTail: ['said'], logSource: 'Agent' }]);
  });

  test('the words of another pod do not count', () => {
    const status: TrainingJobStatus = { attempt: attempt({ number: 2 }), outcome: failed };
    expect(decide(snapshot({ status, pods: [pod({ attempt: 2 })], own })).record).toEqual({});
  });
});

const signed = 'https://data.example.com/rows.csv?X-Signature=AbCd%2BEf0123456789&X-Expires=3600';

describe('secrets in the words (I9)', () => {
  const env = [
    { name: 'TOKEN', valueFrom: { secretKeyRef: { name: 'hub', key: 'token' } } },
    { name: 'PLAIN', value: 'plain' },
  ];
  const { job } = snapshot({ spec: { trainer: { ...spec.trainer, env } } });
  const asked = async (
    lines: Promise<readonly string[]>,
    secret: () => Promise<{ kind: 'value'; value: string } | { kind: 'missing'; message: string }>,
  ): Promise<readonly string[]> => {
    const clock = new ManualClock();
    const context = { clock, account: { lastLines: () => lines }, secrets: { readSecretKey: secret } };
    const words = lastWords(context, job, 'pod1');
    await clock.pass(3000);
    return words;
  };

  test('values of Secrets are hidden, plain ones are not', async () => {
    const lines = Promise.resolve(['token=hunter2 and plain', 'x'.repeat(600)]);
    expect(await asked(lines, () => Promise.resolve({ kind: 'value', value: 'hunter2' }))).toEqual([
      'token=[hidden] and plain',
      'x'.repeat(512),
    ]);
  });

  test("the keys of the job's buckets are hidden too", async () => {
    const checkpoints = { uri: 's3://bucket/fit', secretRef: { name: 'bucket' } };
    const { job: stored } = snapshot({ spec: { checkpoints, trainer: { ...spec.trainer, env: [] } } });
    const secrets = {
      readSecretKey: async (_: string, __: string, key: string) => ({ kind: 'value' as const, value: `of-${key}` }),
    };
    const account = { lastLines: async () => ['key of-AWS_SECRET_ACCESS_KEY'] };
    expect(await lastWords({ clock: new ManualClock(), account, secrets }, stored, 'pod1')).toEqual(['key [hidden]']);
  });

  test('what signs the address of the data is hidden, what is short in it is not', async () => {
    const fineTune = { method: 'SFT' as const, model: { source: 'file:///model' }, dataset: { source: signed } };
    const { job: fetched } = snapshot({ spec: { trainer: { fineTune } } });
    const account = { lastLines: async () => [`GET ${signed}`, 'AbCd+Ef0123456789 3600'] };
    const secrets = { readSecretKey: () => Promise.reject(new Error('no Secret is named')) };
    expect(await lastWords({ clock: new ManualClock(), account, secrets }, fetched, 'pod1')).toEqual([
      'GET https://data.example.com/rows.csv?[hidden]',
      '[hidden] 3600',
    ]);
  });

  test.each<[string, Parameters<typeof asked>]>([
    ['a Secret that is gone', [Promise.resolve(['a']), () => Promise.resolve({ kind: 'missing', message: 'gone' })]],
    ['a Secret that cannot be read', [Promise.resolve(['a']), () => Promise.reject(new Error('away'))]],
    ['a Secret whose answer does not come', [Promise.resolve(['a']), () => new Promise(() => undefined)]],
    ['a log that does not come', [new Promise(() => undefined), () => Promise.resolve({ kind: 'value', value: 'v' })]],
  ])('%s: no words, after three seconds at most', async (_, parts) => {
    expect(await asked(...parts)).toEqual([]);
  });

  test.each<[string, string, readonly string[], string]>([
    ['every time it stands there', 'a s3cr3t, s3cr3t', ['s3cr3t'], 'a [hidden], [hidden]'],
    ['the longer of two', 'abcdefgh', ['abcd', 'abcdefgh'], '[hidden]'],
    ['each line of a file', 'key: line-two!', ['line-one!\nline-two!\n'], 'key: [hidden]'],
    ['no common word', 'one or two', ['one', '', ' '], 'one or two'],
    ['a token of ours', `x tj1.k1.ab.${'A'.repeat(43)} y`, [], 'x [hidden] y'],
    [
      "the pod's environment",
      'RUNPOD_API_KEY=abc123 TRAININGJOB_TOKEN: "q"',
      [],
      'RUNPOD_API_KEY=[hidden] TRAININGJOB_TOKEN: "[hidden]"',
    ],
    ['a key of Runpod', 'key rpa_0123456789abcdef0123', [], 'key [hidden]'],
  ])('%s is hidden', (_, line, values, expected) => {
    expect(redacted([line], values)).toEqual([expected]);
  });
});
