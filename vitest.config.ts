import { defineConfig } from 'vitest/config';

// Tests see the packages' sources, not dist: the condition that each package.json exports.
const resolve = { conditions: ['@node-vmm/source'] };

export default defineConfig({
  ssr: { resolve },
  test: {
    projects: [
      {
        ssr: { resolve },
        test: {
          name: 'unit',
          // Workers that block in epoll_wait cannot be terminated, so tests need processes.
          pool: 'forks',
          include: [
            'packages/*/test/**/*.test.ts',
            'apps/*/test/**/*.test.ts',
            'test-harness/test/*.test.ts',
          ],
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
