import { expect, test } from 'vitest';
import { createLogger } from '../../controller/metrics/logger.ts';

test('secrets do not reach the log, wherever they stand in what is logged', () => {
  const lines: string[] = [];
  const log = createLogger('info', { write: (line: string) => void lines.push(line) });
  const secret = 'planted-secret';
  log.info({ token: secret, env: { A: secret }, job: { token: secret, headers: { authorization: secret } } }, 'hello');
  log.error({ request: { apiKey: secret, password: secret }, keyring: { k1: secret } }, 'again');
  log.debug('too fine');
  expect(lines).toHaveLength(2);
  expect(lines.join('')).not.toContain(secret);
  const [first] = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(first).toMatchObject({ level: 30, msg: 'hello', token: '(redacted)' });
  expect(first?.['time']).toMatch(/^\d{4}-\d\d-\d\dT/);
});
