import { randomBytes } from 'node:crypto';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import type { Logger } from 'pino';
import type { Clock } from './clock.ts';
import { KubeClient } from './kube/client.ts';
import { kubeConnection } from './kube/config.ts';
import { ensureInstallation } from './kube/installation.ts';
import { LeaderLease } from './kube/lease.ts';
import { lead, type Leader } from './leader.ts';
import { processMetrics } from './metrics/registry.ts';
import { operationsServer } from './metrics/server.ts';
import { keyFile } from './runpod/keyfile.ts';
import { listenAddress, type Settings } from './settings.ts';

export interface Operator {
  readonly metricsPort: number;
  /** Resolves with why this process must end: it does not lead any more, or could not begin to. */
  readonly failed: Promise<string>;
  /** Lets passes that are under way finish, gives the lease up, and ends. Pods go on: the next leader finds them. */
  stop(): Promise<void>;
}

const starting = 'leading, and not yet started: TrainingJobs are not listed; are the files in crds/ applied?';
const standingBy = 'standing by: another process leads';

/**
 * One process of the operator. It serves metrics and probes at once, stands by until it holds the lease, and only then opens
 * the store, listens for agents and looks at jobs.
 */
export async function startOperator(settings: Settings, clock: Clock, log: Logger): Promise<Operator> {
  const metrics = processMetrics();
  const apiKey = settings.runpodKeyFile === '' ? undefined : keyFile(settings.runpodKeyFile);
  apiKey?.();
  const kube = new KubeClient({ connection: kubeConnection(settings.kubeconfig), clock, observe: metrics.kube });
  const lease = new LeaderLease({
    client: kube,
    clock,
    log,
    namespace: settings.namespace,
    name: 'trainingjob-operator',
    identity: `${hostname()}-${randomBytes(3).toString('hex')}`,
    durationMs: settings.leaseDuration * 1000,
    renewDeadlineMs: settings.leaseRenewDeadline * 1000,
    retryMs: settings.leaseRetry * 1000,
  });
  let leader: Leader | undefined;
  const operations = operationsServer({
    metrics: async () => (await metrics.render()) + ((await leader?.metrics()) ?? ''),
    ready: () => leader?.ready() ?? { ready: false, reasons: [lease.holds() ? starting : standingBy] },
  });
  await listen(operations, listenAddress(settings.metricsListen) ?? { host: '0.0.0.0', port: 9090 });
  const installation = await ensureInstallation(kube, settings.namespace);
  const holds = (): boolean => lease.holds();
  const leading = (async () => {
    if (!(await lease.acquire())) return;
    leader = await lead({ settings, clock, log, metrics, kube, installation, apiKey, holds });
  })();
  const failed = Promise.race([
    lease.lost,
    leading.then(
      () => new Promise<string>(() => undefined),
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    ),
  ]);

  return {
    metricsPort: (operations.address() as AddressInfo).port,
    failed,
    async stop() {
      if (!leader) await lease.release();
      // A leader that never came so far, for want of the CRDs say, is not waited for.
      await Promise.race([leading.catch(() => undefined), clock.sleep(5000)]);
      await leader?.stop();
      // Only when nothing is written any more may another begin.
      await lease.release();
      operations.closeAllConnections();
      operations.close();
      await kube.close();
      log.info('operator stopped');
    },
  };
}

function listen(server: Server, { host, port }: { readonly host: string; readonly port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject).listen(port, host, resolve);
  });
}
