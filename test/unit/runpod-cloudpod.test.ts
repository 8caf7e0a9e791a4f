import { describe, expect, test } from 'vitest';
import { parseCloudPod } from '../../controller/runpod/cloudpod.ts';

const whole = {
  id: 'pod1',
  name: 'tj-abcdef-x',
  status: 'RUNNING',
  cost: 2.99,
  createdAt: '2026-11-24T20:00:00Z',
  dataCenterId: 'EU-RO-1',
  gpu: { id: 'NVIDIA L40S', count: 2 },
};

describe('a pod as Runpod tells it', () => {
  test('is read as far as it is looked at', () => {
    expect(parseCloudPod({ ...whole, somethingNew: {} })).toEqual({
      id: 'pod1',
      name: 'tj-abcdef-x',
      status: 'RUNNING',
      costUsdPerHour: 2.99,
      createdAt: Date.UTC(2026, 10, 24, 20),
      dataCenterId: 'EU-RO-1',
      gpuType: 'NVIDIA L40S',
      gpuCount: 2,
    });
  });

  test.each<[string, object, object]>([
    ['a single-precision price', { cost: 0.6899999976158142 }, { costUsdPerHour: 0.69 }],
    ['a price of nothing', { cost: 0 }, { costUsdPerHour: 0 }],
    ['a name of nothing, of somebody else', { name: '' }, { name: '' }],
    ['a state that is new', { status: 'MIGRATING' }, { status: 'UNKNOWN' }],
    ['ports', { ports: ['8477/http', 22] }, { ports: ['8477/http'] }],
    ['no count of GPUs', { gpu: { id: 'x' } }, { gpuType: 'x', gpuCount: 1 }],
    ['a CPU', { gpu: null, cpu: { id: 'cpu3c', vcpuCount: 4, memory: 8 } }, { cpuFlavor: 'cpu3c', vcpuCount: 4 }],
  ])('with %s is understood', (_, change, part) => {
    expect(parseCloudPod({ ...whole, ...change })).toMatchObject(part);
  });

  test.each([undefined, null, [], '22/tcp'])('with ports %j has none', (ports) => {
    expect(parseCloudPod({ ...whole, ports })).not.toHaveProperty('ports');
  });

  test('without a place has none', () => {
    expect(parseCloudPod({ ...whole, dataCenterId: null })).not.toHaveProperty('dataCenterId');
    expect(parseCloudPod({ ...whole, gpu: undefined })).not.toHaveProperty('gpuCount');
  });

  test.each<[string, unknown, RegExp]>([
    ['no object', 'pod', /pod is no object/],
    ['null', null, /pod is no object/],
    ['a list', [], /pod is no object/],
    ['no id', { ...whole, id: undefined }, /no text "id"/],
    ['an empty id', { ...whole, id: '' }, /empty "id"/],
    ['a number as id', { ...whole, id: 7 }, /no text "id"/],
    ['no status', { ...whole, status: null }, /no text "status"/],
    ['no price', { ...whole, cost: null }, /no number "cost"/],
    ['a price in words', { ...whole, cost: '2.99' }, /no number "cost"/],
    ['a date in words', { ...whole, createdAt: 'today' }, /no date "createdAt"/],
    ['a GPU in words', { ...whole, gpu: 'L40S' }, /gpu is no object/],
  ])('that is %s is malformed, in words', (_, value, sentence) => {
    expect(() => parseCloudPod(value)).toThrow(sentence);
    expect(() => parseCloudPod(value)).toThrow(expect.objectContaining({ kind: 'malformed' }));
  });
});
