import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

const toolsFolder = new URL('./tools/', import.meta.url).pathname;
const name = 'versitygw';

/** Finds the S3 server in the cache, or builds it with Go. Whatever takes longer than two seconds says so through `say`. */
export async function findS3Server(say: (line: string) => void): Promise<string> {
  const file = await cachedFile();
  if (await exists(file)) return file;
  const scratch = await mkdtemp(`${dirname(file)}-`);
  try {
    await build(scratch, say);
    // Whoever built it at the same time built the same: the last one stays.
    await mkdir(dirname(file), { recursive: true });
    await rename(join(scratch, name), file);
    return file;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function cachedFile(): Promise<string> {
  const sums = await readFile(join(toolsFolder, 'go.sum'));
  const hash = createHash('sha256').update(sums).digest('hex').slice(0, 8);
  const root = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'trainingjob', 's3');
  await mkdir(root, { recursive: true });
  return join(root, `${process.platform}-${process.arch}-${hash}`, name);
}

function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

async function build(folder: string, say: (line: string) => void): Promise<void> {
  const started = Date.now();
  const elapsed = (): string => `${Math.round((Date.now() - started) / 1000)} s`;
  const source = 'github.com/versity/versitygw/cmd/versitygw';
  const child = spawn('go', ['build', '-trimpath', '-ldflags=-s -w', '-o', join(folder, name), source], {
    cwd: toolsFolder,
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=readonly -buildvcs=false', GOWORK: 'off' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-4000);
  });
  const ticker = setInterval(() => say(`building an S3 server with Go, once: ${elapsed()} of about 2 minutes`), 2000);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', () => reject(new Error('the S3 server needs Go to be built; install Go 1.26 or newer')));
      child.once('exit', resolve);
    });
    if (code !== 0) throw new Error(`go build of the S3 server failed with code ${code}:\n${errors}`);
  } finally {
    clearInterval(ticker);
  }
}
