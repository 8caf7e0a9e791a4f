export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram' | 'summary' | 'untyped';
  readonly samples: readonly Sample[];
}

/**
 * Prometheus' text format 0.0.4, read strictly: HELP and TYPE before the samples of each family, every family once, no series
 * twice, a newline at the end. Throws on whatever a scrape would refuse, and on what it would only put up with.
 */
export function parseExposition(text: string): ReadonlyMap<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  const families = new Map<string, { name: string; help: string; type: Family['type']; samples: Sample[] }>();
  const seen = new Set<string>();
  let current: { name: string; help: string; type: Family['type'] | undefined; samples: Sample[] } | undefined;
  for (const line of text.split('\n').slice(0, -1)) {
    if (line === '') continue;
    const help = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (\S.*)$/.exec(line);
    const type = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary|untyped)$/.exec(line);
    if (help) {
      const name = help[1] ?? '';
      if (families.has(name)) throw new Error(`family ${name} begins twice`);
      current = { name, help: help[2] ?? '', type: undefined, samples: [] };
    } else if (type) {
      if (current === undefined || current.name !== type[1] || current.type !== undefined)
        throw new Error(`TYPE without its HELP: ${line}`);
      current.type = type[2] as Family['type'];
      families.set(current.name, current as Family & { samples: Sample[] });
    } else {
      if (current?.type === undefined) throw new Error(`a sample before its TYPE: ${line}`);
      const sample = sampleOf(line);
      if (familyOf(sample.name, current.type) !== current.name) throw new Error(`${line} stands under ${current.name}`);
      const series = JSON.stringify([sample.name, Object.entries(sample.labels).sort(([a], [b]) => (a < b ? -1 : 1))]);
      if (seen.has(series)) throw new Error(`series twice: ${line}`);
      seen.add(series);
      current.samples.push(sample);
    }
  }
  return families;
}

function familyOf(name: string, type: Family['type']): string {
  if (type === 'histogram') return name.replace(/_(bucket|sum|count)$/, '');
  return type === 'summary' ? name.replace(/_(sum|count)$/, '') : name;
}

function sampleOf(line: string): Sample {
  const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
  if (!match) throw new Error(`no sample: ${line}`);
  const labels: Record<string, string> = {};
  let rest = match[2] ?? '';
  while (rest !== '') {
    const label = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/.exec(rest);
    if (!label) throw new Error(`no labels: ${line}`);
    const [whole, name = '', escaped = '', comma] = label;
    if (name in labels) throw new Error(`label twice: ${line}`);
    labels[name] = escaped.replaceAll(/\\(.)/g, (_, character: string) => (character === 'n' ? '\n' : character));
    rest = rest.slice(whole.length);
    if (comma === ',' && rest === '') throw new Error(`a comma at the end of the labels: ${line}`);
  }
  const number = match[3] ?? '';
  if (!/^([+-]Inf|NaN|[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?)$/i.test(number)) throw new Error(`no number: ${line}`);
  return { name: match[1] ?? '', labels, value: Number(number.replace('Inf', 'Infinity')) };
}
