import { isDeepStrictEqual } from 'node:util';

/** What is exposed of one job; absent values have no sample. */
export interface JobSeries {
  readonly namespace: string;
  readonly name: string;
  readonly phase: string;
  readonly step?: number | undefined;
  readonly totalSteps?: number | undefined;
  readonly trainLoss?: number | undefined;
  readonly evalLoss?: number | undefined;
  readonly score?: number | undefined;
  readonly bestScore?: number | undefined;
  readonly bestStep?: number | undefined;
  readonly pricePerHourUsd?: number | undefined;
  readonly costUsd?: number | undefined;
  readonly lastReportSeconds?: number | undefined;
  readonly attempt?: number | undefined;
  /** Finished trials of a search by how they ended. */
  readonly trials?: Readonly<Record<string, number>> | undefined;
  /** Retries of the run by whose fault they were. */
  readonly retries?: Readonly<Record<string, number>> | undefined;
}

interface Family {
  readonly name: string;
  readonly help: string;
  /** Of the samples, where there are several. */
  readonly label?: string;
  /** One sample, or one for each value of the label. */
  readonly value: (series: JobSeries) => number | Readonly<Record<string, number>> | undefined;
}

const families: readonly Family[] = [
  { name: 'trainingjob_step', help: 'Step that the training has reached.', value: (job) => job.step },
  { name: 'trainingjob_total_steps', help: 'Steps of the whole run.', value: (job) => job.totalSteps },
  { name: 'trainingjob_train_loss', help: 'Newest train loss.', value: (job) => job.trainLoss },
  { name: 'trainingjob_eval_loss', help: 'Newest eval loss.', value: (job) => job.evalLoss },
  { name: 'trainingjob_score', help: 'Score of the newest evaluation; lower is better.', value: (job) => job.score },
  { name: 'trainingjob_best_score', help: 'Score of the best step.', value: (job) => job.bestScore },
  { name: 'trainingjob_best_step', help: 'Best step so far.', value: (job) => job.bestStep },
  {
    name: 'trainingjob_price_usd_per_hour',
    help: 'Rate charged for the pod now; 0 without a pod.',
    value: (job) => job.pricePerHourUsd,
  },
  { name: 'trainingjob_cost_usd', help: 'Cost of the job so far.', value: (job) => job.costUsd },
  {
    name: 'trainingjob_last_report_timestamp_seconds',
    help: 'When the trainer was last heard.',
    value: (job) => job.lastReportSeconds,
  },
  { name: 'trainingjob_attempt', help: 'Number of the newest attempt to have a pod.', value: (job) => job.attempt },
  {
    name: 'trainingjob_retries',
    help: 'Retries of the run, by whose fault they were.',
    label: 'fault',
    value: (job) => job.retries,
  },
  {
    name: 'trainingjob_search_trials',
    help: 'Finished trials of a search, by how they ended.',
    label: 'state',
    value: (job) => job.trials,
  },
];

const phaseFamily = 'trainingjob_status_phase';

/**
 * Series per job, rendered when they change and joined at a scrape: with many jobs the general library would block the
 * event loop for a second. The phase is one series with value 1, for the phase that holds.
 */
export class JobMetrics {
  /** Lines by job, one for each family and the phase's first; undefined where there is no sample. */
  readonly #lines = new Map<string, readonly (string | undefined)[]>();
  readonly #series = new Map<string, JobSeries>();

  set(uid: string, series: JobSeries): void {
    const old = this.#series.get(uid);
    if (old && sameSeries(old, series)) return;
    this.#series.set(uid, series);
    const labels = `namespace="${escaped(series.namespace)}",name="${escaped(series.name)}"`;
    this.#lines.set(uid, [
      `${phaseFamily}{${labels},phase="${escaped(series.phase)}"} 1\n`,
      ...families.map((family) => {
        const value = family.value(series);
        if (typeof value !== 'object') return value === undefined ? undefined : `${family.name}{${labels}} ${value}\n`;
        const lines = Object.entries(value).map(
          ([state, count]) => `${family.name}{${labels},${family.label}="${escaped(state)}"} ${count}\n`,
        );
        return lines.join('');
      }),
    ]);
  }

  delete(uid: string): void {
    this.#series.delete(uid);
    this.#lines.delete(uid);
  }

  /** Exactly these jobs from now on; lines of a job whose values are the same are not rendered again. */
  replace(jobs: Iterable<readonly [uid: string, series: JobSeries]>): void {
    const present = new Set<string>();
    for (const [uid, series] of jobs) {
      present.add(uid);
      this.set(uid, series);
    }
    for (const uid of this.#lines.keys()) if (!present.has(uid)) this.delete(uid);
  }

  render(): string {
    const head = { name: phaseFamily, help: 'The phase that the job is in.' };
    return [head, ...families]
      .map((family, index) => {
        const lines: string[] = [`# HELP ${family.name} ${family.help}\n# TYPE ${family.name} gauge\n`];
        for (const job of this.#lines.values()) {
          const line = job[index];
          if (line !== undefined) lines.push(line);
        }
        return lines.join('');
      })
      .join('');
  }
}

function sameSeries(a: JobSeries, b: JobSeries): boolean {
  return (
    a.phase === b.phase &&
    a.name === b.name &&
    a.namespace === b.namespace &&
    families.every((family) => isDeepStrictEqual(family.value(a), family.value(b)))
  );
}

function escaped(label: string): string {
  return label.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
