import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { cacheFolder, exists, goBuild } from '../servers/gobuild.ts';

const module = new URL('./tools/', import.meta.url).pathname;
const name = 'versitygw';

/** Finds the S3 server in the cache, or builds it with Go. Whatever takes longer than two seconds says so through `say`. */
export async function findS3Server(say: (line: string) => void): Promise<string> {
  const file = join(await cacheFolder('s3', module), name);
  if (await exists(file)) return file;
  const scratch = await mkdtemp(`${dirname(file)}-`);
  try {
    await goBuild(
      {
        what: 'the S3 server',
        takes: '2 minutes',
        module,
        packages: ['github.com/versity/versitygw/cmd/versitygw'],
        ldflags: '-s -w',
        withoutGo: 'the S3 server needs Go to be built; install Go 1.26 or newer',
      },
      scratch,
      say,
    );
    // Whoever built it at the same time built the same: the last one stays.
    await mkdir(dirname(file), { recursive: true });
    await rename(join(scratch, name), file);
    return file;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
