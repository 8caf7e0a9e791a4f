import { describe, expect, test } from 'vitest';
import { uid12, podName } from '../../controller/api/identity.ts';
import type { Candidate, Refusal, TrainingJobSpec } from '../../controller/api/trainingjob.ts';
import { refusalWaitMs } from '../../controller/reconcile/attempts.ts';
import { decide } from '../../controller/reconcile/decide.ts';
import { nearest } from '../../controller/reconcile/nearest.ts';
import type { Plan } from '../../controller/reconcile/plan.ts';
import { refusal } from '../../controller/reconcile/refusal.ts';
import type { RefusalClass } from '../../controller/reconcile/snapshot.ts';
import { admit } from '../../controller/reconcile/stages/admit.ts';
import { place } from '../../controller/reconcile/stages/place.ts';
import type { Catalog } from '../../controller/runpod/catalog.ts';
import { RunpodError } from '../../controller/runpod/errors.ts';
import { attempt, installation, isoAt, snapshot, spec, uid, type SnapshotParts } from './snapshot.ts';

const classes: readonly RefusalClass[] = [
  'NoCapacity',
  'PriceAboveCap',
  'WrongPlace',
  'Invalid',
  'Balance',
  'Forbidden',
  'RateLimited',
  'Unauthorized',
  'Unclassified',
];

function refused(candidate: string, changes: Partial<Refusal> = {}): Refusal {
  return {
    candidate,
    class: 'NoCapacity',
    message: 'no instances available',
    count: 1,
    generation: 1,
    lastTime: isoAt(-5),
    retryTime: isoAt(10),
    ...changes,
  };
}

const refusals = (...entries: readonly Refusal[]): SnapshotParts => ({
  status: { placement: { refusals: [...entries] } },
});

describe('admit', () => {
  const run = (parts: SnapshotParts): Plan | undefined => admit(snapshot(parts));

  test.each([[{ finalizers: [] }], [{ finalizers: ['other/one'] }]])(
    'the finalizer comes first, before anything is written or rented',
    (metadata) => {
      expect(run({ status: null, metadata })).toMatchObject({
        action: { kind: 'addFinalizer' },
        record: {},
        requeueAfterMs: 0,
      });
      expect(run({ status: { attempt: attempt() }, metadata })).toMatchObject({ action: { kind: 'addFinalizer' } });
    },
  );

  test('then the job is taken up', () => {
    expect(run({ status: null })).toMatchObject({ action: { kind: 'none' }, record: { started: true } });
  });

  const forbidden = new RunpodError('forbidden', 'key may not read pods');
  const unauthorized = new RunpodError('unauthorized', 'key was revoked');
  const obstacles: readonly (readonly [string, SnapshotParts, string | undefined, boolean])[] = [
    ['nothing', {}, undefined, false],
    ['a missing Secret', { missingSecrets: ['env A: no Secret hub.', 'env B: no key x.'] }, 'SecretMissing', true],
    ['a refused key', { listError: unauthorized }, 'AccountUnauthorized', true],
    ['a key without rights', { listError: forbidden }, 'AccountForbidden', true],
    ['a list that is not believed', { suspicious: true }, 'InventoryNotTrusted', false],
    ['no list yet', { lists: [] }, 'AwaitingInventory', false],
    ['a list that failed for another reason', { listError: new RunpodError('transient', '502') }, undefined, false],
  ];
  test.each(obstacles)('%s', (_, parts, reason, stalled) => {
    const plan = run(parts);
    expect(plan?.say.reason).toBe(reason);
    if (plan) {
      expect(plan).toMatchObject({ action: { kind: 'none' }, record: {}, requeueAfterMs: 15_000, wantsList: true });
      expect(plan.say.stalled ?? false).toBe(stalled);
    }
  });

  test('an obstacle holds back a create that was not sent, and nothing that has a pod', () => {
    const missing = { missingSecrets: ['env A: no Secret hub.'] };
    expect(run({ ...missing, status: { attempt: attempt() } })).toBeUndefined();
    expect(run({ ...missing, status: { attempt: attempt({ state: 'Unknown' }) } })).toBeUndefined();
    const intent = { status: { attempt: attempt({ state: 'Intent' }) }, own: { freshIntent: 1 } };
    expect(run({ ...missing, ...intent })?.say.reason).toBe('SecretMissing');
  });

  const pushes = { spec: { telemetry: { transport: 'Push' } } } as const;

  test('a job that wants to call an operator without an address is told what to write instead', () => {
    const say = run({ ...pushes, policy: { transport: 'Pull', canBeCalled: false } })?.say;
    expect(say).toMatchObject({ reason: 'TelemetryAddressMissing', stalled: true });
    expect(say?.message).toContain('write spec.telemetry: {transport: Pull}');
    expect(run({ ...pushes, policy: { transport: 'Pull' } })).toBeUndefined();
    expect(run({ policy: { transport: 'Pull', canBeCalled: false } })).toBeUndefined();
    const pulls = { spec: { telemetry: { transport: 'Pull' } } } as const;
    expect(run({ ...pulls, policy: { transport: 'Pull', canBeCalled: false } })).toBeUndefined();
  });

  test('all missing Secrets are told', () => {
    expect(run({ missingSecrets: ['env A: no Secret hub.', 'env B: no key x.'] })?.say.message).toBe(
      'env A: no Secret hub. env B: no key x.',
    );
  });
});

