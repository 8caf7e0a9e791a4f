import { readFileSync, statSync } from 'node:fs';
import { apiKeyIn } from './apikey.ts';
import { RunpodError } from './errors.ts';

/**
 * The API key in a file, read again when the file changed, so that a rotated key is taken up without a restart.
 * A file that is missing, empty or no key is an account that refuses us: nothing is sent, and status says what to do.
 */
export function keyFile(path: string): () => string {
  let version = '';
  let key = '';
  return () => {
    try {
      const { mtimeMs, size, ino } = statSync(path);
      const now = `${mtimeMs}/${size}/${ino}`;
      if (now !== version) {
        key = readFileSync(path, 'utf8').trim();
        version = now;
      }
    } catch (error) {
      const code = (error as { code?: unknown }).code;
      throw new RunpodError('unauthorized', `the key file ${path} cannot be read: ${String(code ?? error)}`);
    }
    return apiKeyIn(key, `the key file ${path}`);
  };
}
