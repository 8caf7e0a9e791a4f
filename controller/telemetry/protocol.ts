/** What agent and operator say to each other, version 1. Names are as they travel. */

export interface Config {
  readonly protocolVersion: 1;
  readonly job: {
    readonly uid: string;
    readonly namespace: string;
    readonly name: string;
    readonly attempt: number;
    readonly run: number;
    readonly specHash: string;
  };
  readonly trainer: Readonly<Record<string, unknown>>;
  readonly env: Readonly<Record<string, string>>;
  /** Names of those whose values come from Secrets. */
  readonly secretEnv: readonly string[];
  readonly evaluation?: { readonly everySteps: number };
  readonly checkpoints: Readonly<Record<string, unknown>> | null;
  readonly output: {
    readonly uri: string;
    readonly huggingFace?: { readonly repo: string; readonly private?: boolean };
  } | null;
  readonly storage: {
    readonly checkpoints: string | null;
    readonly output: string | null;
    /** A folder in the pod for what other attempts and jobs may need as well. */
    readonly cache?: string;
    /** How buckets are reached; Amazon's by default. */
    readonly s3?: { readonly endpoint?: string; readonly region?: string; readonly pathStyle?: boolean };
    /** AWS_* variables by the address, and all below it, that they open instead of those in `env`. */
    readonly keys?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  };
  readonly scoring: Readonly<Record<string, unknown>>;
  readonly earlyStopping?: Readonly<Record<string, unknown>>;
  readonly predictions?: Readonly<Record<string, unknown>>;
  readonly agent: {
    readonly heartbeatSeconds: number;
    readonly holdSeconds: number;
    readonly stopGraceSeconds: number;
  };
  /** Where the run may go on; null: from the start. */
  readonly resume: Resume | null;
}

/** Verified checkpoints of this run, the newest first; the trainer takes the first that it finds whole. */
export interface Resume {
  readonly checkpoints: readonly {
    readonly uri: string;
    readonly step: number;
    readonly manifestSHA256: string;
  }[];
}

export type Stage =
  | 'Starting'
  | 'Downloading'
  | 'Loading'
  | 'Tokenizing'
  | 'Training'
  | 'Evaluating'
  | 'Checkpointing'
  | 'Merging'
  | 'Uploading'
  | 'Holding';

export const stageNames: readonly Stage[] = [
  'Starting',
  'Downloading',
  'Loading',
  'Tokenizing',
  'Training',
  'Evaluating',
  'Checkpointing',
  'Merging',
  'Uploading',
  'Holding',
];

export type Metrics = Readonly<Record<string, number | null>>;

/** A search for parameters; the parameters are those that it chose for the best trial, as texts. */
export interface SearchState {
  readonly trials: number;
  readonly complete: number;
  readonly pruned: number;
  readonly failed: number;
  readonly bestTrial?: number;
  readonly bestParameters?: Readonly<Record<string, string>>;
}

interface Timed {
  /** The agent's own clock; kept for the record, never compared with ours. */
  readonly time?: string;
}

