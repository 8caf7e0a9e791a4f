import { describe, expect, test } from 'vitest';
import { hardEndSeconds } from '../../controller/reconcile/limits.ts';
import { PodLeases } from '../../controller/reconcile/podleases.ts';
import type { PodLease } from '../../controller/telemetry/roster.ts';
import { at, attempt, isoAt, list, policy, snapshot, spec, type SnapshotParts } from './snapshot.ts';

const candidate = {
  name: 'small',
  cpu: { flavor: 'cpu3c', vcpus: 4 },
  cloud: 'Secure',
  maxPricePerHour: '1.20',
} as const;

describe('the hard end that a pod is born with', () => {
  const graceHalf = policy.stopGraceMs / 2000;

  test.each<[string, SnapshotParts, typeof candidate | Omit<typeof candidate, 'maxPricePerHour'>, number | undefined]>([
    ['no limit', {}, candidate, undefined],
    [
      'a deadline, after the latest start',
      { spec: { ...spec, runPolicy: { ...spec.runPolicy, activeDeadlineSeconds: 3600 } } },
      candidate,
      1200 + 3600 + graceHalf,
    ],
    [
      'what earlier attempts left of a deadline',
      {
        spec: { ...spec, runPolicy: { ...spec.runPolicy, activeDeadlineSeconds: 3600 } },
        status: { run: { number: 1, specHash: '', activeSeconds: 3000 } },
      },
      candidate,
      1200 + 600 + graceHalf,
    ],
    // 12 USD at 1.20 USD per hour; nothing is kept back while no rate is known.
    ['a budget at the price cap', { spec: { ...spec, budget: { maxTotal: '12' } } }, candidate, 36_000 + graceHalf],
    [
      'a budget that is spent',
      {
        spec: { ...spec, budget: { maxTotal: '12' } },
        status: { attempts: [{ number: 1, podName: 'x', candidate: 'small', reason: 'PodLost', cost: '12' }] },
      },
      candidate,
      graceHalf,
    ],
    [
      'a budget and no price to go by',
      { spec: { ...spec, budget: { maxTotal: '12' } }, catalog: undefined },
      { name: 'small', cpu: candidate.cpu, cloud: 'Secure' },
      undefined,
    ],
  ])('%s', (_name, overrides, asked, seconds) => {
    expect(hardEndSeconds(snapshot(overrides), asked)).toBe(seconds);
  });
});

describe('the lease of a pod', () => {
  function leases(): { given: PodLease[]; podLeases: PodLeases } {
    const given: PodLease[] = [];
    return { given, podLeases: new PodLeases({ setLease: (_uid, _attempt, lease) => void given.push(lease) }) };
  }

  test('is extended by a believed list that shows the pod, and by nothing else', () => {
    const { given, podLeases } = leases();
    const looked = snapshot({ status: { attempt: attempt() }, lists: [] });
    const { job, inventory } = looked;
    podLeases.passed(looked, looked.status);
    const seen = (live: string[], believed = true) => ({ ...inventory.view, lists: [list(5, live, believed)] });
    podLeases.listed([job], seen([]));
    podLeases.listed([job], seen(['pod1'], false));
    podLeases.listed([{ ...job, status: { observedGeneration: 1 } }], seen(['pod1']));
    podLeases.listed([{ ...job, status: { attempt: attempt({ state: 'Gone' }) } }], seen(['pod1']));
    expect(given).toEqual([]);
    podLeases.listed([job], seen(['pod1']));
    expect(given).toEqual([{ untilMs: at(5 + 2700), endsAtMs: undefined }]);
  });

  test('carries the end for the rate really charged, half a grace after our own stop', () => {
    const { given, podLeases } = leases();
    const parts: SnapshotParts = {
      status: { attempt: attempt({ pricePerHour: '3.6', billedFrom: isoAt(0) }) },
      spec: { ...spec, budget: { maxTotal: '10' } },
      lists: [list(5, ['pod1'])],
    };
    const budgeted = snapshot(parts);
    podLeases.passed(budgeted, budgeted.status);
    // 10 USD less two minutes' price, at 0.001 USD per second.
    expect(given).toEqual([{ untilMs: at(5 + 2700), endsAtMs: at((10 - 0.12) / 0.001 + 60) }]);
  });

  test('is not given before a pass: a pod must not hear that it has no end when nobody has worked it out', () => {
    const { given, podLeases } = leases();
    const running = snapshot({ status: { attempt: attempt() }, lists: [list(5, ['pod1'])] });
    podLeases.listed([running.job], running.inventory.view);
    expect(given).toEqual([]);
    podLeases.passed(running, running.status);
    podLeases.forget(running.job.metadata.uid);
    podLeases.listed([running.job], running.inventory.view);
    expect(given).toHaveLength(1);
  });
});
