import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import { RunpodError } from './errors.ts';

export interface LogTailOptions {
  /**
   * Text of the pod's log as server-sent events: so many lines that were there, then each as it comes. Begins with an empty text
   * when the stream is open.
   */
  readonly open: (podID: string, lines: number, signal: AbortSignal) => AsyncIterable<string>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** As many as a line of the ledger keeps. */
const tailLines = 20;
/** Longer than anybody shows, so that a secret is not cut in two before it is hidden. */
const mostOfLine = 4096;
const mostBytes = 64 * 1024;
/** Longest that a read may take: a pod bills while it is waited for. */
const mostMs = 2000;
/** The stream never ends by itself; after so long without a word the lines that were there have come. */
const quietMs = 1000;
const mostAtOnce = 2;
/** A log that failed once is not asked for again at once: many pods that end together must not all wait for it. */
const restMs = 60_000;

/**
 * The last lines of pods' logs, for pods that are about to be ended. For diagnosis only: it takes a bounded time, is skipped
 * rather than waited for, and never fails.
 */
export class LogTail {
  readonly #options: LogTailOptions;
  #underway = 0;
  #restUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: LogTailOptions) {
    this.#options = options;
  }

  /** Empty when there are none, or when they could not be had in time. */
  async read(podID: string): Promise<readonly string[]> {
    const { clock, log } = this.#options;
    if (this.#underway >= mostAtOnce || clock.monotonic() < this.#restUntilMs) return [];
    this.#underway += 1;
    try {
      return await this.#lines(podID);
    } catch (error) {
      const kind = error instanceof RunpodError ? error.kind : undefined;
      if (kind !== 'notFound' && kind !== 'rateLimited') this.#restUntilMs = clock.monotonic() + restMs;
      log.warn({ podID, error: error instanceof Error ? error.message : String(error) }, "a pod's log was not read");
      return [];
    } finally {
      this.#underway -= 1;
    }
  }

  async #lines(podID: string): Promise<readonly string[]> {
    const { clock, open } = this.#options;
    const over = new AbortController();
    const { signal } = over;
    let text = '';
    let isOpen = false;
    let cancelQuiet: () => void = () => undefined;
    const cancelMost = clock.after(mostMs, () => over.abort());
    const read = (async () => {
      for await (const chunk of open(podID, tailLines, signal)) {
        isOpen = true;
        text += chunk;
        cancelQuiet();
        cancelQuiet = clock.after(quietMs, () => over.abort());
        if (text.length >= mostBytes || linesOf(text).length >= tailLines) return;
      }
    })();
    try {
      // The stream may not care about being aborted.
      await Promise.race([read, aborted(signal)]);
    } catch (error) {
      if (!signal.aborted && text === '') throw error;
    } finally {
      read.catch(() => undefined);
      cancelMost();
      cancelQuiet();
      over.abort();
    }
    if (!isOpen) throw new Error(`no answer within ${mostMs / 1000} s`);
    return linesOf(text).slice(-tailLines);
  }
}

/** The lines that events tell of; the last event may be incomplete, and anything else is passed over. */
function linesOf(text: string): readonly string[] {
  return text.split(/\r\n|\r|\n/).flatMap((field) => {
    if (!field.startsWith('data:')) return [];
    try {
      const event: unknown = JSON.parse(field.slice('data:'.length));
      if (event === null || typeof event !== 'object') return [];
      const { source, line } = event as { source?: unknown; line?: unknown };
      const words = typeof line === 'string' ? plain(line) : '';
      return words === '' ? [] : [`${source === 'system' ? 'system: ' : ''}${words}`.slice(0, mostOfLine)];
    } catch {
      return [];
    }
  });
}

/** Without colours and other control characters. */
function plain(line: string): string {
  return (
    line
      // eslint-disable-next-line no-control-regex
      .replaceAll(/\u001b\[[\d;?]*[A-Za-z]/g, '')
      // eslint-disable-next-line no-control-regex
      .replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, ' ')
      .trim()
  );
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
