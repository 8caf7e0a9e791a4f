import type { Metrics } from './protocol.ts';
import type { MetricSummary } from './jobtelemetry.ts';

/** As many as status has room for. */
const keptMetrics = 32;
/** What /metrics shows of every job; many other names must not crowd these out. */
const shownMetrics: ReadonlySet<string> = new Set(['train/loss', 'eval/loss']);

/** The newest value of each metric, with its best. */
export function mergedMetrics(
  before: readonly MetricSummary[],
  values: Metrics,
  step: number,
): readonly MetricSummary[] {
  const byName = new Map(before.map((metric) => [metric.name, metric]));
  for (const [name, value] of Object.entries(values)) {
    if (value === null) continue;
    const old = byName.get(name);
    if (!old && !shownMetrics.has(name) && others(byName) >= keptMetrics - shownMetrics.size) continue;
    const better = !old || (lowerIsBetter(name) ? value < old.best : value > old.best);
    byName.set(name, { name, value, step, best: better ? value : old.best, bestStep: better ? step : old.bestStep });
  }
  return [...byName.values()];
}

function others(byName: ReadonlyMap<string, MetricSummary>): number {
  let shown = 0;
  for (const name of shownMetrics) if (byName.has(name)) shown += 1;
  return byName.size - shown;
}

function lowerIsBetter(name: string): boolean {
  return /loss|error|perplexity|rmse|mae|mse/i.test(name);
}
