import { MainPoller, rateLimited } from '@node-vmm/vmm-sys-util';
import { expect, it } from 'vitest';
import { DeviceLife } from '../../src/control/device-life.ts';
import { GuestMemories } from '../../src/control/guest-memories.ts';
import { threadEntry } from '../../src/control/thread-entry.ts';
import { WorkerPool } from '../../src/control/worker-pool.ts';
import { MemoryLogger } from '../../src/testing/index.ts';

const TELLS = new URL(
  `data:text/javascript,${encodeURIComponent(`
    export const createDevice = (options, { logger }) => ({
      features: 0n, queueMaxSizes: [64], process() {},
      [Symbol.dispose]() { logger.info({}, 'disposed of'); },
    });`)}`,
);

it('a device whose end is asked for before it is made is disposed of all the same', async () => {
  const logger = new MemoryLogger();
  const pool = new WorkerPool(1, threadEntry(undefined), rateLimited(logger));
  const poller = new MainPoller();
  const memories = new GuestMemories(
    logger,
    { mapForeign: undefined, foreignLimit: 0 },
    (ids, collect) => pool.viewed(ids, collect),
  );
  const life = new DeviceLife({
    spec: { name: 'early', module: TELLS },
    pool,
    poller,
    logger,
    mapper: memories.mapper('early'),
    memSlots: true,
    files: memories.files,
    stopTimeout: 1000,
    state: undefined,
    onFailed: () => undefined,
    onDeserted: () => undefined,
    onEvent: () => undefined,
    onWorkerLost: () => undefined,
  });
  const started = life.make();
  const ended = life.end();
  await expect(started).rejects.toMatchObject({ code: 'CLOSED' });
  await ended;
  // Said before the worker answered.
  expect(logger.find('disposed of')).toBeDefined();
  await pool.close();
  poller.close();
});
