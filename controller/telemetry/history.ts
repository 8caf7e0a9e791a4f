import type { Scoring } from '../scoring/best.ts';
import type { AgentEvent } from './protocol.ts';
import type { StoredBatch, TelemetryStore } from './store/store.ts';
import { afterEvaluation, contact, reduce, type JobTelemetry } from './summary.ts';
import type { Telemetry } from './telemetry.ts';

export interface PointQuery {
  readonly metric?: string;
  readonly attempt?: number;
  readonly afterStep?: number;
  /** Where a former answer's `continue` said to go on. */
  readonly from?: string;
  readonly limit: number;
}

export interface PointPage {
  readonly items: readonly {
    readonly attempt: number;
    readonly step: number;
    readonly epoch?: number;
    readonly time: string;
    readonly metrics: Readonly<Record<string, number | null>>;
  }[];
  /** Ask again with this to get more; null at the end. */
  readonly continue: string | null;
}

const page = 200;

/** Points of a job in the order of their acceptance. */
export async function pointItems(store: TelemetryStore, uid: string, query: PointQuery): Promise<PointPage> {
  const items: PointPage['items'][number][] = [];
  const [fromID = 0, fromIndex = 0] = (query.from ?? '0.0').split('.').map(Number);
  for await (const row of batchesOf(store, uid, Math.max(0, fromID - 1))) {
    const events = JSON.parse(row.payload) as readonly AgentEvent[];
    for (const [index, event] of events.entries()) {
      if (row.id === fromID && index < fromIndex) continue;
      if (event.type !== 'point' || !matches(event, row.attempt, query)) continue;
      if (items.length === query.limit) return { items, continue: `${row.id}.${index}` };
      const metrics =
        query.metric === undefined ? event.metrics : { [query.metric]: event.metrics[query.metric] ?? null };
      items.push({
        attempt: row.attempt,
        step: event.step,
        ...(event.epoch !== undefined && { epoch: event.epoch }),
        time: new Date(row.receivedAt).toISOString(),
        metrics,
      });
    }
  }
  return { items, continue: null };
}

/** Every evaluation with the score it got, its components, and whether it was the best so far. */
export async function evaluationItems(
  store: TelemetryStore,
  telemetry: Telemetry,
  uid: string,
): Promise<readonly unknown[]> {
  const items: unknown[] = [];
  let job: JobTelemetry | undefined;
  for await (const row of batchesOf(store, uid, 0)) {
    const scoring = JSON.parse(telemetry.attempt(uid, row.attempt)?.scoring ?? '{"strategy":"MultiMetric"}') as Scoring;
    job = contact(job, uid, row.attempt, '', row.receivedAt);
    for (const event of JSON.parse(row.payload) as readonly AgentEvent[]) {
      if (event.type !== 'evaluation') {
        job = reduce(job, event, scoring, row.receivedAt);
        continue;
      }
      const after = afterEvaluation(job, event, scoring, row.receivedAt);
      ({ job } = after);
      const { score, improved, isBest } = after.scored;
      items.push({
        attempt: row.attempt,
        step: event.step,
        ...(event.epoch !== undefined && { epoch: event.epoch }),
        time: new Date(row.receivedAt).toISOString(),
        evalLoss: event.evalLoss,
        trainLoss: event.trainLoss,
        trainLossStep: event.trainLossStep,
        metrics: event.metrics,
        score: score?.score ?? null,
        components: score?.components ?? null,
        improved,
        best: isBest,
      });
    }
  }
  return items;
}

async function* batchesOf(store: TelemetryStore, uid: string, afterID: number): AsyncGenerator<StoredBatch> {
  for (let after = afterID; ;) {
    const rows = await store.batches(after, page, uid);
    yield* rows;
    const last = rows.at(-1);
    if (!last || rows.length < page) return;
    after = last.id;
  }
}

function matches(event: Extract<AgentEvent, { type: 'point' }>, attempt: number, query: PointQuery): boolean {
  return (
    (query.attempt === undefined || attempt === query.attempt) &&
    (query.afterStep === undefined || event.step > query.afterStep) &&
    (query.metric === undefined || query.metric in event.metrics)
  );
}
