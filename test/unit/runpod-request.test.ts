import { describe, expect, test } from 'vitest';
import type { ResolvedSpec } from '../../controller/api/resolve.ts';
import type { Candidate } from '../../controller/api/trainingjob.ts';
import { createBody } from '../../controller/runpod/request.ts';

function body(
  candidate: Partial<Candidate>,
  spec: object = {},
  compute: object = {},
  hardEndSeconds?: number,
  pull = false,
) {
  const whole: Candidate = { name: 'c', cloud: 'Secure', ...candidate };
  return createBody({
    job: { uid: 'uid', namespace: 'team', name: 'job' },
    spec: {
      trainer: {},
      compute: { candidates: [whole], containerDiskGB: 20, ...compute },
      watchdog: { deadManSeconds: 2700 },
      ...spec,
    } as unknown as ResolvedSpec,
    candidate: whole,
    podName: 'tj-abcdef-uid-a3-x9q2-job',
    attempt: 3,
    nonce: 'x9q2',
    installation: 'abcdef',
    token: 'the-token',
    transport: pull ? 'Pull' : 'Push',
    telemetryUrl: 'https://operator.example.org',
    trainerImage: 'default/trainer:1',
    ...(hardEndSeconds !== undefined && { hardEndSeconds }),
  });
}

const gpu = { type: 'NVIDIA L40S', count: 2 };
const cpu = { flavor: 'cpu3c', vcpus: 4 } as const;

describe('the body of a create', () => {
  test('of a GPU', () => {
    expect(body({ gpu }, {}, { minCudaVersion: '12.8' }, 3600)).toEqual({
      name: 'tj-abcdef-uid-a3-x9q2-job',
      image: 'default/trainer:1',
      disk: 20,
      cloud: 'SECURE',
      env: {
        TRAININGJOB_UID: 'uid',
        TRAININGJOB_NAMESPACE: 'team',
        TRAININGJOB_NAME: 'job',
        TRAININGJOB_ATTEMPT: '3',
        TRAININGJOB_NONCE: 'x9q2',
        TRAININGJOB_INSTALLATION: 'abcdef',
        TRAININGJOB_URL: 'https://operator.example.org',
        TRAININGJOB_TOKEN: 'the-token',
        TRAININGJOB_GPU_COUNT: '2',
        TRAININGJOB_DEAD_MAN_SECONDS: '2700',
        TRAININGJOB_HARD_END_SECONDS: '3600',
      },
      gpu: { id: 'NVIDIA L40S', count: 2, minCudaVersion: '12.8' },
    });
  });

  test('of a CPU has no GPU, no CUDA version, and says that there are none', () => {
    const made = body({ cpu }, {}, { minCudaVersion: '12.8' });
    expect(made).toMatchObject({ cpu: { id: 'cpu3c', vcpuCount: 4 }, env: { TRAININGJOB_GPU_COUNT: '0' } });
    expect(made).not.toHaveProperty('gpu');
    expect(made.env).not.toHaveProperty('TRAININGJOB_HARD_END_SECONDS');
  });

  test('of a pod that is called exposes the port of its agent, and needs no address of ours', () => {
    const made = body({ gpu }, {}, {}, undefined, true);
    expect(made.ports).toEqual(['8477/http']);
    expect(made.env).toMatchObject({ TRAININGJOB_PORT: '8477', TRAININGJOB_TOKEN: 'the-token' });
    expect(made.env).not.toHaveProperty('TRAININGJOB_URL');
  });

  test.each<[string, object, object, object, object]>([
    ["the community's machines", { gpu, cloud: 'Community' }, {}, {}, { cloud: 'COMMUNITY' }],
    ['data centers', { gpu, dataCenters: ['EU-RO-1', 'US-TX-3'] }, {}, {}, { dataCenterIds: ['EU-RO-1', 'US-TX-3'] }],
    [
      'a network volume',
      { gpu },
      {},
      { networkVolume: { id: 'vol', mountPath: '/volume' } },
      { mounts: { network: [{ volumeId: 'vol', path: '/volume' }] } },
    ],
    [
      "a custom trainer's image",
      { gpu },
      { image: 'mine:2', trainer: { custom: { image: 'mine:2', command: ['x'] } } },
      {},
      { image: 'mine:2' },
    ],
    [
      'a custom trainer without an image',
      { gpu },
      { trainer: { custom: { command: ['x'] } } },
      {},
      { image: 'default/trainer:1' },
    ],
  ])('with %s', (_, candidate, spec, compute, part) => {
    expect(body(candidate as Partial<Candidate>, spec, compute)).toMatchObject(part);
  });

  test.each([undefined, []])('without data centers (%j) leaves the choice to Runpod', (dataCenters) => {
    expect(body({ gpu, ...(dataCenters && { dataCenters }) })).not.toHaveProperty('dataCenterIds');
  });

  test("holds nothing of the user's environment: whoever reads the account would read it", () => {
    const trainer = {
      env: [{ name: 'PLAIN', value: 'planted-1' }],
      custom: { command: ['planted-2'], args: ['planted-3'] },
    };
    expect(JSON.stringify(body({ gpu }, { trainer }))).not.toContain('planted');
  });
});
