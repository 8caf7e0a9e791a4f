/**
 * Every scenario, disturbed at every write and every event in every way, and compared with its undisturbed run.
 *
 *     node test/chaos/main.ts [--seed=N] [--scenario=WORDS] [--kind=WORDS]
 */
import { parseArgs } from 'node:util';
import { kinds } from './matrix.ts';
import { disturbed, undisturbed, type Undisturbed } from './run.ts';
import { scenarios } from './scenarios.ts';
import type { Disturbance } from './world.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '20260301' },
    scenario: { type: 'string', default: '' },
    kind: { type: 'string', default: '' },
  },
});
const seed = Number(values.seed);
if (!Number.isInteger(seed)) throw new Error(`--seed must be a whole number, not ${values.seed}`);

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const startedMs = performance.now();
const chosen = scenarios.filter(({ name }) => name.includes(values.scenario));
const columns = Object.entries(kinds).filter(([name]) => name.includes(values.kind));
const beyond = new Map<string, number[]>(columns.map(([name]) => [name, []]));
const differences: string[] = [];
let runs = 0;
let points = 0;
let keptPods = 0;

const width = Math.max(...chosen.map(({ name }) => name.length));
for (const scenario of chosen) {
  const reference = await undisturbed(scenario);
  points += reference.writes.length;
  const counts: string[] = [];
  for (const [kind, casesOf] of columns) {
    const cases = casesOf(reference, seed);
    const different = await play(reference, kind, cases);
    counts.push(different === 0 ? `${cases.length}` : `${cases.length - different} of ${cases.length}`);
  }
  say(`${scenario.name.padEnd(width)}  ${String(reference.writes.length).padStart(3)} writes  ${counts.join('  ')}`);
}

say('');
say('seconds billed beyond need'.padEnd(width) + '   median    worst');
for (const [kind, seconds] of beyond) {
  const sorted = seconds.toSorted((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
  say(`${kind.padEnd(width)} ${median.toFixed(1).padStart(8)} ${(sorted.at(-1) ?? 0).toFixed(1).padStart(8)}`);
}
say('');
for (const line of differences.slice(0, 40)) say(line);
if (differences.length > 40) say(`and ${differences.length - 40} more`);
say(
  `${chosen.length} scenarios x ${points} crash points x ${columns.length} kinds: ${runs} runs, ${
    differences.length === 0 ? 'all equal to the undisturbed run' : `${differences.length} DIFFERENT`
  }; kept pods: ${keptPods}; seed ${seed}; ${((performance.now() - startedMs) / 1000).toFixed(0)} s`,
);
process.exitCode = differences.length === 0 && keptPods === 0 ? 0 : 1;

async function play(reference: Undisturbed, kind: string, cases: readonly Disturbance[]): Promise<number> {
  let different = 0;
  for (const disturbance of cases) {
    const verdict = await disturbed(reference, disturbance);
    runs += 1;
    keptPods += verdict.keptPods;
    beyond.get(kind)?.push(verdict.billedBeyondNeed);
    if (verdict.differences.length === 0) continue;
    different += 1;
    differences.push(
      `${reference.scenario.name}; ${kind} at ${where(reference, disturbance)}: ${verdict.differences.join('; ')}`,
    );
  }
  return different;
}

function where({ writes }: Undisturbed, { strikes = [], watchFault }: Disturbance): string {
  if (watchFault) return `change ${watchFault.index}`;
  return strikes.map(({ at, mishap }) => `${mishap} ${at} (${writes[at]?.kind} ${writes[at]?.target})`).join(', ');
}
