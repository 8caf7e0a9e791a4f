import { readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';

/** The layout's rules, by the text of the sources. A source is its path from the repository's root and its text. */
type Sources = ReadonlyMap<string, string>;

const root = join(import.meta.dirname, '../..');

function read(folders: readonly string[]): Sources {
  const files = folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => join(folder, name)),
  );
  return new Map(files.map((file) => [file, readFileSync(join(root, file), 'utf8')]));
}

/** A build script that writes generated files; no product module imports it. */
const exempt = new Set(['controller/api/generate.ts']);

/** Without comments and the contents of template literals and strings that are no module names. */
function code(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '$1');
}

interface Import {
  readonly from: string;
  /** `import type` vanishes when types are stripped: nothing of that module runs. */
  readonly typeOnly: boolean;
}

function importsOf(text: string): readonly Import[] {
  const statements = code(text).matchAll(
    /\b(import|export)\s+(type\s+)?(?:[^'";]*?\s+from\s+)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/g,
  );
  return [...statements].map(([, , type, from = '', dynamic]) => ({
    from: dynamic ?? from,
    typeOnly: type !== undefined,
  }));
}

function target(file: string, from: string): string {
  return from.startsWith('.') ? join(dirname(file), from) : from;
}

const pure = [
  /^controller\/api\//,
  /^controller\/scoring\//,
  /^controller\/reconcile\/decide\.ts$/,
  /^controller\/reconcile\/stages\//,
  /^controller\/reconcile\/status\.ts$/,
  /^controller\/runpod\/request\.ts$/,
];

/** Builtins that only compute. */
const harmless = new Set(['node:crypto', 'node:util']);

/** Of those, what is not the same twice. */
const impureWords: readonly (readonly [RegExp, string])[] = [
  [/\bDate\.now\b/, 'Date.now'],
  [/\bnew Date\(\s*\)/, 'new Date()'],
  [/\bperformance\b/, 'performance'],
  [/\bset(Timeout|Interval|Immediate)\b/, 'timers'],
  [/\bMath\.random\b/, 'Math.random'],
  [/\bprocess\b/, 'process'],
  [/\brandom(Bytes|Int|UUID)\b/, 'random numbers of node:crypto'],
  [/\bfetch\(/, 'fetch'],
  [/\bawait\b/, 'await'],
];

/** All modules whose code runs when `file` is imported. */
function reached(sources: Sources, file: string, seen = new Set<string>()): ReadonlySet<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const { from, typeOnly } of importsOf(sources.get(file) ?? '')) {
    if (!typeOnly) reached(sources, target(file, from), seen);
  }
  return seen;
}

function impurities(sources: Sources): readonly string[] {
  const files = [...sources.keys()].filter((file) => !exempt.has(file) && pure.some((rule) => rule.test(file)));
  const found = files.flatMap((file) =>
    [...reached(sources, file)].flatMap((module) => {
      const via = module === file ? file : `${file} through ${module}`;
      const text = sources.get(module);
      if (text === undefined) {
        const builtin = module.startsWith('node:') || builtinModules.includes(module);
        return harmless.has(module) ? [] : [`${file} reaches ${builtin ? 'the builtin' : 'the package'} ${module}`];
      }
      return impureWords.flatMap(([pattern, name]) => (pattern.test(code(text)) ? [`${via} uses ${name}`] : []));
    }),
  );
  return [...new Set(found)];
}

/** Files below `folder` that import, even only as a type, something below one of `forbidden`. */
function borders(sources: Sources, folder: string, forbidden: readonly string[]): readonly string[] {
  return [...sources].flatMap(([file, text]) =>
    file.startsWith(folder)
      ? importsOf(text)
          .map(({ from }) => target(file, from))
          .filter((module) => forbidden.some((other) => module.startsWith(other)))
          .map((module) => `${file} imports ${module}`)
      : [],
  );
}

/** Files other than `allowed` whose code has the pattern. */
function users(sources: Sources, pattern: RegExp, allowed: string): readonly string[] {
  return [...sources].flatMap(([file, text]) =>
    file !== allowed && !exempt.has(file) && pattern.test(code(text)) ? [file] : [],
  );
}

const environment = /\bprocess\.env\b|\bimport\.meta\.env\b|\{[^}]*\benv\b[^}]*\}\s*=\s*process\b|\bloadEnvFile\b/;
const time = /\bDate\.now\b|\bnew Date\(\s*\)|\bDate\(\)|\bperformance\.now\b|\bset(Timeout|Interval)\(|\bhrtime\b/;
const exit = /\bprocess\.(exit|abort|kill|reallyExit)\(/;
const vague = /(^|\/)(utils?|helpers?|common|index)(\.|\/)/;

function vagueNames(files: Iterable<string>): readonly string[] {
  return [...files].filter((file) => vague.test(file));
}

describe('the sources keep the rules of the layout', () => {
  const controller = read(['controller']);
  const simulator = read(['test/runpod']);

  test('there is something to check', () => {
    expect(controller.size).toBeGreaterThan(80);
    expect(simulator.size).toBeGreaterThan(5);
    expect(importsOf(controller.get('controller/leader.ts') ?? '').length).toBeGreaterThan(20);
  });

  test('api, scoring, decide, stages, status and request do no I/O and read no clock, nor does what they reach', () => {
    expect(impurities(controller)).toEqual([]);
  });

  test('telemetry knows neither Kubernetes nor Runpod', () => {
    expect(borders(controller, 'controller/telemetry/', ['controller/kube/', 'controller/runpod/'])).toEqual([]);
  });

  test('runpod does not know Kubernetes', () => {
    expect(borders(controller, 'controller/runpod/', ['controller/kube/'])).toEqual([]);
  });

  test('the simulator imports no product code', () => {
    expect(borders(simulator, 'test/runpod/', ['controller/'])).toEqual([]);
  });

  test('only settings.ts reads the environment', () => {
    expect(users(controller, environment, 'controller/settings.ts')).toEqual([]);
  });

  test('only clock.ts reads the time', () => {
    expect(users(controller, time, 'controller/clock.ts')).toEqual([]);
  });

  test('only main.ts ends the process', () => {
    expect(users(controller, exit, 'controller/main.ts')).toEqual([]);
  });

  test('no file has a name that says nothing, and none only passes others on', () => {
    expect(vagueNames([...controller.keys(), ...simulator.keys()])).toEqual([]);
    const barrels = [...controller].filter(([, text]) => {
      const left = code(text).replaceAll(/export\s+(type\s+)?(\*|\{[^}]*\})\s+from\s+['"][^'"]+['"];?/g, '');
      return text.trim() !== '' && left.trim() === '';
    });
    expect(barrels.map(([file]) => file)).toEqual([]);
  });
});

describe('the checks find what is wrong', () => {
  const made = (file: string, text: string, more: Readonly<Record<string, string>> = {}): Sources =>
    new Map(Object.entries({ [file]: text, ...more }));
  const stage = 'controller/reconcile/stages/made.ts';

  test.each([
    ['a builtin', "import { readFileSync } from 'node:fs';", 'the builtin node:fs'],
    ['a builtin by its bare name', "import fs from 'fs';", 'the builtin fs'],
    ['a builtin for its effects', "import 'node:fs';", 'the builtin node:fs'],
    ['a builtin that is passed on', "export { readFile } from 'node:fs/promises';", 'the builtin node:fs/promises'],
    ['a builtin that is loaded later', "const fs = import('node:fs');", 'the builtin node:fs'],
    ['a package', "import pino from 'pino';", 'the package pino'],
    ['the clock', 'export const now = () => Date.now();', 'Date.now'],
    ['the date of now', 'const text = `${new Date().toISOString()}`;', 'new Date()'],
    ['a timer', 'setTimeout(() => 1, 2);', 'timers'],
    ['chance', 'const x = Math.random();', 'Math.random'],
    ['chance of node:crypto', "import { randomInt } from 'node:crypto';", 'random numbers'],
    ['the environment', "const x = process.env['HOME'];", 'process'],
  ])('a pure file with %s', (_, text, told) => {
    expect(impurities(made(stage, text)).join()).toContain(told);
  });

  test('a pure file that reaches the clock through another', () => {
    const sources = made(stage, "import { wait } from '../wait.ts';", {
      'controller/reconcile/wait.ts': "import { systemClock } from '../clock.ts'; export const wait = systemClock;",
      'controller/clock.ts': 'export const systemClock = { now: () => Date.now() };',
    });
    expect(impurities(sources)).toEqual([`${stage} through controller/clock.ts uses Date.now`]);
  });

  test('but not one that only names a type, a date with an argument, or a clock in a comment', () => {
    const text = [
      "import type { Clock } from '../../clock.ts';",
      "import { createHash } from 'node:crypto';",
      '// Date.now() and setTimeout are not for us',
      '/* process.env neither */',
      'const text = new Date(5).toISOString();',
    ].join('\n');
    const clock = { 'controller/clock.ts': 'export const now = () => Date.now();' };
    expect(impurities(made(stage, text, clock))).toEqual([]);
  });

  test('a border that is crossed, even for a type', () => {
    const text = "import type { KubeClient } from '../kube/client.ts';";
    expect(borders(made('controller/telemetry/x.ts', text), 'controller/telemetry/', ['controller/kube/'])).toEqual([
      'controller/telemetry/x.ts imports controller/kube/client.ts',
    ]);
    const product = "import { podName } from '../../controller/api/identity.ts';";
    expect(borders(made('test/runpod/x.ts', product), 'test/runpod/', ['controller/'])).toHaveLength(1);
  });

  test.each([
    ['the environment', environment, "const path = process.env['KUBECONFIG'];"],
    ['the environment by its parts', environment, 'const { env } = process;'],
    ['the time', time, 'const start = performance.now();'],
    ['a timer', time, 'setInterval(run, 5);'],
    ['the end', exit, 'process.exit(0);'],
  ])('a file that uses %s', (_, pattern, text) => {
    expect(users(made('controller/kube/x.ts', text), pattern, 'controller/y.ts')).toEqual(['controller/kube/x.ts']);
    expect(users(made('controller/y.ts', text), pattern, 'controller/y.ts')).toEqual([]);
  });

  test.each(['controller/utils.ts', 'controller/kube/index.ts', 'controller/common/x.ts', 'test/runpod/helpers.ts'])(
    'the name %s',
    (file) => expect(vagueNames([file])).toEqual([file]),
  );

  test('an import over several lines', () => {
    const text = "import {\n  a,\n  type B,\n} from './x.ts';\nimport type { C } from './y.ts';";
    expect(importsOf(text)).toEqual([
      { from: './x.ts', typeOnly: false },
      { from: './y.ts', typeOnly: true },
    ]);
  });

  test('paths are those of this repository', () => {
    expect(relative(root, import.meta.filename)).toBe('test/unit/imports.test.ts');
  });
});
