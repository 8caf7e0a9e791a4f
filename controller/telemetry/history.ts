import { scoreEvaluation, type Scored } from '../scoring/best.ts';
import type { AgentEvent } from './protocol.ts';
import type { StoredBatch, TelemetryStore } from './store/store.ts';
import type { JobTelemetry } from './jobtelemetry.ts';
import { contact, reduce, reportOf } from './summary.ts';
import type { Telemetry } from './telemetry.ts';

interface Query {
  readonly attempt?: number;
  readonly afterStep?: number;
  /** Where a former answer's `continue` said to go on. */
  readonly from?: string;
  readonly limit: number;
}

export interface PointQuery extends Query {
  readonly metric?: string;
}

export interface PredictionQuery extends Query {
  readonly step?: number;
}

export interface Page<Item> {
  readonly items: readonly Item[];
  /** Ask again with this to get more; null at the end. */
  readonly continue: string | null;
}

type Event<Type> = Extract<AgentEvent, { type: Type }>;

export interface PointItem {
  readonly attempt: number;
  readonly step: number;
  readonly epoch?: number;
  readonly time: string;
  readonly metrics: Readonly<Record<string, number | null>>;
}

export type PredictionItem = Omit<Event<'prediction'>, 'type' | 'time'> & {
  readonly attempt: number;
  readonly time: string;
};

const page = 200;

/** Points of a job in the order of their acceptance. */
export function pointItems(store: TelemetryStore, uid: string, query: PointQuery): Promise<Page<PointItem>> {
  const { metric } = query;
  return paged(store, uid, 'point', query, ({ step, epoch, metrics }, { attempt, receivedAt }) =>
    metric !== undefined && !Object.hasOwn(metrics, metric)
      ? undefined
      : {
          attempt,
          step,
          ...(typeof epoch === 'number' && { epoch }),
          time: new Date(receivedAt).toISOString(),
          metrics: metric === undefined ? metrics : { [metric]: metrics[metric] ?? null },
        },
  );
}

/** What the model answered at evaluations, in the order of acceptance. */
export function predictionItems(
  store: TelemetryStore,
  uid: string,
  query: PredictionQuery,
): Promise<Page<PredictionItem>> {
  return paged(store, uid, 'prediction', query, ({ type: _type, time: _time, ...told }, { attempt, receivedAt }) =>
    query.step !== undefined && told.step !== query.step
      ? undefined
      : { attempt, ...told, time: new Date(receivedAt).toISOString() },
  );
}

/** Events of one type as items, those that `shown` makes something of; a page of them. */
async function paged<Type extends 'point' | 'prediction', Item>(
  store: TelemetryStore,
  uid: string,
  type: Type,
  query: Query,
  shown: (event: Event<Type>, row: StoredBatch) => Item | undefined,
): Promise<Page<Item>> {
  const items: Item[] = [];
  const [fromID = 0, fromIndex = 0] = (query.from ?? '0.0').split('.').map(Number);
  for await (const row of batchesOf(store, uid, Math.max(0, fromID - 1))) {
    // Most batches have points and nothing else, and need not be parsed for the rest.
    if (!row.payload.includes(`"type":"${type}"`)) continue;
    const events = JSON.parse(row.payload) as readonly AgentEvent[];
    for (const [index, event] of events.entries()) {
      if (row.id === fromID && index < fromIndex) continue;
      if (!isOf(event, type) || !matches(event.step, row.attempt, query)) continue;
      const item = shown(event, row);
      if (item === undefined) continue;
      if (items.length === query.limit) return { items, continue: `${row.id}.${index}` };
      items.push(item);
    }
  }
  return { items, continue: null };
}

function isOf<Type extends AgentEvent['type']>(event: AgentEvent, type: Type): event is Event<Type> & AgentEvent {
  return event.type === type;
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

function matches(step: number, attempt: number, query: Query): boolean {
  return (
    (query.attempt === undefined || attempt === query.attempt) &&
    (query.afterStep === undefined || step > query.afterStep)
  );
}
