import type { TrainingJob } from '../../controller/api/trainingjob.ts';

/** What the demo shows: one line that moves on a terminal, and a line for each change where there is none. */
export class Display {
  readonly #startedMs = performance.now();
  readonly #live = process.stdout.isTTY;
  #current = '';
  #phase = '';
  #shownMs = 0;

  /** Something begins that may take a while. */
  step(text: string): void {
    this.line(`${this.#clock()} ${text}`);
  }

  line(text: string): void {
    this.end();
    process.stdout.write(`${text}\n`);
  }

  job(job: TrainingJob): void {
    const phase = job.status?.phase ?? 'Pending';
    const text = `${this.#clock()} ${summary(job)}`;
    const changed = phase !== this.#phase;
    if (this.#live) {
      if (changed) this.end();
      process.stdout.write(`\r\u001b[2K${text.slice(0, Math.max(20, process.stdout.columns - 1))}`);
      this.#current = text;
    } else if (changed || performance.now() - this.#shownMs > 1500) {
      process.stdout.write(`${text}\n`);
      this.#shownMs = performance.now();
    }
    this.#phase = phase;
  }

  /** Leaves the moving line as it is. */
  end(): void {
    if (this.#current !== '') process.stdout.write('\n');
    this.#current = '';
  }

  #clock(): string {
    return `${((performance.now() - this.#startedMs) / 1000).toFixed(1).padStart(6)}s`;
  }
}

function summary(job: TrainingJob): string {
  const { phase = 'Pending', progress, best, attempt, cost, conditions } = job.status ?? {};
  const evaluated = job.status?.metrics?.find((metric) => metric.name === 'eval/loss');
  const why = conditions?.find((entry) => entry.type === 'Ready');
  const parts = [phase.padEnd(12)];
  if (progress?.step !== undefined)
    parts.push(`step ${progress.step}/${progress.totalSteps ?? '?'} ${progress.percentage ?? 0}%`);
  if (evaluated) parts.push(`eval loss ${evaluated.value}`);
  if (best) parts.push(`best step ${best.step} score ${best.score}${best.verified ? ' verified' : ''}`);
  if (attempt?.pricePerHour !== undefined) parts.push(`${attempt.pricePerHour} USD/h`);
  if (cost && attempt?.billedFrom !== undefined) parts.push(`${cost.accrued} USD`);
  if (why && phase !== 'Running') parts.push(why.reason);
  return parts.join('  ');
}
