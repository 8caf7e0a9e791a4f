import { initialScorer, scoreEvaluation, type Scored } from '../scoring/best.ts';
import type { AgentEvent } from './protocol.ts';
import type { StoredBatch, TelemetryStore } from './store/store.ts';
import { reportOf } from './summary.ts';
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
        ...(typeof event.epoch === 'number' && { epoch: event.epoch }),
        time: new Date(row.receivedAt).toISOString(),
        metrics,
      });
    }
  }
  return { items, continue: null };
}

/**
 * Every evaluation with the score it got, its components, and whether it was the best so far. What an attempt reported after
 * a later one had begun was scored by nobody.
 */
export async function evaluationItems(
  store: TelemetryStore,
  telemetry: Telemetry,
  uid: string,
): Promise<readonly unknown[]> {
  const items: unknown[] = [];
  let state = initialScorer;
  let newest = 0;
  for await (const row of batchesOf(store, uid, 0)) {
    newest = Math.max(newest, row.attempt);
    // Most batches have none, and need not be parsed.
    if (!row.payload.includes('"evaluation"')) continue;
    const scoring = telemetry.scoring(uid, row.attempt);
    for (const event of JSON.parse(row.payload) as readonly AgentEvent[]) {
      if (event.type !== 'evaluation') continue;
      const scored = row.attempt === newest && scoring ? scoreEvaluation(state, reportOf(event), scoring) : undefined;
      state = scored?.state ?? state;
      items.push({
        attempt: row.attempt,
        ...reportOf(event),
        time: new Date(row.receivedAt).toISOString(),
        ...shown(scored),
      });
    }
  }
  return items;
}

function shown(scored: Scored | undefined): Readonly<Record<string, unknown>> {
  const { score, components } = scored?.score ?? { score: null, components: null };
  return { score, components, improved: scored?.improved ?? false, best: scored?.isBest ?? false };
}

async function* batchesOf(store: TelemetryStore, uid: string, afterID: number): AsyncGenerator<StoredBatch> {
  for (let after = afterID; ;) {
    const rows = await store.batches(after, page, uid);
    const last = rows.at(-1);
    if (!last) return;
    yield* rows;
    after = last.id;
  }
}

function matches(event: Extract<AgentEvent, { type: 'point' }>, attempt: number, query: PointQuery): boolean {
  return (
    (query.attempt === undefined || attempt === query.attempt) &&
    (query.afterStep === undefined || event.step > query.afterStep) &&
    (query.metric === undefined || Object.hasOwn(event.metrics, query.metric))
  );
}