describe('place', () => {
  const run = (parts: SnapshotParts): Plan | undefined => place(snapshot(parts));
  const chosen = (parts: SnapshotParts): string | undefined => run(parts)?.record.attempt?.candidate;

  test.each(['Intent', 'Unknown', 'Observed'] as const)(
    'asks for nothing while a pod of a %s attempt may exist',
    (state) => {
      expect(run({ status: { attempt: attempt({ state }) } })).toBeUndefined();
    },
  );

  test.each([
    [undefined, 'Push', 'Push'],
    [undefined, 'Pull', 'Pull'],
    ['Push', 'Pull', 'Push'],
    ['Pull', 'Push', 'Pull'],
  ] as const)('records who calls whom: the job says %s, the operator %s', (said, transport, recorded) => {
    const spec = said && { telemetry: { transport: said } };
    const plan = run({ ...(spec && { spec }), policy: { transport } });
    expect(plan?.record.attempt?.transport).toBe(recorded);
  });

  test('writes the intent for the first candidate, and does nothing else', () => {
    expect(run({})).toEqual({
      stage: 'place',
      action: { kind: 'none' },
      record: {
        attempt: {
          number: 1,
          nonce: 'n0nc',
          podName: podName({ installation, uid12: uid12(uid), attempt: 1, nonce: 'n0nc' }, 'fit'),
          candidate: 'small',
          account: 'default',
          state: 'Intent',
          intentTime: isoAt(0),
          transport: 'Push',
        },
      },
      say: { reason: 'Placing', message: 'Asking Runpod for candidate small.' },
      requeueAfterMs: 0,
    });
  });

  test.each(['Refused', 'Abandoned', 'Gone'] as const)('the number after a %s attempt is the next', (state) => {
    expect(run({ status: { attempt: attempt({ number: 7, state }) } })?.record.attempt?.number).toBe(8);
  });

  const order: readonly (readonly [string, readonly Refusal[], string | undefined])[] = [
    ['the first', [], 'small'],
    ['the next while the first waits', [refused('small')], 'large'],
    ['the first again once its wait is over', [refused('small', { retryTime: isoAt(0) })], 'small'],
    ['none while all wait', [refused('small'), refused('large')], undefined],
    ['one whose wait was recorded without an end', [refused('small', { retryTime: undefined as never })], 'small'],
    ['never one that is invalid', [refused('small', { class: 'Invalid', retryTime: isoAt(-99) })], 'large'],
    ['an invalid one when the spec changed', [refused('small', { class: 'Invalid', generation: 0 })], 'small'],
    [
      'one that was too dear when the spec changed',
      [refused('small', { class: 'PriceAboveCap', generation: 0 })],
      'small',
    ],
    [
      'one that came up elsewhere when the spec changed',
      [refused('small', { class: 'WrongPlace', generation: 0 })],
      'small',
    ],
    ['not one without stock though the spec changed', [refused('small', { generation: 0 })], 'large'],
    ['nor one without money', [refused('small', { class: 'Balance', generation: 0 })], 'large'],
  ];
  test.each(order)('asks for %s', (_, entries, candidate) => {
    const { retryTime: _drop, ...without } = entries[0] ?? refused('');
    const given = entries.map((entry) => (entry.retryTime === undefined ? without : entry));
    expect(chosen(refusals(...given))).toBe(candidate);
  });

  test('a refusal of a candidate that is gone from the spec holds nobody back', () => {
    expect(chosen(refusals(refused('removed')))).toBe('small');
  });

  const reasons: Readonly<Record<RefusalClass, readonly [string, boolean]>> = {
    NoCapacity: ['NoCapacity', false],
    PriceAboveCap: ['PriceAboveCap', false],
    WrongPlace: ['WrongPlace', false],
    Invalid: ['InvalidCandidate', true],
    Balance: ['InsufficientBalance', true],
    Forbidden: ['AccountForbidden', true],
    RateLimited: ['RateLimited', false],
    Unauthorized: ['AccountUnauthorized', true],
    Unclassified: ['Unclassified', false],
  };
  test.each(classes)('%s of every candidate is told, with what was said and what helps', (name) => {
    const plan = run(refusals(refused('small', { class: name }), refused('large', { class: name })));
    const [reason, stalled] = reasons[name];
    expect(plan).toMatchObject({ action: { kind: 'none' }, record: {}, say: { reason, stalled } });
    // A key that is not there is refused by nobody, so those words are not said to be Runpod's.
    const told =
      name === 'Unauthorized'
        ? /^small: The API key of account default does not work \(no instances available\); put .+ large: The API key .+/
        : /^small: .+ Runpod: "no instances available"\. large: .+/;
    expect(plan?.say.message).toMatch(told);
  });

  test('is stalled only when no candidate can come by itself', () => {
    const entries = [refused('small', { class: 'Balance' }), refused('large')];
    expect(run(refusals(...entries))?.say).toMatchObject({ reason: 'NoCapacity', stalled: false });
  });

  test('comes back at the first retry, or after the longest wait', () => {
    const soon = [refused('small', { retryTime: isoAt(40) }), refused('large', { retryTime: isoAt(20) })];
    expect(run(refusals(...soon))?.requeueAfterMs).toBe(20_000);
    const late = [
      refused('small', { class: 'WrongPlace', retryTime: isoAt(3600) }),
      refused('large', { class: 'Invalid' }),
    ];
    expect(run(refusals(...late))?.requeueAfterMs).toBe(300_000);
  });

  test('what stalls the job stays said while it is asked for again', () => {
    const expired = refused('small', { class: 'Balance', retryTime: isoAt(-1) });
    const waiting = [expired, refused('large', { class: 'Unauthorized' })];
    const trying = run(refusals(...waiting));
    expect(trying?.record.attempt?.candidate).toBe('small');
    const before = run(refusals(refused('small', { class: 'Balance' }), waiting[1]!));
    expect(before?.record.attempt).toBeUndefined();
    expect(trying?.say).toEqual(before?.say);
  });
});

