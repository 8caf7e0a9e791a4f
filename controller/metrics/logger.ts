import pino, { type DestinationStream, type Logger } from 'pino';

/** Wherever one of these names appears in what is logged, its value does not. */
const secretNames = ['authorization', 'apiKey', 'token', 'env', 'keyring', 'password', 'secret'];

/** JSON lines on standard output, without secrets. */
export function createLogger(level: string, destination?: DestinationStream): Logger {
  const paths = secretNames.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);
  const options = {
    level,
    base: null,
    redact: { paths, censor: '(redacted)' },
    timestamp: pino.stdTimeFunctions.isoTime,
  };
  return destination ? pino(options, destination) : pino(options);
}
