import { scoreEvaluation, type Scored } from '../scoring/best.ts';
import type { AgentEvent } from './protocol.ts';
import type { StoredBatch, TelemetryStore } from './store/store.ts';
import type { JobTelemetry } from './jobtelemetry.ts';
import { contact, reduce, reportOf } from './summary.ts';
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

/** What the scorer's way through the attempts depends on. */
const telling = /"type":"(evaluation|checkpoint|resumed)"/;

/**
 * Every evaluation with the score it got, its components, and whether it was the best so far, as the live scorer saw it: an
 * attempt begins anew, or goes on from where its checkpoint was. What an attempt reported after a later one had begun was
 * scored by nobody.
 */
export async function evaluationItems(
  store: TelemetryStore,
  telemetry: Telemetry,
  uid: string,
): Promise<readonly unknown[]> {
  const items: unknown[] = [];
  let job: JobTelemetry | undefined;
  for await (const row of batchesOf(store, uid, 0)) {
    job = contact(job, uid, row.attempt, '', row.receivedAt);
    // Most batches have none, and need not be parsed.
    if (!telling.test(row.payload)) continue;
    const scoring = row.attempt === job.attempt ? telemetry.scoring(uid, row.attempt) : undefined;
    for (const event of JSON.parse(row.payload) as readonly AgentEvent[]) {
      const { scorer } = job;
      if (scoring) job = reduce(job, event, scoring, row.receivedAt);
      if (event.type !== 'evaluation') continue;
      const scored = scoring && scoreEvaluation(scorer, reportOf(event), scoring);
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
