import type { ServerResponse } from 'node:http';
import { logSources, type LogLine, type LogSource, type PodLog } from './podlog.ts';
import { Problem } from './problem.ts';

/** What a request for a pod's log asks for. */
export interface LogQuery {
  readonly source: LogSource | undefined;
  readonly backfill: (log: PodLog) => readonly LogLine[];
}

/** Throws what is wrong with the query. A cursor beats `since`, and that beats `tail`. */
export function parseLogQuery(query: URLSearchParams, lastEventID: string | undefined): LogQuery {
  const wanted = query.get('source');
  const source = logSources.find((name) => name === wanted);
  if (wanted !== null && source === undefined) throw new Problem(422, `source must be one of ${logSources.join(', ')}`);
  const cursor = lastEventID ?? query.get('since');
  if (cursor !== null) {
    // A cursor of ours has a counter behind the instant.
    const ms = Date.parse(cursor.split('/')[0] ?? '');
    if (Number.isNaN(ms)) throw new Problem(422, 'since and Last-Event-ID must be RFC 3339 timestamps');
    return { source, backfill: (log) => log.since(ms, source) };
  }
  const tail = Number(query.get('tail') ?? '100');
  if (!Number.isInteger(tail) || tail < 0 || tail > 5000)
    throw new Problem(422, 'tail must be a whole number from 0 to 5000');
  return { source, backfill: (log) => log.tail(tail, source) };
}

/** Sends what was logged, then what comes, until the other side has heard enough. */
export function streamLog(
  log: PodLog,
  { source, backfill }: LogQuery,
  response: ServerResponse,
  headers: Record<string, string>,
): void {
  response.writeHead(200, {
    'content-type': 'text/event-stream',
    'cache-control': 'no-cache',
    connection: 'keep-alive',
    'x-accel-buffering': 'no',
    ...headers,
  });
  response.flushHeaders();
  const send = ({ ts, source: from, line }: LogLine): void =>
    void response.write(`id: ${ts}\ndata: ${JSON.stringify({ ts, source: from, line })}\n\n`);
  for (const line of backfill(log)) send(line);
  const end = log.follow(source, send);
  response.once('close', end);
}
