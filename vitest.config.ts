import { availableParallelism } from 'node:os';
import { configDefaults, defineConfig } from 'vitest/config';
import { workspaceGlobs } from './scripts/workspace.mjs';

// Tests see the packages' sources, not dist: the condition that each package.json exports.
const resolve = { conditions: ['@node-vmm/source'] };

export default defineConfig({
  ssr: { resolve },
  test: {
    // Vitest would leave a processor idle, and most tests wait for other processes.
    maxWorkers: availableParallelism(),
    projects: [
      {
        ssr: { resolve },
        test: {
          name: 'unit',
          // Workers that block in epoll_wait cannot be terminated, so tests need processes.
          pool: 'forks',
          include: workspaceGlobs().map((glob) => `${glob}/test/**/*.test.ts`),
          exclude: [...configDefaults.exclude, 'test-harness/test/box/**'],
          testTimeout: 20_000,
        },
      },
      {
        ssr: { resolve },
        test: {
          name: 'box',
          pool: 'forks',
          // Each box is a whole machine in QEMU: one at a time.
          fileParallelism: false,
          // After the unit tests: an emulated machine needs all of this one.
          sequence: { groupOrder: 1 },
          include: ['test-harness/test/box/**/*.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
