import { SimulatedGuest, SimulatedVm } from '@node-vmm/ioreq-eventfd/simulated';
import { SimulatedTestGuest } from '@node-vmm/ioreq-eventfd/testing';
import { DispatchPool, MAX_DISPATCH_THREADS } from '@node-vmm/vm-dispatch';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { MemoryLogger } from '@node-vmm/vmm-sys-util/testing';
import { afterAll, describe, expect, it } from 'vitest';
import { until } from '../harness.ts';

const NOWHERE = { space: 'memory', base: 0x200_0000n, length: 0x200 } as const;
/** Of a thread that ends before it has come up. */
const BROKEN = new URL('data:text/javascript,throw new Error("no such thread")');

describe('a pool of dispatch threads', () => {
  const poller = new MainPoller();
  afterAll(() => poller.close());

  const guestOf = (pool: DispatchPool): SimulatedVm => SimulatedVm.create({ poller, host: pool });

  it('gives each guest the thread that has fewest', async () => {
    await using pool = await DispatchPool.start({ poller }, { threads: 3 });
    expect(pool.guests).toEqual([0, 0, 0]);
    const vms = Array.from({ length: 7 }, () => guestOf(pool));
    expect(pool.guests).toEqual([3, 2, 2]);
    // Of the second thread.
    for (const index of [1, 4]) vms[index]?.close();
    expect(pool.guests).toEqual([3, 0, 2]);
    vms.push(guestOf(pool), guestOf(pool));
    expect(pool.guests).toEqual([3, 2, 2]);
    for (const vm of vms) vm.close();
    expect(pool.guests).toEqual([0, 0, 0]);
  });

  it('serves guests of each of its threads while the main thread does nothing', async () => {
    await using pool = await DispatchPool.start({ poller }, { threads: 2 });
    for (const _ of [0, 1, 2]) {
      const vm = guestOf(pool);
      const { machine, fds } = vm.guestResources();
      const guest = new SimulatedGuest(machine, fds);
      // Blocks this thread; nobody has the address.
      expect(guest.read(NOWHERE.base, 4)).toBe(0xffff_ffffn);
      guest.close();
      expect(vm.buses.memory.counters.unmatched).toBe(0);
      vm.close();
    }
  });

  it('gives up a guest that ends three of its threads, and goes on with the others', async () => {
    const logger = new MemoryLogger();
    await using pool = await DispatchPool.start({ poller, logger }, { threads: 2 });
    const vms = [guestOf(pool), guestOf(pool)];
    using driver = new SimulatedTestGuest((vms[0] as SimulatedVm).guestResources());
    let gone = 0;
    // Something that no thread of ours can be told.
    const page = { pointer: 0n, length: 0 } as never;
    const server = { run: () => undefined };
    const ends = { kind: 'eventfds', vcpus: [], lines: [] } as const;
    const rest = { ends, spaces: [], answerLimit: 1, server, gone: () => void gone++ };
    pool.seat({ name: 'wrong', page, vcpus: 0, carrierOf: () => 'message', ...rest });
    expect(pool.guests).toEqual([2, 1]);
    await until(() => gone === 1);
    const deaths = logger.saying('a dispatch thread has ended, another is to have its guests');
    expect(deaths).toHaveLength(3);
    expect(deaths[2]?.context).toMatchObject({ thread: 'dispatch-0', busyWith: 'wrong' });
    expect(logger.saying('a guest has ended too many dispatch threads')).toMatchObject([
      { level: 'error', context: { vm: 'wrong' } },
    ]);
    // Whoever was there with it is served by a thread, and those that come.
    expect(await driver.read(NOWHERE.base, 4)).toBe(0xffff_ffffn);
    expect(vms[0]?.buses.memory.counters.unmatched).toBe(0);
    vms.push(guestOf(pool));
    expect(pool.guests).toEqual([2, 1]);
    for (const vm of vms) vm.close();
    expect(pool.guests).toEqual([0, 0]);
  });

  it('says that it is closed to who comes when none is left', async () => {
    const pool = await DispatchPool.start({ poller }, { threads: 2 });
    const vm = guestOf(pool);
    pool.close();
    pool.close();
    await pool.ended;
    expect(pool.guests).toEqual([]);
    expect(() => guestOf(pool)).toThrow(
      expect.objectContaining({
        code: 'CLOSED',
        message: expect.stringMatching(/no dispatch thread is left/),
      }),
    );
    vm.close();
  });

  it('does not start without the priority that was asked for', async () => {
    const started = DispatchPool.start({ poller }, { threads: 2, nice: 100 });
    await expect(started).rejects.toMatchObject({
      code: 'NOT_SUPPORTED',
      message: expect.stringMatching(/dispatch-0: nice 100 is refused .*; it needs CAP_SYS_NICE/),
    });
  });

  it('leaves no thread when one of them cannot run', async () => {
    const logger = new MemoryLogger();
    const starting = DispatchPool.start({ poller, logger }, { threads: 3, threadModule: BROKEN });
    await expect(starting).rejects.toMatchObject({
      code: 'NOT_SUPPORTED',
      message: expect.stringMatching(/dispatch thread dispatch-0/),
    });
    expect(
      logger.saying('a dispatch thread has ended, its guests lose their devices'),
    ).toHaveLength(3);
  });

  it.each([0, -1, 1.5, Number.NaN, MAX_DISPATCH_THREADS + 1])(
    'has not %d threads',
    async (threads) => {
      await expect(DispatchPool.start({ poller }, { threads })).rejects.toThrow(/1 to 64/);
    },
  );
});
