import { ownDefaults } from './defaults.ts';
import { fineTuneBehind, withBehind } from './finetunedefaults.ts';
import { scoringBehind } from './scoring.ts';
import { spaceBehind } from './searchspaces.ts';
import { parametersBehind } from './tabulardefaults.ts';
import type { EnvVar, TrainingJob } from './trainingjob.ts';
import type { TrainingJobSpec } from './trainingjob.ts';
import type { TrainingRuntimeSpec } from './trainingruntime.ts';

type Trainer = TrainingJobSpec['trainer'];
type Tabular = NonNullable<Trainer['tabular']>;
type TabularWords = NonNullable<NonNullable<Words['trainer']>['tabular']>;
/** With what `Default` always has. */
type Filled<Part, Default> = Part & {
  readonly [Name in keyof Default]: Name extends keyof Part ? NonNullable<Part[Name]> : never;
};

/** A runtime's words; those that a run is pinned to say besides where a search of the job looks. */
export type Words = Omit<TrainingRuntimeSpec, 'trainer'> & {
  readonly trainer?: Omit<NonNullable<TrainingRuntimeSpec['trainer']>, 'tabular'> & {
    readonly tabular?: NonNullable<NonNullable<TrainingRuntimeSpec['trainer']>['tabular']> & {
      readonly search?: { readonly space: NonNullable<NonNullable<Tabular['search']>['space']> };
    };
  };
};

/** What a job comes to: its own words, then its runtime's, then the operator's. Whatever acts on a job acts on this. */
export type ResolvedSpec = Omit<
  TrainingJobSpec,
  'trainer' | 'compute' | 'checkpoints' | 'scoring' | 'predictions' | 'runPolicy' | 'watchdog'
> & {
  /** Undefined: the operator's own trainer image. */
  readonly image: string | undefined;
  readonly trainer: Omit<Trainer, 'tabular'> & {
    readonly tabular?: Omit<Tabular, 'parameters'> & {
      readonly parameters: NonNullable<Tabular['parameters']>;
    };
  };
  readonly compute: Filled<TrainingJobSpec['compute'], typeof ownDefaults.compute>;
  readonly checkpoints?: Filled<NonNullable<TrainingJobSpec['checkpoints']>, typeof ownDefaults.checkpoints>;
  readonly scoring: NonNullable<TrainingJobSpec['scoring']>;
  readonly predictions?: Filled<NonNullable<TrainingJobSpec['predictions']>, typeof ownDefaults.predictions>;
  readonly runPolicy: Filled<NonNullable<TrainingJobSpec['runPolicy']>, typeof ownDefaults.runPolicy>;
  readonly watchdog: Required<NonNullable<TrainingJobSpec['watchdog']>>;
};

export type ResolvedJob = Omit<TrainingJob, 'spec'> & { readonly spec: ResolvedSpec };

/**
 * What stands behind a job's own words, whole: a runtime's words, and the operator's where it has none. `words` is the spec of
 * a runtime, or defaults that a run is pinned to, which are of the same shape. Only what concerns the job is in it.
 */
export function defaultsFor(spec: TrainingJobSpec, words: Words = {}): Words {
  const { tabular: theirs, env } = words.trainer ?? {};
  const { fineTune, tabular } = spec.trainer;
  const several = spec.compute.candidates.some(({ gpu }) => (gpu?.count ?? 1) > 1);
  const trainer = {
    ...(fineTune && { fineTune: fineTuneBehind(fineTune, words.trainer?.fineTune, several) }),
    ...(tabular && {
      tabular: tabularBehind(tabular, theirs),
    }),
    ...(env && { env }),
  };
  return {
    ...(words.image !== undefined && { image: words.image }),
    ...(Object.keys(trainer).length > 0 && { trainer }),
    compute: { ...ownDefaults.compute, ...words.compute },
    ...(words.evaluation && { evaluation: words.evaluation }),
    ...(spec.checkpoints && { checkpoints: { ...ownDefaults.checkpoints, ...words.checkpoints } }),
    // A strategy and its metric belong together.
    scoring: words.scoring ?? scoringBehind(spec.trainer),
    ...(fineTune &&
      (spec.predictions ?? words.predictions) && {
        predictions: { ...ownDefaults.predictions, ...words.predictions },
      }),
    runPolicy: { ...ownDefaults.runPolicy, ...words.runPolicy },
    watchdog: { ...ownDefaults.watchdog, ...words.watchdog },
  };
}

/** A parameter that is searched has no value of its own. */
function tabularBehind(tabular: Tabular, words: TabularWords = {}): TabularWords {
  const parameters = parametersBehind(tabular.modelType, tabular.parameters, words.parameters);
  if (!tabular.search) return { parameters };
  const space = spaceBehind(tabular, { ...parameters, ...tabular.parameters });
  const searched = new Set<string>([...space, ...(tabular.search.space ?? [])].map(({ name }) => name));
  const rest = Object.fromEntries(Object.entries(parameters).filter(([name]) => !searched.has(name)));
  return { parameters: rest, search: { space } };
}

function withTabularBehind(tabular: Tabular, behind: TabularWords = {}): Tabular {
  const { search } = tabular;
  return {
    ...tabular,
    parameters: { ...behind.parameters, ...tabular.parameters },
    ...(search && { search: { ...search, space: [...(behind.search?.space ?? []), ...(search.space ?? [])] } }),
  };
}

/** Total. The words of a runtime, the defaults kept of them, and what it once came to with either all give the same. */
export function resolve(spec: TrainingJobSpec, words?: Words): ResolvedSpec {
  const defaults = defaultsFor(spec, words);
  const { fineTune, tabular, custom } = spec.trainer;
  const env = merged(defaults.trainer?.env, spec.trainer.env);
  const evaluation = spec.evaluation ?? defaults.evaluation;
  return {
    ...spec,
    image: custom?.image ?? defaults.image,
    trainer: {
      ...(custom && { custom }),
      ...(fineTune && { fineTune: withBehind(fineTune, defaults.trainer?.fineTune) }),
      ...(tabular && {
        tabular: withTabularBehind(tabular, defaults.trainer?.tabular),
      }),
      ...(env && { env }),
    },
    compute: { ...defaults.compute, ...spec.compute },
    ...(evaluation && { evaluation }),
    ...(spec.checkpoints && { checkpoints: { ...defaults.checkpoints, ...spec.checkpoints } }),
    scoring: spec.scoring ?? defaults.scoring,
    ...(defaults.predictions && { predictions: { ...defaults.predictions, ...spec.predictions } }),
    runPolicy: { ...defaults.runPolicy, ...spec.runPolicy },
    watchdog: { ...defaults.watchdog, ...spec.watchdog },
  } as ResolvedSpec;
}

/** A job as its status alone tells it: with the defaults that its run is pinned to. */
export function resolved(job: TrainingJob): ResolvedJob {
  return { ...job, spec: resolve(job.spec, job.status?.run?.defaults) };
}

function merged(
  behind: readonly EnvVar[] | undefined,
  own: readonly EnvVar[] | undefined,
): readonly EnvVar[] | undefined {
  if (!behind || !own) return own ?? behind;
  const names = new Set(own.map(({ name }) => name));
  return [...behind.filter(({ name }) => !names.has(name)), ...own];
}
