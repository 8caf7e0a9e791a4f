import type { ResolvedSpec } from '../api/resolve.ts';
import type { Candidate } from '../api/trainingjob.ts';
import type { CreateCloudPodBody } from './cloudpod.ts';

/** Where the agent listens in a pod that is called; not 8000 or 8080, at which trainers' own servers like to listen. */
export const agentPort = 8477;

/** The port as Runpod writes it: it is the proxy's, not open to the internet by itself. */
export const exposedAgentPort = `${agentPort}/http`;

export interface PodRequest {
  readonly job: { readonly uid: string; readonly namespace: string; readonly name: string };
  readonly spec: ResolvedSpec;
  readonly candidate: Candidate;
  readonly podName: string;
  readonly attempt: number;
  readonly nonce: string;
  readonly installation: string;
  readonly token: string;
  /** Who calls whom. */
  readonly transport: 'Push' | 'Pull';
  readonly telemetryUrl: string;
  /** Image used when neither the job nor its runtime names one. */
  readonly trainerImage: string;
  /** Seconds from the agent's start after which the pod ends itself whatever happens. */
  readonly hardEndSeconds?: number;
}

/**
 * The body of the create for one attempt.
 *
 * Everything here is readable by whoever reads the Runpod account, so it holds identity, address and the attempt's token;
 * the user's environment and secrets travel from the operator to the agent instead.
 */
export function createBody(request: PodRequest): CreateCloudPodBody {
  const { job, spec, candidate } = request;
  const { networkVolume, minCudaVersion, containerDiskGB } = spec.compute;
  return {
    name: request.podName,
    image: spec.image ?? request.trainerImage,
    disk: containerDiskGB,
    cloud: candidate.cloud === 'Community' ? 'COMMUNITY' : 'SECURE',
    env: {
      TRAININGJOB_UID: job.uid,
      TRAININGJOB_NAMESPACE: job.namespace,
      TRAININGJOB_NAME: job.name,
      TRAININGJOB_ATTEMPT: String(request.attempt),
      TRAININGJOB_NONCE: request.nonce,
      TRAININGJOB_INSTALLATION: request.installation,
      ...(request.transport === 'Pull'
        ? { TRAININGJOB_PORT: String(agentPort) }
        : { TRAININGJOB_URL: request.telemetryUrl }),
      TRAININGJOB_TOKEN: request.token,
      TRAININGJOB_GPU_COUNT: String(candidate.gpu?.count ?? 0),
      TRAININGJOB_DEAD_MAN_SECONDS: String(spec.watchdog.deadManSeconds),
      ...(request.hardEndSeconds !== undefined && { TRAININGJOB_HARD_END_SECONDS: String(request.hardEndSeconds) }),
    },
    ...(request.transport === 'Pull' && { ports: [exposedAgentPort] }),
    ...(candidate.gpu && {
      gpu: {
        id: candidate.gpu.type,
        count: candidate.gpu.count,
        ...(minCudaVersion !== undefined && { minCudaVersion }),
      },
    }),
    ...(candidate.cpu && { cpu: { id: candidate.cpu.flavor, vcpuCount: candidate.cpu.vcpus } }),
    ...(candidate.dataCenters !== undefined &&
      candidate.dataCenters.length > 0 && { dataCenterIds: [...candidate.dataCenters] }),
    ...(networkVolume && { mounts: { network: [{ volumeId: networkVolume.id, path: networkVolume.mountPath }] } }),
  };
}
