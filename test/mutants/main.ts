/**
 * Are the tests any good? Each mutant is a bug that is put into a private copy of the sources; a test must fail of it.
 *
 *     node test/mutants/main.ts [WORDS of a name]
 */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { mutants, type Edit, type Mutant } from './mutants.ts';

const root = join(import.meta.dirname, '../..');
const bin = join(root, 'node_modules', '.bin');
const python = join(root, '.venv', 'bin', 'python');
/** A mutant may also make its tests hang; that is noticed as well. */
const mostMs = 300_000;
const least = 20;

const copy = mkdtempSync(join(tmpdir(), 'trainingjob-mutants-'));
process.on('exit', () => rmSync(copy, { recursive: true, force: true }));
process.on('SIGINT', () => process.exit(130));
process.on('SIGTERM', () => process.exit(143));

const say = (line: string): void => void process.stdout.write(`${line}\n`);
const wanted = process.argv[2] ?? '';
const chosen = mutants.filter(({ name }) => name.includes(wanted));
if (mutants.length < least) throw new Error(`there are ${mutants.length} mutants, and ${least} are promised`);
if (chosen.length === 0) throw new Error(`no mutant is named like "${wanted}"`);

copyTree();
healthy();
let killed = 0;
for (const mutant of chosen) {
  const killer = withMutant(mutant, () => failingTest(mutant.tests));
  if (killer.kind === 'failed') killed += 1;
  say(`${killer.kind === 'failed' ? 'killed  ' : 'SURVIVED'}  ${mutant.name}\n          ${killer.words}`);
}
say(`${killed} of ${chosen.length} killed`);
process.exitCode = killed === chosen.length ? 0 : 1;

type Run = { readonly kind: 'failed' | 'passed' | 'broken'; readonly words: string };

/** Tracked files and new ones, as they are now; what git ignores is linked or left out. */
function copyTree(): void {
  const { stdout, status } = spawnSync('git', ['ls-files', '-z', '-co', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error('git could not list the files of the project');
  for (const file of stdout.split('\0')) {
    if (file === '' || !statSync(join(root, file), { throwIfNoEntry: false })?.isFile()) continue;
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    cpSync(join(root, file), join(copy, file));
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
}

/** Without a mutant everything must pass: a test that fails anyhow kills nothing. */
function healthy(): void {
  const files = new Set(chosen.flatMap(({ tests }) => tests));
  const run = failingTest([...files]);
  if (run.kind !== 'passed') throw new Error(`without any mutant: ${run.words}`);
}

function withMutant<T>({ name, edits }: Mutant, run: () => T): T {
  const before = new Map(edits.map(({ file }) => [file, readFileSync(join(copy, file), 'utf8')]));
  try {
    for (const edit of edits) apply(name, edit);
    return run();
  } finally {
    for (const [file, text] of before) writeFileSync(join(copy, file), text);
  }
}

function apply(name: string, edit: Edit): void {
  const path = join(copy, edit.file);
  const text = readFileSync(path, 'utf8');
  const found = text.split(edit.old).length - 1;
  if (found !== 1) {
    throw new Error(
      `mutant "${name}": its text is ${found} times in ${edit.file}, not once; write into test/mutants/mutants.ts what the line looks like now:\n${edit.old}`,
    );
  }
  writeFileSync(
    path,
    text.replace(edit.old, () => edit.new),
  );
}

/** Runs tests until one fails. */
function failingTest(tests: readonly string[]): Run {
  const ofPython = tests.filter((test) => test.includes('.py'));
  const ofVitest = tests.filter((test) => !ofPython.includes(test));
  for (const file of [...ofVitest, ...ofPython]) {
    if (!existsSync(join(copy, file.split('::')[0] ?? ''))) throw new Error(`there is no test ${file}`);
  }
  const runs = [...(ofVitest.length > 0 ? [vitest(ofVitest)] : []), ...(ofPython.length > 0 ? [pytest(ofPython)] : [])];
  return runs.find(({ kind }) => kind !== 'passed') ?? { kind: 'passed', words: 'no test failed' };
}

interface VitestReport {
  readonly numTotalTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

function vitest(files: readonly string[]): Run {
  // Where vitest.config.ts has it written.
  const report = join(copy, '.state', 'vitest.json');
  rmSync(report, { force: true });
  const args = ['run', '--bail=1', ...files];
  const { status, stderr, error } = execute(join(bin, 'vitest'), args, copy);
  if (status === 0) return { kind: 'passed', words: '' };
  if (error) return { kind: 'failed', words: `by ${files.join(', ')}, which came to no end` };
  if (!existsSync(report)) return { kind: 'broken', words: stderr.slice(-1000) };
  const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as VitestReport;
  for (const { name, assertionResults } of testResults) {
    const failed = assertionResults.find((entry) => entry.status === 'failed');
    if (failed) return { kind: 'failed', words: `by ${name.replace(`${copy}/`, '')}: ${failed.fullName}` };
  }
  // A mutant that cannot even be loaded was written wrongly, and proves nothing.
  return {
    kind: 'broken',
    words: testResults
      .map(({ message }) => message)
      .join(' ')
      .slice(0, 1000),
  };
}

function pytest(tests: readonly string[]): Run {
  const args = ['-m', 'pytest', '-x', '-q', '--no-header', ...tests.map((test) => test.replace('trainer/', ''))];
  const env = { PYTHONPATH: join(copy, 'trainer', 'src') };
  const { status, stdout } = execute(python, args, join(copy, 'trainer'), env);
  if (status === 0) return { kind: 'passed', words: '' };
  const failed = /^(?:FAILED|ERROR) (.+?)(?: - |$)/m.exec(stdout)?.[1];
  return failed === undefined
    ? { kind: 'broken', words: stdout.slice(-1000) }
    : { kind: 'failed', words: `by trainer/${failed}` };
}

function execute(
  file: string,
  args: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
): { readonly status: number | null; readonly stdout: string; readonly stderr: string; readonly error: boolean } {
  const { status, stdout, stderr } = spawnSync(file, args, {
    cwd,
    encoding: 'utf8',
    timeout: mostMs,
    env: { ...process.env, PATH: `${bin}:${process.env['PATH'] ?? ''}`, ...env },
    maxBuffer: 64 * 1024 * 1024,
  });
  return { status, stdout, stderr, error: status === null };
}
