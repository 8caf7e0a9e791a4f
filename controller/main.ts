import { startOperator } from './app.ts';
import { systemClock } from './clock.ts';
import { createLogger } from './metrics/logger.ts';
import { readSettings } from './settings.ts';

/** Entry of the operator's process. Every way out passes here. */
try {
  const settings = readSettings();
  const log = createLogger(settings.logLevel);
  process.on('unhandledRejection', (error) => {
    log.fatal({ error: String(error) }, 'unhandled rejection');
    process.exit(1);
  });
  const operator = await startOperator(settings, systemClock, log);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      void operator.stop().then(
        () => process.exit(0),
        (error: unknown) => {
          log.error({ error: String(error) }, 'stopping failed');
          process.exit(1);
        },
      );
    });
  }
  const why = await operator.failed;
  log.fatal({ why }, 'this process does not lead any more and ends');
  process.stderr.write(`${why}\n`);
  process.exit(1);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
