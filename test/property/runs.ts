import * as fc from 'fast-check';

/**
 * The same cases in every run, so that a test that was green stays green; `PROPERTY_SEED` and `PROPERTY_RUNS` look further:
 * `PROPERTY_SEED=$RANDOM PROPERTY_RUNS=50000 npx vitest run test/property`.
 */
export function explore(numRuns: number): void {
  fc.configureGlobal({
    seed: Number(process.env['PROPERTY_SEED'] ?? 20_260_301),
    numRuns: Number(process.env['PROPERTY_RUNS'] ?? numRuns),
  });
}
