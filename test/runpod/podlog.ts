/** `container`: what the pod's processes wrote; `system`: what its host did with it. */
export const logSources = ['container', 'system'] as const;
export type LogSource = (typeof logSources)[number];

export interface LogLine {
  readonly source: LogSource;
  readonly line: string;
  readonly ts: string;
}

const keptLines = 5000;

/** What a pod's log has, and whoever listens to it. */
export class PodLog {
  readonly #lines: LogLine[] = [];
  readonly #listeners = new Set<(line: LogLine) => void>();
  #rest = '';

  system(line: string): void {
    // What the container left unfinished is a line all the same.
    if (this.#rest !== '') this.write('\n');
    this.#add('system', line);
  }

  /** Text of the container's output, as it comes. */
  write(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#add('container', line);
  }

  /** The last lines of a source, or of both. */
  tail(count: number, source: LogSource | undefined): readonly LogLine[] {
    const lines = this.#lines.filter((line) => source === undefined || line.source === source);
    return count === 0 ? [] : lines.slice(-count);
  }

  /** Lines from an instant on. */
  since(ms: number, source: LogSource | undefined): readonly LogLine[] {
    return this.tail(keptLines, source).filter((line) => Date.parse(line.ts) >= ms);
  }

  /** Calls `heard` with each line to come; the result ends it. */
  follow(source: LogSource | undefined, heard: (line: LogLine) => void): () => void {
    const listener = (line: LogLine): void => {
      if (source === undefined || line.source === source) heard(line);
    };
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #add(source: LogSource, line: string): void {
    const entry = { source, line, ts: new Date().toISOString() };
    this.#lines.push(entry);
    if (this.#lines.length > keptLines) this.#lines.shift();
    for (const listener of this.#listeners) listener(entry);
  }
}
