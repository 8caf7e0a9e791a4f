import { KubeError } from '../kube/errors.ts';
import type { SecretReader } from '../kube/secrets.ts';
import { apiKeyIn } from '../runpod/apikey.ts';
import { RunpodError } from '../runpod/errors.ts';

/**
 * The API key in a Secret, read again within seconds, so that a rotated key is taken up without a restart. A Secret that is
 * missing or holds no key is an account that refuses us: nothing is sent, and status says what to do.
 */
export function secretKey(
  secrets: Pick<SecretReader, 'readSecretKey'>,
  namespace: string,
  reference: () => { readonly name: string; readonly key: string },
): () => Promise<string> {
  return async () => {
    const { name, key } = reference();
    const found = await secrets.readSecretKey(namespace, name, key).catch((error: unknown) => {
      if (error instanceof KubeError && error.kind === 'forbidden')
        throw new RunpodError(
          'unauthorized',
          `the operator may not read Secret ${name} in its own namespace ${namespace}; let its service account get it`,
        );
      // The API server is away, not the key.
      throw new RunpodError('transient', `the API key could not be read: ${String(error)}`);
    });
    if (found.kind === 'missing') throw new RunpodError('unauthorized', found.message);
    return apiKeyIn(found.value, `key ${key} of Secret ${name} in namespace ${namespace}`);
  };
}
