import { kubectl } from '../controlplane/crds.ts';
import type { Rig } from './rig.ts';

export interface Read<Item> {
  readonly items: readonly Item[];
  readonly continue?: string | null;
}

/** Reads what trainers reported as somebody does who may see every job. Throws where the answer is no 200. */
export async function makeReader(rig: Rig): Promise<<Item>(path: string) => Promise<Read<Item>>> {
  const namespace = await rig.namespace();
  await kubectl(rig.plane, ['create', 'serviceaccount', 'reader', '-n', namespace]);
  const grant = ['clusterrolebinding', `reader-${namespace}`, '--clusterrole=cluster-admin'];
  await kubectl(rig.plane, ['create', ...grant, `--serviceaccount=${namespace}:reader`]);
  const token = (await kubectl(rig.plane, ['create', 'token', 'reader', '-n', namespace])).trim();
  return async <Item>(path: string) => {
    const response = await fetch(`${rig.telemetryUrl}${path}`, { headers: { authorization: `Bearer ${token}` } });
    if (response.status !== 200) throw new Error(`${path} is answered by ${response.status}: ${await response.text()}`);
    return (await response.json()) as Read<Item>;
  };
}
