import type { BestStep, ScorerState } from '../scoring/best.ts';
import type { LossTrend, LossWindow } from '../scoring/window.ts';
import type { Eta, PaceMark } from './eta.ts';
import type { FinalEvent, SearchState, Stage } from './protocol.ts';

export interface MetricSummary {
  readonly name: string;
  readonly value: number;
  readonly step: number;
  /** Lowest value of a loss, highest of any other metric. */
  readonly best: number;
  readonly bestStep: number;
}

export interface CheckpointSummary {
  readonly step: number;
  readonly uri: string;
  readonly manifestSHA256: string;
  readonly verified: boolean;
  /** Epoch milliseconds of its report. */
  readonly time: number;
  readonly attempt: number;
  /** The scorer as of its step: an attempt that resumes from it goes on from here. */
  readonly scorer: ScorerState;
  /** The evaluation of its step, where there is one. */
  readonly scored?: BestStep;
}

/** What the scorer was after one evaluation. */
export interface Evaluated {
  readonly step: number;
  readonly scorer: ScorerState;
  /** Absent where the evaluation could not be scored. */
  readonly scored?: BestStep;
}

export interface BestSummary extends BestStep {
  readonly verified: boolean;
  readonly uri?: string;
  readonly manifestSHA256?: string;
}

export interface FinalSummary extends FinalEvent {
  readonly receivedAt: number;
}

export interface Alert {
  readonly attempt: number;
  readonly name: string;
  readonly severity: 'Info' | 'Warning' | 'Error';
  readonly message: string;
  /** Epoch milliseconds of its report. */
  readonly time: number;
}

/** All that is kept in memory of what a job's trainers reported. Instants are epoch milliseconds of our own clock. */
export interface JobTelemetry {
  readonly uid: string;
  /** The newest attempt that reported. */
  readonly attempt: number;
  readonly firstContactAt: number;
  readonly lastReportAt: number;
  readonly podID?: string;
  readonly trainerVersion?: string;
  /** Whether the pod can end itself. */
  readonly deadMan?: 'Armed' | 'Unarmed';
  /** Where this attempt went on; 0: from the start, as no checkpoint was good. */
  readonly resumedFromStep?: number;
  readonly stage?: Stage;
  readonly stageDetail?: string;
  /** When the trainer last got any further, by a step, a stage or what it stored; absent until it says anything of the kind. */
  readonly progressAt?: number;
  /** First step that this attempt reported. */
  readonly firstStep?: number;
  readonly step?: number;
  readonly epoch?: number;
  readonly totalSteps?: number;
  readonly evaluationEverySteps?: number;
  readonly processes?: number;
  readonly samplesPerStep?: number;
  readonly nextEvaluationStep?: number;
  readonly dataset?: {
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
  };
  readonly metrics: readonly MetricSummary[];
  readonly losses: LossWindow;
  readonly lossTrend?: LossTrend;
  readonly nonFiniteCount: number;
  readonly scorer: ScorerState;
  readonly best?: BestSummary;
  readonly evaluations: number;
  readonly evalsSinceBest?: number;
  readonly lastScore?: number;
  /** The newest evaluations of this attempt: an upload may be told of when training has passed by more of them. */
  readonly evaluated: readonly Evaluated[];
  /** Of a tabular job that searches. */
  readonly search?: SearchState;
  readonly checkpoints: readonly CheckpointSummary[];
  readonly latestCheckpoint?: CheckpointSummary;
  /** The last ones of all attempts. */
  readonly alerts: readonly Alert[];
  readonly logTail: readonly string[];
  readonly finals: Readonly<Record<number, FinalSummary>>;
  /** Batches taken, over all attempts. */
  readonly lastSequence: number;
  readonly marks: readonly PaceMark[];
  readonly eta?: Eta;
}
