import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { inject } from 'vitest';
import type { ControlPlane } from './controlplane.ts';
import { kubectl } from './crds.ts';

/** The run's control plane without what only its owner may do. */
export type SharedControlPlane = Omit<ControlPlane, 'stop' | 'kubeconfigFor' | 'stopApiServer' | 'startApiServer'>;

/** The one control plane of this test run, with the project's resource definitions; tests keep apart by namespace. */
export async function sharedControlPlane(): Promise<SharedControlPlane> {
  const answer = JSON.parse(await text(connect(inject('controlPlaneSocket')))) as
    | SharedControlPlane
    | { error: string };
  if ('error' in answer) throw new Error(answer.error);
  return answer;
}

/** A namespace that no other test has. */
export async function freshNamespace(plane: SharedControlPlane, prefix = 'test'): Promise<string> {
  const name = `${prefix}-${randomBytes(4).toString('hex')}`;
  await kubectl(plane, ['create', 'namespace', name]);
  return name;
}
