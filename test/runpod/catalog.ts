import { Problem } from './problem.ts';

/** What can be rented, at believable prices; a control call changes prices and stock while the simulator runs. */

export interface GpuOffer {
  readonly id: string;
  readonly name: string;
  readonly memory: number;
  /** USD per hour for one GPU. */
  secure: number;
  community: number;
  /** Pods that can be had now, in each data center. */
  readonly stock: Map<string, number>;
}

export interface CpuOffer {
  readonly id: string;
  readonly name: string;
  /** USD per hour for one vCPU. */
  perVcpu: number;
  readonly stock: Map<string, number>;
}

export const dataCenters: readonly { readonly id: string; readonly name: string }[] = [
  { id: 'EU-RO-1', name: 'Romania 1' },
  { id: 'EU-SE-1', name: 'Sweden 1' },
  { id: 'US-KS-2', name: 'US Kansas 2' },
  { id: 'US-TX-3', name: 'US Texas 3' },
  { id: 'CA-MTL-1', name: 'Montreal 1' },
];

const plenty = 1_000_000;

/** CUDA version of every host with GPUs. */
export const hostCuda = '12.8';

const mostGpus = { secure: 8, community: 4 };
const mostVcpus = 32;

export class Catalog {
  readonly gpus: readonly GpuOffer[] = [
    gpu('NVIDIA GeForce RTX 4090', 'RTX 4090', 24, 0.69, 0.34),
    gpu('NVIDIA L40S', 'L40S', 48, 0.86, 0.79),
    gpu('NVIDIA A100 80GB PCIe', 'A100 PCIe', 80, 1.64, 1.19),
    gpu('NVIDIA A100-SXM4-80GB', 'A100 SXM', 80, 1.74, 1.39),
    gpu('NVIDIA H100 80GB HBM3', 'H100 SXM', 80, 2.99, 2.69),
    gpu('NVIDIA H200', 'H200 SXM', 141, 3.99, 3.59),
  ];
  readonly cpus: readonly CpuOffer[] = [
    cpu('cpu3c', 'Compute-Optimized', 0.03),
    cpu('cpu3g', 'General Purpose', 0.04),
    cpu('cpu5c', 'Compute-Optimized', 0.035),
  ];

  offer(id: string): GpuOffer | CpuOffer | undefined {
    return this.gpus.find((entry) => entry.id === id) ?? this.cpus.find((entry) => entry.id === id);
  }

  /** The data center in which a pod of this type comes up; undefined when there is none in stock. Takes it out of stock. */
  take(id: string, wanted: readonly string[]): string | undefined {
    const stock = this.offer(id)?.stock;
    const order = wanted.length > 0 ? wanted : dataCenters.map((entry) => entry.id);
    const place = order.find((dataCenter) => (stock?.get(dataCenter) ?? 0) > 0);
    if (place !== undefined) stock?.set(place, (stock.get(place) ?? 0) - 1);
    return place;
  }

  putBack(id: string, dataCenter: string): void {
    const stock = this.offer(id)?.stock;
    if (stock?.has(dataCenter)) stock.set(dataCenter, (stock.get(dataCenter) ?? 0) + 1);
  }

  gpuList(query: URLSearchParams): object {
    const stocked = wantsStock(query, ['POD', 'CLUSTER', 'SERVERLESS']);
    return {
      gpus: this.gpus.map(({ id, name, memory, secure, community, stock }) => ({
        id,
        name,
        pool: null,
        manufacturer: 'NVIDIA',
        memory,
        secure: true,
        community: true,
        price: { secure, community },
        maxCount: mostGpus,
        ...(stocked && { ...availability(stock), cudaVersions: [{ version: hostCuda, available: inStock(stock) }] }),
      })),
    };
  }

  cpuList(query: URLSearchParams): object {
    const stocked = wantsStock(query, ['POD', 'SERVERLESS']);
    return {
      cpus: this.cpus.map(({ id, name, perVcpu, stock }) => ({
        id,
        name,
        group: `Gen ${id.slice(3, 4)}`,
        vcpu: { min: 2, max: mostVcpus },
        ramGbPerVcpu: 2,
        price: { securePerVcpu: perVcpu, serverlessPerVcpu: perVcpu },
        ...(stocked && availability(stock)),
      })),
    };
  }
}

/** Most GPUs, or vCPUs, that one pod can have. */
export function mostOf(offer: GpuOffer | CpuOffer, cloud: 'SECURE' | 'COMMUNITY'): number {
  if ('perVcpu' in offer) return mostVcpus;
  return cloud === 'COMMUNITY' ? mostGpus.community : mostGpus.secure;
}

/** Stock is told only to who asks for it, and says for which product. */
function wantsStock(query: URLSearchParams, products: readonly string[]): boolean {
  const words = (name: string): string[] =>
    query
      .getAll(name)
      .flatMap((value) => value.split(','))
      .filter((word) => word !== '');
  const wrong = [
    ...words('include')
      .filter((word) => word !== 'AVAILABILITY')
      .map((word) => `include: '${word}' is unknown`),
    ...words('product')
      .filter((word) => !products.includes(word))
      .map((word) => `product: '${word}' is unknown`),
  ];
  if (wrong.length > 0) throw new Problem(422, 'Request validation failed.', wrong);
  const stocked = words('include').length > 0;
  if (stocked !== words('product').length > 0)
    throw new Problem(400, 'include=AVAILABILITY requires product, and product is valid only with it');
  return stocked;
}

function gpu(id: string, name: string, memory: number, secure: number, community: number): GpuOffer {
  return { id, name, memory, secure, community, stock: full() };
}

function cpu(id: string, name: string, perVcpu: number): CpuOffer {
  return { id, name, perVcpu, stock: full() };
}

function full(): Map<string, number> {
  return new Map(dataCenters.map(({ id }) => [id, plenty]));
}

function inStock(stock: Map<string, number>): boolean {
  return Math.max(0, ...stock.values()) > 0;
}

function availability(stock: Map<string, number>): object {
  const level = (count: number): string => (count === 0 ? 'NONE' : count < 5 ? 'LOW' : count < 50 ? 'MEDIUM' : 'HIGH');
  return {
    availability: level(Math.max(0, ...stock.values())),
    ...(inStock(stock) && {
      dataCenters: dataCenters.map(({ id, name }) => ({ id, name, availability: level(stock.get(id) ?? 0) })),
    }),
  };
}
