import type { Clock } from '../clock.ts';
import type { Config } from './protocol.ts';
import type { TelemetryStore } from './store/store.ts';
import type { Telemetry } from './telemetry.ts';

export type ConfigAnswer =
  | { readonly status: 'ok'; readonly config: Config }
  | { readonly status: 'wait'; readonly reason: string }
  | { readonly status: 'superseded' };

export interface ServerDependencies {
  readonly telemetry: Telemetry;
  readonly store: TelemetryStore;
  readonly clock: Clock;
  /** The configuration of an attempt, for the pod that was recorded for it. */
  readonly configFor: (uid: string, attempt: number) => Promise<ConfigAnswer>;
  /** Whether a Kubernetes token may get this TrainingJob. */
  readonly authorize: (
    token: string,
    job: { readonly namespace: string; readonly name: string },
  ) => Promise<'allowed' | 'denied' | 'unauthenticated'>;
  readonly ready: () => { readonly ready: boolean; readonly reasons: readonly string[] };
}
