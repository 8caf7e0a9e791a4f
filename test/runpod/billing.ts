import type { SimulatedPod } from './pods.ts';

/** What one pod cost: from its create until its end, or until now. */
export interface BillLine {
  readonly id: string;
  readonly name: string;
  readonly createdAt: string;
  /** Null while it is billed on. */
  readonly endedAt: string | null;
  /** How long it was charged for: not while it was stopped. */
  readonly seconds: number;
  readonly costUsdPerHour: number;
  readonly totalUsd: number;
}

export function billLine(pod: SimulatedPod): BillLine {
  const seconds = ((pod.stoppedMs ?? pod.endedMs ?? Date.now()) - pod.createdMs) / 1000;
  return {
    id: pod.id,
    name: pod.body.name,
    createdAt: new Date(pod.createdMs).toISOString(),
    endedAt: pod.endedMs === undefined ? null : new Date(pod.endedMs).toISOString(),
    seconds,
    costUsdPerHour: pod.costUsdPerHour,
    totalUsd: (seconds / 3600) * pod.costUsdPerHour,
  };
}

/** The published billing history: one record for each pod, over its whole life. */
export function podBilling(pods: readonly SimulatedPod[], podId: string | null): object {
  const lines = pods.filter((pod) => podId === null || pod.id === podId).map((pod) => ({ pod, line: billLine(pod) }));
  const records = lines.map(({ pod, line }) => ({
    podId: line.id,
    startTime: line.createdAt,
    endTime: line.endedAt ?? new Date().toISOString(),
    totalAmount: line.totalUsd,
    gpuAmount: pod.body.gpu ? line.totalUsd : 0,
    cpuAmount: pod.body.cpu ? line.totalUsd : 0,
    diskAmount: 0,
  }));
  const sum = (member: 'totalAmount' | 'gpuAmount' | 'cpuAmount'): number =>
    records.reduce((total, record) => total + record[member], 0);
  const times = records.flatMap((record) => [record.startTime, record.endTime]).toSorted();
  const now = new Date().toISOString();
  return {
    records,
    metadata: {
      query: { startTime: times[0] ?? now, endTime: times.at(-1) ?? now, bucketSize: 'day', podId },
      recordCount: records.length,
      uniquePodCount: records.length,
      totals: {
        totalAmount: sum('totalAmount'),
        gpuAmount: sum('gpuAmount'),
        cpuAmount: sum('cpuAmount'),
        diskAmount: 0,
      },
    },
  };
}
