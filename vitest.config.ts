import { availableParallelism } from 'node:os';
import { configDefaults, defineConfig } from 'vitest/config';
import { workspaceGlobs } from './scripts/workspace.mjs';

// Tests see the packages' sources, not dist: the condition that each package.json exports.
const resolve = { conditions: ['@node-vmm/source'] };

// Tests wait for other processes and threads: on a loaded machine Vitest's own limits (1 s for what is
// polled) end a wait too early, and they end none that is not a failure anyway.
const expect = { poll: { timeout: 45_000 } };

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
          expect,
          testTimeout: 120_000,
          hookTimeout: 120_000,
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
          expect,
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
});
