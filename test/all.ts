/**
 * Every check and test there is, one after the other. Ends with one line that sums them up over all runners, and with a code
 * other than 0 when anything failed.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

const root = new URL('../', import.meta.url).pathname;
const python = (tool: string): string => join(root, '.venv', 'bin', tool);
const junit = join(root, '.state', 'pytest.xml');
const vitest = join(root, '.state', 'vitest.json');
mkdirSync(join(root, '.state'), { recursive: true });

/** Checks that either hold or do not; each counts as one. */
const checks: readonly { readonly name: string; readonly command: readonly string[]; readonly folder?: string }[] = [
  { name: 'TypeScript format', command: ['oxfmt', '--check', '.'] },
  { name: 'TypeScript lint, with types', command: ['oxlint', '--type-aware', '--deny-warnings'] },
  { name: 'TypeScript types', command: ['tsc', '-p', '.', '--noEmit'] },
  { name: 'API types are those of the CRD', command: ['node', 'controller/api/generate.ts', '--check'] },
  { name: 'table of settings is that of the code', command: ['node', 'test/docs/settings.ts', '--check'] },
  { name: 'Python format', command: [python('ruff'), 'format', '--check', '.'], folder: 'trainer' },
  { name: 'Python lint', command: [python('ruff'), 'check', '.'], folder: 'trainer' },
  { name: 'Python types', command: [python('mypy')], folder: 'trainer' },
];

const total: Counts = { passed: 0, failed: 0, skipped: 0 };
const failures: string[] = [];

for (const { name, command, folder } of checks) {
  const ok = run(name, command, folder);
  total[ok ? 'passed' : 'failed'] += 1;
  if (!ok) failures.push(name);
}
rmSync(junit, { force: true });
rmSync(vitest, { force: true });
add(
  'Python tests',
  // Two at a time on two cores; a file's tests stay together, as some share what took long to make.
  run(
    'Python tests',
    [python('python'), '-m', 'pytest', '-n', '2', '--dist', 'loadfile', `--junitxml=${junit}`],
    'trainer',
  ),
  pytestCounts,
);
add('TypeScript tests', run('TypeScript tests', ['vitest', 'run']), vitestCounts);

for (const name of failures) process.stdout.write(`failed: ${name}\n`);
const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
process.stdout.write(`${total.passed} passed, ${total.failed} failed${skipped}\n`);
process.exit(total.failed === 0 ? 0 : 1);

function run(name: string, command: readonly string[], folder = '.'): boolean {
  const started = performance.now();
  process.stdout.write(`\n== ${name}\n`);
  const [file = '', ...args] = command;
  const { status, error } = spawnSync(file, args, { cwd: join(root, folder), stdio: ['ignore', 'inherit', 'inherit'] });
  if (error) process.stdout.write(`${error.message}\n`);
  process.stdout.write(
    `== ${name}: ${status === 0 ? 'ok' : 'FAILED'} in ${((performance.now() - started) / 1000).toFixed(1)} s\n`,
  );
  return status === 0;
}

/** A runner that fails without a failed test, as when a file cannot be loaded, counts as one failure. */
function add(name: string, ok: boolean, counts: () => Counts): void {
  let found: Counts;
  try {
    found = counts();
  } catch {
    found = { passed: 0, failed: 0, skipped: 0 };
  }
  if (!ok && found.failed === 0) found.failed = 1;
  for (const key of ['passed', 'failed', 'skipped'] as const) total[key] += found[key];
  if (found.failed > 0) failures.push(name);
}

function pytestCounts(): Counts {
  const suite = /<testsuite [^>]*>/.exec(readFileSync(junit, 'utf8'))?.[0] ?? '';
  const number = (name: string): number => Number(new RegExp(` ${name}="(\\d+)"`).exec(suite)?.[1] ?? 0);
  const failed = number('failures') + number('errors');
  return { passed: number('tests') - failed - number('skipped'), failed, skipped: number('skipped') };
}

function vitestCounts(): Counts {
  const report = JSON.parse(readFileSync(vitest, 'utf8')) as Record<string, number>;
  return {
    passed: report['numPassedTests'] ?? 0,
    failed: report['numFailedTests'] ?? 0,
    skipped: (report['numPendingTests'] ?? 0) + (report['numTodoTests'] ?? 0),
  };
}
