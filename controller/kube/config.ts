import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { KubeConfig } from '@kubernetes/client-node';

/** How to reach the API server and who we are there. */
export interface KubeConnection {
  readonly server: string;
  /** Certificate authorities in PEM; the system's when undefined. */
  readonly ca: string | undefined;
  readonly clientCert: string | undefined;
  readonly clientKey: string | undefined;
  readonly skipTlsVerify: boolean;
  /** Name to expect in the server's certificate, where it is not the address's. */
  readonly tlsServerName: string | undefined;
  /** Headers that authenticate a request; to be asked for again from time to time, because projected tokens rotate. */
  headers(): Promise<Readonly<Record<string, string>>>;
}

/** From a kubeconfig file, or from the pod's own service account when `file` is empty. */
export function kubeConnection(file: string): KubeConnection {
  const config = new KubeConfig();
  if (file === '') config.loadFromCluster();
  else config.loadFromFile(file);
  const cluster = config.getCurrentCluster();
  if (!cluster) {
    throw new Error(
      `${file === '' ? 'the service account' : file} names no cluster; set current-context to one that has a server`,
    );
  }
  const user = config.getCurrentUser();
  return {
    server: cluster.server,
    ca: pem(cluster.caData, cluster.caFile),
    clientCert: pem(user?.certData, user?.certFile),
    clientKey: pem(user?.keyData, user?.keyFile),
    skipTlsVerify: cluster.skipTLSVerify,
    tlsServerName: cluster.tlsServerName,
    headers: async () => {
      const tokenFile: unknown = user?.authProvider?.config?.tokenFile;
      // Read here, because the library keeps a token for a minute even when the API server has refused it.
      if (typeof tokenFile === 'string')
        return { authorization: `Bearer ${(await readFile(tokenFile, 'utf8')).trim()}` };
      const options: { headers?: Record<string, string> } = { headers: {} };
      await config.applyToHTTPSOptions(options);
      return Object.fromEntries(
        Object.entries(options.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]),
      );
    },
  };
}

function pem(data: string | undefined, file: string | undefined): string | undefined {
  if (data !== undefined && data !== '') return Buffer.from(data, 'base64').toString('utf8');
  return file === undefined || file === '' ? undefined : readFileSync(file, 'utf8');
}
