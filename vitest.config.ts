import { defineConfig } from 'vitest/config';

// One file at a time per worker, two workers: the suite is made for two cores, and each integration file starts real servers.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    environment: 'node',
    pool: 'forks',
    maxWorkers: 2,
    // Longer than what a test waits for one thing, so that it ends with what it saw instead.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    globalSetup: ['test/controlplane/global-setup.ts'],
    reporters: process.env['CI']
      ? ['default', ['json', { outputFile: '.state/vitest.json' }]]
      : ['default', ['json', { outputFile: '.state/vitest.json' }]],
  },
});
