import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TrainingJob } from '../../controller/api/trainingjob.ts';
import { kubectl } from '../controlplane/crds.ts';
import { startRig, stubSpec, type Rig } from '../rig/rig.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig({ provisionMs: 1500, startMs: 500 });
  await rig.start();
});
afterAll(() => rig.stop());

const soldOut = { compute: { candidates: [{ name: 'gpu', gpu: { type: 'NVIDIA H200', count: 1 } }] } };
const secretless = {
  trainer: {
    custom: { command: ['x'] },
    env: [{ name: 'A', valueFrom: { secretKeyRef: { name: 'none', key: 'k' } } }],
  },
};

const phases: readonly (readonly [string, object, (job: TrainingJob) => boolean])[] = [
  ['Pending', stubSpec('heartbeat', secretless), ({ status }) => status?.phase === 'Pending'],
  [
    'Placing',
    stubSpec('heartbeat', soldOut),
    ({ status }) => status?.phase === 'Placing' && status.placement !== undefined,
  ],
  ['Provisioning', stubSpec('heartbeat'), ({ status }) => status?.phase === 'Provisioning'],
  ['Running', stubSpec('heartbeat'), ({ status }) => status?.phase === 'Running'],
  ['Terminating', stubSpec('succeed'), ({ status }) => status?.phase === 'Terminating'],
  ['Succeeded', stubSpec('succeed'), ({ status }) => status?.phase === 'Succeeded'],
  ['Failed', stubSpec('fail'), ({ status }) => status?.phase === 'Failed'],
];

describe('a job deleted in each phase leaves no pod', () => {
  test.each(phases)('%s', async (phase, spec, reached) => {
    const namespace = await rig.namespace();
    if (phase === 'Placing')
      for (const place of rig.simulator.catalog.offer('NVIDIA H200')?.stock.keys() ?? [])
        rig.simulator.catalog.offer('NVIDIA H200')?.stock.set(place, 0);
    const name = phase.toLowerCase();
    await rig.create(namespace, name, spec);
    await rig.until(namespace, name, reached);
    await kubectl(rig.plane, ['delete', 'tj', '-n', namespace, name, '--wait=false']);
    await rig.untilGone(namespace, name);
    expect(rig.simulator.live().filter((pod) => pod.body.name.endsWith(`-${name}`))).toEqual([]);
  });

  test('its metrics vanish with it', async () => {
    const text = await (await fetch(rig.metricsUrl)).text();
    expect(text).toContain('workqueue_depth');
    expect(text).not.toContain('name="running"');
  });
});