describe('the price list', () => {
  const catalog: Catalog = {
    gpus: new Map([
      ['NVIDIA H100 80GB HBM3', { secure: 2.99, community: 2.39 }],
      ['NVIDIA A40', { secure: 1.1, community: 0.4 }],
    ]),
    cpus: new Map([['cpu3c', 0.03]]),
  };
  const only = (candidate: Candidate): SnapshotParts => ({
    catalog,
    spec: { compute: { ...spec.compute, candidates: [candidate] } satisfies TrainingJobSpec['compute'] },
  });
  const gpu = (type: string, count: number, more: Partial<Candidate> = {}): SnapshotParts =>
    only({ name: 'one', gpu: { type, count }, cloud: 'Secure', ...more });
  const said = (parts: SnapshotParts): string | undefined => {
    const plan = place(snapshot(parts));
    return plan?.record.attempt ? undefined : plan?.say.message;
  };

  test.each([
    ['a known GPU', gpu('NVIDIA A40', 1), undefined],
    [
      'a GPU type with a typing error',
      gpu('NVIDA H100 80GB HBM3', 1),
      'one: Runpod has no GPU type "NVIDA H100 80GB HBM3". Did you mean "NVIDIA H100 80GB HBM3"?',
    ],
    ['part of its name', gpu('H100', 1), 'one: Runpod has no GPU type "H100". Did you mean "NVIDIA H100 80GB HBM3"?'],
    [
      'a GPU type that is like none',
      gpu('TPU v5 of another company', 1),
      'one: Runpod has no GPU type "TPU v5 of another company".',
    ],
    [
      'a CPU flavor with a typing error',
      only({ name: 'one', cpu: { flavor: 'cpu3d', vcpus: 4 }, cloud: 'Secure' }),
      'one: Runpod has no CPU flavor "cpu3d". Did you mean "cpu3c"?',
    ],
    [
      'a price above the cap',
      gpu('NVIDIA A40', 4, { maxPricePerHour: '4.00' }),
      'one: list price 4.40 USD per hour is above maxPricePerHour 4.00; raise it, or wait for a lower price.',
    ],
    [
      'a price that differs in a part of a cent',
      only({ name: 'one', cpu: { flavor: 'cpu3c', vcpus: 4 }, cloud: 'Secure', maxPricePerHour: '0.1199' }),
      'one: list price 0.12 USD per hour is above maxPricePerHour 0.1199; raise it, or wait for a lower price.',
    ],
    ['the cap exactly', gpu('NVIDIA A40', 1, { maxPricePerHour: '1.10' }), undefined],
    ['the cap exactly, where floating point is above it', gpu('NVIDIA A40', 3, { maxPricePerHour: '3.30' }), undefined],
    ['the cheaper cloud', gpu('NVIDIA A40', 1, { maxPricePerHour: '0.50', cloud: 'Community' }), undefined],
    ['no list', { ...gpu('whatever', 1), catalog: undefined as never }, undefined],
  ] as const)('%s', (_, parts, message) => expect(said(parts)).toBe(message));

  test('a mistyped type stalls the job, a price above the cap does not', () => {
    expect(decide(snapshot(gpu('H100', 1))).say).toMatchObject({ reason: 'InvalidCandidate', stalled: true });
    const dear = decide(snapshot(gpu('NVIDIA A40', 4, { maxPricePerHour: '4.00' })));
    expect(dear.say).toMatchObject({ reason: 'PriceAboveCap', stalled: false });
    expect(dear.requeueAfterMs).toBe(300_000);
  });
});

