/** One project for each kind of test; `npx vitest run --project unit` runs one kind. */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { planter } from './simulation/plant.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

const common = {
  environment: 'node' as const,
  globals: false,
  restoreMocks: true,
  unstubEnvs: true,
};

/** Real processes and engines: one file after the other, with time to start. */
const processes = {
  ...common,
  fileParallelism: false,
  testTimeout: 60_000,
  hookTimeout: 60_000,
};

export default defineConfig({
  root,
  test: {
    coverage: {
      provider: 'v8',
      include: ['src/**/*.ts'],
      reportsDirectory: 'coverage',
      reporter: ['text', 'html'],
    },
    projects: [
      {
        root,
        test: {
          ...common,
          testTimeout: 30_000,
          name: 'unit',
          include: ['test/*.test.ts', 'test/unit/**/*.test.ts'],
        },
      },
      {
        root,
        plugins: [planter],
        test: {
          ...common,
          testTimeout: 600_000,
          name: 'simulation',
          include: ['test/simulation/**/*.test.ts'],
        },
      },
      { root, test: { ...processes, name: 'contract', include: ['test/contract/**/*.test.ts'] } },
      {
        root,
        test: { ...processes, name: 'integration', include: ['test/integration/**/*.test.ts'] },
      },
      { root, test: { ...processes, name: 'interop', include: ['test/interop/**/*.test.ts'] } },
    ],
  },
});