export type AgentEvent = Timed &
  (
    | { readonly type: 'started'; readonly trainerVersion: string; readonly deadMan?: 'Armed' | 'Unarmed' }
    /** Where the trainer goes on, before its first point; step 0 is the start. Sent where the configuration had `resume`. */
    | {
        readonly type: 'resumed';
        readonly step: number;
        readonly uri: string | null;
        readonly rejected: readonly { readonly uri: string; readonly reason: string }[];
      }
    | { readonly type: 'stage'; readonly stage: Stage; readonly detail?: string }
    | {
        readonly type: 'totals';
        readonly totalSteps: number;
        readonly evaluationEverySteps?: number;
        readonly requestedEvaluationEverySteps?: number;
        readonly checkpointEverySteps?: number;
        readonly processes?: number;
        /** Rows of one step of the optimizer, of all processes. */
        readonly samplesPerStep?: number;
        readonly notes?: readonly string[];
      }
    | {
        readonly type: 'dataset';
        /** Neither of the two where rows are read as they come. */
        readonly samples?: number;
        readonly trainSamples?: number;
        readonly evalSamples: number;
        readonly tokens?: number;
        readonly trainedTokens?: number;
        readonly rows?: number;
        readonly columns?: number;
        readonly sha256: string;
        readonly revision?: string;
      }
    | {
        readonly type: 'point';
        readonly step: number;
        readonly epoch?: number | null;
        readonly metrics: Metrics;
        readonly nonFinite?: readonly string[];
      }
    | {
        readonly type: 'evaluation';
        readonly step: number;
        readonly epoch?: number | null;
        readonly evalLoss: number | null;
        readonly trainLoss: number | null;
        readonly trainLossStep: number | null;
        readonly metrics: Metrics;
        readonly nonFinite?: readonly string[];
      }
    /** What the model answered to one of the run's samples at the evaluation of this step; texts are cut at their limit. */
    | {
        readonly type: 'prediction';
        readonly step: number;
        /** Counted from 0; the same prompt at every evaluation of the run. */
        readonly sample: number;
        /** Of the data, counted from 1. */
        readonly row?: number;
        readonly prompt: string;
        /** Null where the data have no answer. */
        readonly expected: string | null;
        readonly generated: string;
        readonly promptTokens?: number;
        readonly generatedTokens?: number;
        /** Whether it ended by itself, or was cut at the most tokens. */
        readonly finishReason?: 'stop' | 'length';
        readonly scores: Metrics;
        /** Why it is no valid JSON, or not as the schema wants it. */
        readonly problem?: string;
      }
    | {
        readonly type: 'checkpoint';
        readonly step: number;
        readonly uri: string;
        readonly manifestSHA256: string;
        readonly verified: boolean;
        readonly removed?: boolean;
      }
    /** How far a search is, after each of its trials; the step of a trial is its number. */
    | ({ readonly type: 'search' } & SearchState)
    | {
        readonly type: 'alert';
        readonly name: string;
        readonly severity: 'Info' | 'Warning' | 'Error';
        readonly message: string;
      }
    | { readonly type: 'log'; readonly lines: readonly string[] }
    | FinalEvent
  );

export interface FinalEvent {
  readonly type: 'final';
  readonly outcome: 'Succeeded' | 'Failed' | 'Stopped';
  readonly exitCode: number;
  readonly reason: string;
  readonly message: string;
  readonly step?: number;
  readonly bestStep?: number;
  readonly output?: {
    readonly uri: string;
    readonly manifestSHA256: string;
    /** Where it was published as well. */
    readonly huggingFaceRevision?: string;
    readonly huggingFaceURL?: string;
  };
  readonly metrics?: Metrics;
  readonly logTail?: readonly string[];
}

/** A batch of events, or a sign of life when it has none and no sequence. */
export interface Batch {
  readonly session: string;
  readonly sequence?: number;
  readonly podID: string;
  readonly sentAt?: string;
  readonly stage?: Stage;
  readonly step?: number;
  readonly events: readonly AgentEvent[];
}

/** Repeated in each answer until it is withdrawn; the agent obeys an id once. */
export type Command = { readonly id: string; readonly reason: string } & (
  | { readonly type: 'stop' | 'checkpoint' }
  /** The height of the learning rate's schedule from the next step on, as a decimal string. Nobody sends it yet. */
  | { readonly type: 'learningRate'; readonly learningRate: string }
);

export interface BatchAnswer {
  readonly acknowledged: { readonly session: string; readonly sequence: number } | null;
  readonly commands: readonly Command[];
  readonly token: string | null;
  /** How long the agent may go on from the receipt of this answer; null when nothing new is known. */
  readonly lease: {
    /** Without a later answer the pod ends itself after this. */
    readonly remainingSeconds: number;
    /** The end of the run by deadline and budget, at the rate really charged; null for none. */
    readonly endsInSeconds: number | null;
  } | null;
  readonly serverTime: string;
}