describe('refusals', () => {
  const wait = (name: RefusalClass, count: number, retryAfterMs?: number): number =>
    refusalWaitMs(snapshot(), { class: name, count, ...(retryAfterMs !== undefined && { retryAfterMs }) }) / 1000;

  test.each([
    ['NoCapacity', 1, undefined, 15],
    ['NoCapacity', 2, undefined, 30],
    ['NoCapacity', 5, undefined, 240],
    ['NoCapacity', 6, undefined, 300],
    ['NoCapacity', 5000, undefined, 300],
    ['RateLimited', 1, 40_000, 40],
    ['RateLimited', 1, 0, 15],
    ['RateLimited', 1, 1e300, 86_400],
    ['PriceAboveCap', 1, undefined, 3600],
    ['WrongPlace', 9, undefined, 3600],
  ] as const)('%s number %d with Retry-After %s waits %d s', (name, count, retryAfterMs, seconds) => {
    expect(wait(name, count, retryAfterMs)).toBe(seconds);
  });

  const next = (before: Refusal | undefined, name: RefusalClass): Refusal =>
    refusal(snapshot(before ? refusals(before) : {}), 'small', { class: name, message: 'x'.repeat(600) });

  test.each([
    ['the first', undefined, 1],
    ['one more of its class', refused('small', { count: 3 }), 4],
    ['another class begins anew', refused('small', { count: 3, class: 'Balance' }), 1],
    ['a changed spec begins anew', refused('small', { count: 3, generation: 0 }), 1],
    ['another candidate has its own count', refused('large', { count: 3 }), 1],
  ] as const)('counts: %s', (_, before, count) => expect(next(before, 'NoCapacity').count).toBe(count));

  test('keep a bounded message and a retry that is not before its time', () => {
    expect(next(undefined, 'NoCapacity').message).toHaveLength(512);
    const late = refusal(snapshot({ nowMs: Date.parse('2026-03-01T12:00:00.400Z') }), 'small', {
      class: 'NoCapacity',
      message: '',
    });
    expect(late).toMatchObject({ lastTime: '2026-03-01T12:00:00Z', retryTime: '2026-03-01T12:00:16Z' });
  });
});

describe('the nearest name', () => {
  const gpus = ['NVIDIA A4000', 'NVIDIA A40', 'NVIDIA GeForce RTX 4090', 'NVIDIA H100 80GB HBM3'];
  test.each([
    ['nvidia a40', 'NVIDIA A40'],
    ['NVIDIA A40', 'NVIDIA A40'],
    ['RTX 4090', 'NVIDIA GeForce RTX 4090'],
    ['NVIDIA GeForce RTX4090', 'NVIDIA GeForce RTX 4090'],
    ['H100', 'NVIDIA H100 80GB HBM3'],
    ['Cerebras', undefined],
    ['something else altogether', undefined],
  ] as const)('%s: %s', (name, expected) => expect(nearest(name, gpus)).toBe(expected));

  test('of nothing is none', () => expect(nearest('x', [])).toBeUndefined());
});
