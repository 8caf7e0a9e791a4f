import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../controller/clock.ts';
import { KubeClient, type KubeObject } from '../../controller/kube/client.ts';
import { kubeConnection } from '../../controller/kube/config.ts';
import { trainingJobs } from '../../controller/kube/resources.ts';
import { apiVersion, kind } from '../../controller/api/trainingjob.ts';
import { freshNamespace, sharedControlPlane } from '../controlplane/shared.ts';
import { stubSpec } from '../rig/rig.ts';

let kube: KubeClient;
let namespace: string;
beforeAll(async () => {
  const plane = await sharedControlPlane();
  namespace = await freshNamespace(plane, 'delete');
  kube = new KubeClient({ connection: kubeConnection(plane.kubeconfigPath), clock: systemClock });
});
afterAll(() => kube.close());

const create = (name: string): Promise<KubeObject> =>
  kube.create<KubeObject>(trainingJobs, namespace, {
    apiVersion,
    kind,
    metadata: { name, namespace },
    spec: stubSpec('succeed'),
  });

test('the version that was read is deleted, and no other', async () => {
  const read = await create('changed');
  const metadata = { labels: { changed: 'since' } };
  const changed = await kube.mergePatch<KubeObject>(trainingJobs, namespace, 'changed', { metadata });
  await expect(kube.deleteVersion(trainingJobs, read)).rejects.toMatchObject({ kind: 'conflict' });
  await kube.deleteVersion(trainingJobs, changed);
  await expect(kube.get(trainingJobs, namespace, 'changed')).rejects.toMatchObject({ kind: 'notFound' });
});

test('one that was recreated under its name is let be', async () => {
  const first = await create('again');
  await kube.delete(trainingJobs, namespace, 'again');
  const second = await create('again');
  await expect(kube.deleteVersion(trainingJobs, first)).rejects.toMatchObject({ kind: 'conflict' });
  const still = await kube.get<KubeObject>(trainingJobs, namespace, 'again');
  expect(still.metadata.uid).toBe(second.metadata.uid);
});
