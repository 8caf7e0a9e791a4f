import type { RuntimeKind, TrainingRuntime } from '../api/trainingruntime.ts';
import { Reflector, type ReflectorOptions } from './reflector.ts';
import { clusterTrainingRuntimes, trainingRuntimes } from './resources.ts';

export interface RuntimeCacheOptions extends Pick<ReflectorOptions, 'client' | 'clock' | 'log'> {
  /** A runtime came, changed or went; `namespace` is empty for one of the cluster. */
  readonly onChange: (kind: RuntimeKind, namespace: string, name: string) => void;
}

/** The runtimes of the cluster and of all namespaces, kept as the API server tells them. */
export class RuntimeCache {
  /** Resolves when both kinds were listed. */
  readonly listed: Promise<unknown>;
  readonly #reflectors: Readonly<Record<RuntimeKind, Reflector<TrainingRuntime>>>;

  constructor({ onChange, ...options }: RuntimeCacheOptions) {
    const reflector = (kind: RuntimeKind, type: ReflectorOptions['type']): Reflector<TrainingRuntime> =>
      new Reflector<TrainingRuntime>({
        ...options,
        type,
        onKey(key) {
          const [namespace = '', name = ''] = key.split('/');
          onChange(kind, namespace, name);
        },
      });
    this.#reflectors = {
      ClusterTrainingRuntime: reflector('ClusterTrainingRuntime', clusterTrainingRuntimes),
      TrainingRuntime: reflector('TrainingRuntime', trainingRuntimes),
    };
    this.listed = Promise.all(Object.values(this.#reflectors).map(({ synced }) => synced));
  }

  start(): void {
    for (const reflector of Object.values(this.#reflectors)) reflector.start();
  }

  async stop(): Promise<void> {
    await Promise.all(Object.values(this.#reflectors).map((reflector) => reflector.stop()));
  }

  /** `absent`: there is none of that name; undefined: they could not be listed yet. `namespace` is the job's. */
  find(kind: RuntimeKind, namespace: string, name: string): TrainingRuntime | 'absent' | undefined {
    const { store, ...reflector } = this.#of(kind);
    const found = store.get(`${scope(kind, namespace)}/${name}`);
    return found ?? (reflector.listed ? 'absent' : undefined);
  }

  /** Those that a job of this namespace may name. */
  names(kind: RuntimeKind, namespace: string): readonly string[] {
    const wanted = scope(kind, namespace);
    return this.#of(kind)
      .store.list()
      .flatMap(({ metadata }) => ((metadata.namespace ?? '') === wanted ? [metadata.name] : []));
  }

  #of(kind: RuntimeKind): { readonly store: Reflector<TrainingRuntime>['store']; readonly listed: boolean } {
    const reflector = this.#reflectors[kind];
    return { store: reflector.store, listed: reflector.lastSyncAgeMs() !== undefined };
  }
}

function scope(kind: RuntimeKind, namespace: string): string {
  return kind === 'ClusterTrainingRuntime' ? '' : namespace;
}
