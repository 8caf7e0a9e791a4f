import type { ResolvedSpec } from '../api/resolve.ts';
import type { TrainingJobStatus } from '../api/trainingjob.ts';

/** Whose fault it was that an attempt ended: each kind has its own limit of retries. */
export type Fault = 'User' | 'Host' | 'Interruption';

/** How an attempt ended without success. */
export interface AttemptEnd {
  readonly reason: string;
  readonly message: string;
  /** The agent's, where it reported its end. */
  readonly exitCode?: number;
}

type Verdict = Fault | 'never';

const byReason: ReadonlyMap<string, Verdict> = new Map<string, Verdict>([
  ['PodLost', 'Host'],
  ['PodError', 'Host'],
  ['PodStopped', 'Host'],
  ['StartDeadlineExceeded', 'Host'],
  ['HeartbeatLost', 'Host'],
  ['DeadMan', 'Interruption'],
  // Where the limit behind it is really reached, no other pod is rented.
  ['HardEnd', 'Interruption'],
  ['NoProgress', 'User'],
  ['DeadlineExceeded', 'never'],
  ['BudgetExceeded', 'never'],
]);

/** Configuration, data, divergence and a stop that a person asked for come out the same again. */
const byExitCode: ReadonlyMap<number, Verdict> = new Map<number, Verdict>([
  [2, 'never'],
  [3, 'never'],
  [5, 'never'],
  [7, 'Host'],
  [130, 'never'],
  [143, 'Interruption'],
]);

/** Whose fault it was; undefined for what another attempt cannot make good. */
export function faultOf({ reason, exitCode }: Pick<AttemptEnd, 'reason' | 'exitCode'>): Fault | undefined {
  const fault = byReason.get(reason) ?? (exitCode === undefined ? undefined : byExitCode.get(exitCode)) ?? 'User';
  return fault === 'never' ? undefined : fault;
}

type Retries = NonNullable<TrainingJobStatus['retries']>;

interface Limit {
  readonly counter: keyof Retries;
  readonly field: 'backoffLimit' | 'hostFaultLimit' | 'interruptionLimit';
}

const limits: Readonly<Record<Fault, Limit>> = {
  User: { counter: 'user', field: 'backoffLimit' },
  Host: { counter: 'host', field: 'hostFaultLimit' },
  Interruption: { counter: 'interruption', field: 'interruptionLimit' },
};

export const noRetries: Retries = { user: 0, host: 0, interruption: 0 };

/** How many retries after such a fault were taken and may be taken, and the field that says so. */
export function retriesOf(
  fault: Fault,
  status: TrainingJobStatus,
  runPolicy: ResolvedSpec['runPolicy'],
): { readonly used: number; readonly limit: number; readonly field: string } {
  const { counter, field } = limits[fault];
  return { used: (status.retries ?? noRetries)[counter], limit: runPolicy[field], field: `spec.runPolicy.${field}` };
}

/** The counters after one more retry. */
export function counted(retries: Retries | undefined, fault: Fault): Retries {
  const { counter } = limits[fault];
  const before = retries ?? noRetries;
  return { ...before, [counter]: before[counter] + 1 };
}

/** Milliseconds from the end of an attempt to the next: they double with each retry of the run. */
export function retryWaitMs(
  { user, host, interruption }: Retries,
  { retryBackoffMs, retryBackoffMaxMs }: { readonly retryBackoffMs: number; readonly retryBackoffMaxMs: number },
): number {
  const before = Math.max(0, user + host + interruption - 1);
  return Math.min(retryBackoffMaxMs, retryBackoffMs * 2 ** Math.min(before, 30));
}
