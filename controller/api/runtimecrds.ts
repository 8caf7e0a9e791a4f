/**
 * The resource definitions of ClusterTrainingRuntime and TrainingRuntime, made from that of TrainingJob: what a runtime may say
 * has there the same name, description and rules. Read by generate.ts alone.
 */
export type Schema = { readonly [key: string]: unknown };

const group = 'training.finetunelab.ai';

/** What of each kind of trainer is not a job's own, which says which model is made of which data and how. */
const ofTabular = ['parameters'];
const ofFineTune = ['method', 'parameters', 'lora', 'quantization', 'distribution'];

export const runtimeKinds = [
  { kind: 'ClusterTrainingRuntime', plural: 'clustertrainingruntimes', scope: 'Cluster' },
  { kind: 'TrainingRuntime', plural: 'trainingruntimes', scope: 'Namespaced' },
] as const;

export type RuntimeKind = (typeof runtimeKinds)[number];

/** A whole CustomResourceDefinition. `job` is the schema of a TrainingJob's spec. */
export function runtimeCrd({ kind, plural, scope }: RuntimeKind, job: Schema): Schema {
  const scoped = scope === 'Cluster' ? 'TrainingJobs of all namespaces' : 'TrainingJobs of its namespace';
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope,
      names: { kind, listKind: `${kind}List`, plural, singular: kind.toLowerCase() },
      versions: [
        {
          name: 'v1alpha1',
          served: true,
          storage: true,
          additionalPrinterColumns: [
            { name: 'Image', type: 'string', jsonPath: '.spec.image' },
            { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
          ],
          schema: {
            openAPIV3Schema: {
              type: 'object',
              description: `${kind} is an image and defaults for ${scoped} that name it in spec.runtimeRef; what a job says itself goes before.`,
              required: ['spec'],
              properties: {
                apiVersion: { type: 'string' },
                kind: { type: 'string' },
                metadata: { type: 'object' },
                spec: runtimeSpec(job),
              },
            },
          },
        },
      ],
    },
  };
}

/** The one shape that both kinds share. */
export function runtimeSpec(job: Schema): Schema {
  const tabular = at(job, 'trainer', 'tabular');
  const fineTune = at(job, 'trainer', 'fineTune');
  const evaluation = at(job, 'evaluation');
  return {
    type: 'object',
    description: 'What stands behind a job; each field is described, and ruled, as in a TrainingJob.',
    'x-kubernetes-validations': [
      {
        rule: '!has(self.checkpoints) || !has(self.checkpoints.everySteps) || !has(self.evaluation) || self.checkpoints.everySteps % self.evaluation.everySteps == 0',
        message:
          'spec.checkpoints.everySteps: must be a multiple of spec.evaluation.everySteps, because checkpoints are saved at evaluations',
      },
    ],
    properties: {
      image: {
        ...at(job, 'trainer', 'custom', 'image'),
        description:
          "Image whose entry point is the agent (trainingjob agent); spec.trainer.custom.image of a job goes before it. The operator's own trainer image when absent.",
      },
      trainer: {
        type: 'object',
        description: 'Which jobs it is for, by their kind of trainer; jobs of any kind when none is there.',
        'x-kubernetes-validations': [
          {
            rule: '[has(self.fineTune), has(self.tabular), has(self.custom)].filter(given, given).size() <= 1',
            message: 'spec.trainer: write at most one of fineTune, tabular and custom',
          },
        ],
        properties: {
          fineTune: runtimeFineTune(fineTune),
          tabular: {
            type: 'object',
            description: 'For jobs with spec.trainer.tabular: defaults for them.',
            properties: only(members(tabular), ofTabular),
          },
          custom: {
            type: 'object',
            description: 'For jobs with spec.trainer.custom; what is started is the word of each job.',
          },
          env: runtimeEnv(at(job, 'trainer', 'env')),
        },
      },
      compute: {
        type: 'object',
        description: 'What the image needs of a pod.',
        properties: only(members(at(job, 'compute')), ['minCudaVersion', 'containerDiskGB']),
      },
      evaluation,
      checkpoints: {
        type: 'object',
        description: 'How often checkpoints are saved and how many stay, for jobs that store any.',
        properties: only(members(at(job, 'checkpoints')), ['everySteps', 'everyMinutes', 'keepBest', 'keepLast']),
      },
      scoring: at(job, 'scoring'),
      predictions: at(job, 'predictions'),
      runPolicy: {
        ...at(job, 'runPolicy'),
        // It deletes a user's object, so it is only that user's word.
        properties: without(members(at(job, 'runPolicy')), ['ttlSecondsAfterFinished']),
      },
      watchdog: at(job, 'watchdog'),
    },
  };
}

/** A rule of a job that speaks of its method holds where the runtime names one: each parameter must be one of that method. */
function runtimeFineTune(fineTune: Schema): Schema {
  const properties = only(members(fineTune), ofFineTune);
  const rules = fineTune['x-kubernetes-validations'] as readonly { readonly rule: string; readonly message: string }[];
  const own = rules.filter(({ rule }) => {
    const named = [...rule.matchAll(/self\.([a-zA-Z]+)/g)].map(([, name = '']) => name);
    return named.every((name) => name in properties);
  });
  return {
    type: 'object',
    description: 'For jobs with spec.trainer.fineTune: defaults for them.',
    'x-kubernetes-validations': own.map(({ rule, message }) =>
      rule.includes('self.method') ? { rule: `!has(self.method) || (${rule})`, message } : { rule, message },
    ),
    properties: {
      ...properties,
      method: {
        ...(properties['method'] as Schema),
        description:
          'For jobs of this method only; of any method when absent, and each then takes the parameters that it has.',
      },
      lora: {
        ...(properties['lora'] as Schema),
        description: 'Every job that names the runtime trains an adapter of low rank, with these words behind its own.',
      },
    },
  };
}

/** As a job's, but shorter, because status shows it; keys of buckets come from the job alone. */
function runtimeEnv(env: Schema): Schema {
  const items = env['items'] as Schema;
  const properties = members(items);
  return {
    ...env,
    description:
      "Environment of the trainer; an entry of the same name in spec.trainer.env of a job goes before. Values are shown in the status of jobs: write secretKeyRef for what is secret, which names a Secret of the job's own namespace.",
    maxItems: 16,
    items: {
      ...items,
      'x-kubernetes-validations': [
        ...(items['x-kubernetes-validations'] as readonly unknown[]),
        {
          rule: "!self.name.startsWith('AWS_')",
          message:
            'AWS_ names belong to the job, which names the keys of its buckets; write secretRef beside the addresses in the TrainingJob',
        },
      ],
      properties: { ...properties, value: { ...(properties['value'] as Schema), maxLength: 1024 } },
    },
  };
}

function at(schema: Schema, ...path: readonly string[]): Schema {
  const found = path.reduce<Schema | undefined>((inner, name) => inner && (members(inner)[name] as Schema), schema);
  if (!found) throw new Error(`crds/trainingjobs.yaml: spec has no ${path.join('.')}`);
  return found;
}

function members(schema: Schema): Schema {
  return (schema['properties'] ?? {}) as Schema;
}

function only(properties: Schema, names: readonly string[]): Schema {
  return Object.fromEntries(Object.entries(properties).filter(([name]) => names.includes(name)));
}

function without(properties: Schema, names: readonly string[]): Schema {
  return Object.fromEntries(Object.entries(properties).filter(([name]) => !names.includes(name)));
}
