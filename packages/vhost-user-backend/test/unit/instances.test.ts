import { describe, expect, it } from 'vitest';
import {
  type FrontEnd,
  GUEST_BASE,
  type GuestRing,
  MemoryLogger,
  negotiate,
  until,
} from '../../src/testing/index.ts';
import { useBench } from '../bench.ts';
import { ToldTable } from '../told-table.ts';

const MODULE = new URL('../fixtures/queues-device.mjs', import.meta.url);

describe('A device with an instance in each of several workers', () => {
  const bench = useBench({}, { workers: 2 });

  const add = (options: object = {}, queueWorkers = 2) =>
    bench().addDevice(options, { name: 'queues', module: MODULE, queueWorkers });

  async function connect(device: Awaited<ReturnType<typeof add>>) {
    const frontEnd = bench().connect(device);
    await negotiate(frontEnd, bench().guest);
    const rings = [0, 1, 2].map((index) => bench().ring(index));
    for (const ring of rings) {
      ring.setUp(frontEnd);
      expect(await ring.enable(frontEnd)).toBe(0);
    }
    return { frontEnd, rings };
  }

  /** What the device answers to a request of four bytes. */
  async function ask(frontEnd: FrontEnd, ring: GuestRing): Promise<number[]> {
    ring.submit([1, 0, 0, 0]);
    await ring.collect(frontEnd.poller, 1);
    // Each request's room is 4096 bytes after its data.
    const at = GUEST_BASE + BigInt(0x10_0000 + 4096 + ring.lastData * 8192);
    const bytes = new Uint8Array(4);
    bench().guest.memory.read(at as never, bytes);
    return [...bytes];
  }

  it('each owns every n-th queue, and they share memory', async () => {
    const { frontEnd, rings } = await connect(await add());
    const answers = [];
    for (const ring of rings) answers.push(await ask(frontEnd, ring));
    expect(answers).toEqual([
      [0, 2, 0, 1],
      [1, 2, 1, 2],
      [0, 2, 2, 3],
    ]);
  });

  it('there are no more than the daemon has workers', async () => {
    const { frontEnd, rings } = await connect(await add({}, 8));
    expect((await ask(frontEnd, rings[2] as GuestRing)).slice(0, 3)).toEqual([0, 2, 2]);
  });

  it('all are told of features, configuration and reset, and counters are put together', async () => {
    const device = await add();
    const { frontEnd, rings } = await connect(device);
    for (const ring of rings) await ask(frontEnd, ring);
    const data = Uint8Array.of(3);
    expect(await frontEnd.tell('VHOST_USER_SET_CONFIG', { offset: 0, flags: 0, data })).toBe(0);
    expect((await device.status()).rings.map(({ chains }) => chains)).toEqual([1, 1, 1]);
    frontEnd.close();
    await until(async () => (await device.status()).state === 'listening');
    const resets = bench().logger.lines.filter(({ message }) => message === 'instance reset');
    expect(resets.map(({ context }) => context['instance']).toSorted()).toEqual([0, 1]);
    for (const { context } of resets) {
      expect(context['calls']).toEqual([expect.stringMatching(/^negotiated/), 'writeConfig 3']);
    }
  });

  it('memory is unmapped when the last of them lets go of it', async () => {
    const device = await add();
    const { frontEnd, rings } = await connect(device);
    using table = new ToldTable(bench().guest, 'table');
    const told = [table.regions, table.fds] as const;
    expect(await frontEnd.tell('VHOST_USER_SET_MEM_TABLE', ...told)).toBe(0);
    const [first, second] = rings as [GuestRing, GuestRing];
    // Held by instance 1, which alone keeps the old table then.
    second.submit([0xfe]);
    await until(async () => (await device.status()).rings[1]?.chains === 1);
    const { regions, fds } = bench().guest;
    expect(await frontEnd.tell('VHOST_USER_SET_MEM_TABLE', regions, fds)).toBe(0);
    expect(table.mapped).toBe(true);
    expect(await ask(frontEnd, first)).toHaveLength(4);
    frontEnd.close();
    await until(() => !table.mapped);
  });

  it('one that fails ends the device, and the others are disposed of', async () => {
    const device = await add();
    const { frontEnd, rings } = await connect(device);
    rings[1]?.submit([0xff]);
    expect(await frontEnd.closed).toBe('peer-closed');
    expect(device.failure).toMatchObject({ code: 'DEVICE_FAILED' });
    await device.close();
    const disposals = bench().logger.lines.filter(({ message }) =>
      message.includes('instance disposed'),
    );
    expect(disposals).toHaveLength(2);
  });

  it('one that cannot be made, or is another device, makes none of it', async () => {
    await expect(add({ throws: 1 })).rejects.toMatchObject({ code: 'INVALID_DEVICE' });
    await expect(add({ unlike: 1 })).rejects.toMatchObject({ code: 'INVALID_DEVICE' });
    const gone = bench().logger.lines.filter(({ message }) =>
      message.includes('instance disposed'),
    );
    // Instance 0 twice, and the one that was unlike it.
    expect(gone).toHaveLength(3);
    expect(bench().logger).toBeInstanceOf(MemoryLogger);
  });
});
