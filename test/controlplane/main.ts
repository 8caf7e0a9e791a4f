/** A control plane by itself, with the project's resource definitions. */
import { standalone } from '../servers/standalone.ts';
import { startControlPlane } from './controlplane.ts';
import { applyCrds } from './crds.ts';

await standalone(async (say) => {
  const plane = await startControlPlane({ say });
  await applyCrds(plane);
  return plane;
});
