import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const folders = ['/test/e2e/', '/test/integration/'];

/** Those that live through whole jobs first, so that no long one is begun when the others are done. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const found = folders.findIndex((folder) => moduleId.includes(folder));
      return found < 0 ? folders.length : found;
    };
    return (await super.sort(files)).toSorted((a, b) => place(a) - place(b));
  }
}

// One file at a time per worker. The suite is made for two cores; of two workers, each waits a third of its time for a server or a pod.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    environment: 'node',
    pool: 'forks',
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    // Longer than what a test waits for one thing, so that it ends with what it saw instead.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    globalSetup: ['test/controlplane/global-setup.ts'],
    reporters: process.env['CI']
      ? ['default', ['json', { outputFile: '.state/vitest.json' }]]
      : ['default', ['json', { outputFile: '.state/vitest.json' }]],
  },
});
