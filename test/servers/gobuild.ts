import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, mkdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

export interface GoBuild {
  /** What is built, in words. */
  readonly what: string;
  /** Roughly how long that takes, in words. */
  readonly takes: string;
  /** Folder of the Go module that pins the sources. */
  readonly module: string;
  readonly packages: readonly string[];
  readonly ldflags: string;
  /** Said where there is no Go. */
  readonly withoutGo: string;
}

/** Where binaries of a pinned Go module are kept between runs, outside any clone; another pin is another folder. */
export async function cacheFolder(kind: string, module: string, prefix = ''): Promise<string> {
  const sums = await readFile(join(module, 'go.sum'));
  const hash = createHash('sha256').update(sums).digest('hex').slice(0, 8);
  const root = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'trainingjob', kind);
  await mkdir(root, { recursive: true });
  return join(root, `${prefix}${process.platform}-${process.arch}-${hash}`);
}

export function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

/** Builds into a folder, and says every two seconds how long it has been at it. Gives how long it took, in words. */
export async function goBuild(build: GoBuild, folder: string, say: (line: string) => void): Promise<string> {
  const { what, takes, module, packages, ldflags, withoutGo } = build;
  const started = Date.now();
  const elapsed = (): string => `${Math.round((Date.now() - started) / 1000)} s`;
  const child = spawn('go', ['build', '-trimpath', `-ldflags=${ldflags}`, '-o', `${folder}/`, ...packages], {
    cwd: module,
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=readonly -buildvcs=false', GOWORK: 'off' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-4000);
  });
  const ticker = setInterval(() => say(`building ${what} with Go, once: ${elapsed()} of about ${takes}`), 2000);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', () => reject(new Error(withoutGo)));
      child.once('exit', resolve);
    });
    if (code !== 0) throw new Error(`go build of ${what} failed with code ${code}:\n${errors}`);
    return elapsed();
  } finally {
    clearInterval(ticker);
  }
}
