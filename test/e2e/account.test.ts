import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { abandonPodsAnnotation } from '../../controller/api/trainingjob.ts';
import { kubectl } from '../controlplane/crds.ts';
import { condition, startRig, stubSpec, type Rig } from '../rig/rig.ts';

let rig: Rig;
beforeAll(async () => {
  rig = await startRig();
  await rig.start();
});
afterAll(() => rig.stop());

describe('an API key that does not work', () => {
  test('before a create: the job says so, and goes on when the key file has a good one', async () => {
    const namespace = await rig.namespace();
    writeFileSync(rig.keyFile, 'revoked');
    await rig.create(namespace, 'keyless', stubSpec('succeed'));
    const job = await rig.until(
      namespace,
      'keyless',
      (found) => condition(found, 'Stalled')?.reason === 'AccountUnauthorized',
    );
    expect(condition(job, 'Stalled')?.message).toContain("operator's key file");
    writeFileSync(rig.keyFile, rig.simulator.apiKey);
    await rig.until(namespace, 'keyless', ({ status }) => status?.phase === 'Succeeded');
  });

  test('while a pod runs: training goes on, the delete waits and names the pod, and a good key ends it', async () => {
    const namespace = await rig.namespace();
    await rig.create(namespace, 'revoked', stubSpec('heartbeat'));
    const running = await rig.until(namespace, 'revoked', ({ status }) => status?.phase === 'Running');
    const podID = running.status?.attempt?.podID ?? '';
    writeFileSync(rig.keyFile, 'revoked');
    const told = await rig.until(
      namespace,
      'revoked',
      (found) => condition(found, 'Stalled')?.reason === 'AccountUnauthorized',
    );
    expect(told.status?.phase).toBe('Running');
    await kubectl(rig.plane, ['delete', 'tj', '-n', namespace, 'revoked', '--wait=false']);
    const waiting = await rig.until(
      namespace,
      'revoked',
      (found) => condition(found, 'Stalled')?.message.includes(`Pods left: ${podID}`) === true,
    );
    expect(condition(waiting, 'Stalled')?.message).toContain(`${abandonPodsAnnotation}=${podID}`);
    writeFileSync(rig.keyFile, rig.simulator.apiKey);
    await rig.untilGone(namespace, 'revoked', 40_000);
    expect(rig.simulator.live()).toEqual([]);
  }, 60_000);

  test('gone for good: the annotation releases the finalizer only when it names exactly the pods left', async () => {
    const namespace = await rig.namespace();
    await rig.create(namespace, 'abandoned', stubSpec('heartbeat'));
    const running = await rig.until(namespace, 'abandoned', ({ status }) => status?.phase === 'Running');
    const podID = running.status?.attempt?.podID ?? '';
    writeFileSync(rig.keyFile, 'revoked');
    await rig.until(namespace, 'abandoned', (found) => condition(found, 'Stalled')?.reason === 'AccountUnauthorized');
    await kubectl(rig.plane, ['delete', 'tj', '-n', namespace, 'abandoned', '--wait=false']);
    await kubectl(rig.plane, ['annotate', 'tj', '-n', namespace, 'abandoned', `${abandonPodsAnnotation}=anotherpod`]);
    await rig.until(
      namespace,
      'abandoned',
      (found) => condition(found, 'Stalled')?.message.includes('Pods left') === true,
    );
    expect(rig.get(namespace, 'abandoned')).toBeDefined();
    await kubectl(rig.plane, [
      'annotate',
      '--overwrite',
      'tj',
      '-n',
      namespace,
      'abandoned',
      `${abandonPodsAnnotation}=${podID}`,
    ]);
    await rig.untilGone(namespace, 'abandoned', 40_000);
    writeFileSync(rig.keyFile, rig.simulator.apiKey);
    // With a good key the sweeper finds what nobody owns any more.
    await rig.simulator.nextCall(
      (call) => call.method === 'DELETE' && call.path.endsWith(podID) && call.status === 204,
      30_000,
    );
    expect(rig.simulator.live()).toEqual([]);
  }, 90_000);
});
