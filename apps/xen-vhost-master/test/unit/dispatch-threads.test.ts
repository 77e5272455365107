import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { MemoryLogger } from '@node-vmm/vhost-bridge/testing';
import { VIRTIO_MMIO_MAGIC } from '@node-vmm/virtio-device';
import { FakeVirtioDevice } from '@node-vmm/virtio-device/testing';
import { DispatchedDevice, DispatchPool } from '@node-vmm/vm-dispatch';
import { FAKE_XEN_THREAD } from '@node-vmm/vm-dispatch/testing';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { type FakeDomain, FakeXen } from '@node-vmm/xen-sys/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type AttachedXenGuest, attachXenGuest } from '../../src/attach-xen-guest.ts';
import { openDispatchPool } from '../../src/open-dispatch-pool.ts';

/** proc(5), /proc/PID/task/TID/stat: counted behind the name. */
const NICE_FIELD = 16;

/** How many threads of this process have a priority. */
function threadsWithNice(nice: number): number {
  const stats = readdirSync('/proc/self/task').map((tid) =>
    readFileSync(`/proc/self/task/${tid}/stat`, 'utf8'),
  );
  const fields = stats.map((stat) => stat.slice(stat.lastIndexOf(')') + 2).split(' '));
  return fields.filter((field) => Number(field[NICE_FIELD]) === nice).length;
}

/** Whether this process could have a priority that is higher by 2; leaves it as it is. */
function mayPrefer(): boolean {
  const usual = getPriority();
  try {
    setPriority(usual - 2);
    setPriority(usual);
    return true;
  } catch {
    return false;
  }
}

const GUESTS = [3, 4, 5, 6];
const WINDOW = { space: 'memory', base: 0x200_0000n, length: 0x200 } as const;
const OPTIONS = { notification: 'auto', holdMs: 20_000 } as const;
const IRQ = process.arch === 'x64' ? 5 : 33;
const X86 = process.arch === 'x64';

describe('guests of Xen with dispatch threads', () => {
  let poller: MainPoller;
  let fake: FakeXen;
  let logger: MemoryLogger;
  let domains: Map<number, FakeDomain>;
  let pool: DispatchPool;

  beforeEach(async () => {
    poller = new MainPoller();
    logger = new MemoryLogger();
    const arch = X86 ? 'x86_64' : 'arm64';
    fake = new FakeXen({ poller, threads: true, arch, guestType: X86 ? 'PVH' : 'HVM' });
    domains = new Map(GUESTS.map((domid) => [domid, fake.addDomain(domid)]));
    const options = { threads: 2, threadModule: FAKE_XEN_THREAD };
    pool = await DispatchPool.start({ poller, logger }, options);
  });

  afterEach(async () => {
    await pool[Symbol.asyncDispose]();
    fake.close();
    poller.close();
  });

  /** With a device that answers its guest's number. */
  const attach = (domid: number): AttachedXenGuest => {
    const components = { xen: fake.host(), poller, logger, host: pool };
    const attached = attachXenGuest(components, domid, OPTIONS);
    attached.vm.map(WINDOW, { read: () => BigInt(domid), write: () => undefined });
    return attached;
  };
  const read = (domid: number, address: bigint = WINDOW.base): Promise<bigint> =>
    (domains.get(domid) as FakeDomain).access({ address, size: 4 }).completed;

  it('are shared out, answered, and counted where they are served', async () => {
    const attached = GUESTS.map(attach);
    expect(pool.guests).toEqual([2, 2]);
    for (const domid of GUESTS) expect(await read(domid)).toBe(BigInt(domid));
    for (const [index, { vm, counters }] of attached.entries()) {
      expect(counters?.()).toMatchObject({ requests: 1 });
      const base = WINDOW.base + 0x200n;
      vm.map({ ...WINDOW, base }, new DispatchedDevice(new FakeVirtioDevice({}), { irq: IRQ }));
      const { reads = 0 } = counters?.() ?? {};
      expect(await read(GUESTS[index] as number, base)).toBe(BigInt(VIRTIO_MMIO_MAGIC));
      // The main thread did not see that one.
      expect(counters?.()).toMatchObject({ requests: 2, reads: reads + 1 });
    }
    for (const { vm } of attached) vm.close();
    expect(pool.guests).toEqual([0, 0]);
    expect(fake.privcmd.openMappings).toBe(0);
  });

  it('go on with the main thread when no other is left, each told of once', async () => {
    const early = attach(3);
    pool.close();
    await pool.ended;
    const late = [attach(4), attach(5)];
    for (const domid of [3, 4, 5]) expect(await read(domid)).toBe(BigInt(domid));
    const said = logger.lines.filter(({ message }) =>
      message.includes('served by the main thread'),
    );
    expect(said.map(({ level }) => level)).toEqual(['warn', 'warn']);
    for (const { vm } of [early, ...late]) vm.close();
    expect(fake.privcmd.openMappings).toBe(0);
  });

  it('are left to another bridge, which takes them up with threads of its own', async () => {
    const attached = attach(3);
    expect(await read(3)).toBe(3n);
    await attached.keeper.keep();
    const waiting = read(3);
    const takeUp = attached.kept();
    attached.vm.close();
    expect(pool.guests).toEqual([0, 0]);
    const components = { xen: fake.host(), poller, logger, host: pool };
    const next = attachXenGuest(components, 3, {
      ...OPTIONS,
      ...(takeUp === undefined ? {} : { takeUp }),
    });
    next.vm.map(WINDOW, { read: () => 9n, write: () => undefined });
    expect(await waiting).toBe(9n);
    expect(pool.guests).toEqual([1, 0]);
    next.vm.close();
  });
});

describe('openDispatchPool', () => {
  it('starts as many threads as were asked for, with their priority, and says so; none for 0', async () => {
    using poller = new MainPoller();
    const logger = new MemoryLogger();
    expect(
      await openDispatchPool({ dispatchThreads: 0, dispatchNice: undefined }, { poller, logger }),
    ).toBeUndefined();
    expect(logger.lines).toEqual([]);
    await using pool = await openDispatchPool(
      { dispatchThreads: 3, dispatchNice: 2 },
      { poller, logger },
    );
    expect(pool?.guests).toEqual([0, 0, 0]);
    expect(threadsWithNice(2)).toBe(3);
    expect(logger.saying('registers are served by dispatch threads')).toMatchObject([
      { context: { threads: 3, nice: 2 } },
    ]);
  });

  const refused = mayPrefer() ? '' : ' (skipped, unavailable: CAP_SYS_NICE)';
  it.skipIf(refused !== '')(
    `gives its threads a little more than the bridge has${refused}`,
    async () => {
      using poller = new MainPoller();
      const before = threadsWithNice(getPriority() - 2);
      const none = { dispatchThreads: 2, dispatchNice: undefined };
      await using pool = await openDispatchPool(none, { poller });
      expect(pool?.guests).toEqual([0, 0]);
      expect(threadsWithNice(getPriority() - 2)).toBe(before + 2);
    },
  );

  it('starts them as it is where it may not give them more', () => {
    const module = fileURLToPath(new URL('../../dist/open-dispatch-pool.js', import.meta.url));
    const program = `(async () => {
      const { openDispatchPool } = await import(${JSON.stringify(module)});
      const { MainPoller } = await import('@node-vmm/vmm-sys-util');
      const { readdirSync, readFileSync } = await import('node:fs');
      const poller = new MainPoller();
      const pool = await openDispatchPool({ dispatchThreads: 2, dispatchNice: undefined }, { poller });
      const nices = readdirSync('/proc/self/task').map((tid) =>
        readFileSync('/proc/self/task/' + tid + '/stat', 'utf8').split(') ')[1].split(' ')[${NICE_FIELD}]);
      console.log(pool.guests.length, new Set(nices).size);
      await pool[Symbol.asyncDispose]();
      poller.close();
    })()`;
    const node = [process.execPath, '-e', program];
    const [command = '', ...args] =
      process.getuid?.() === 0 ? ['setpriv', '--bounding-set', '-sys_nice', ...node] : node;
    const cwd = fileURLToPath(new URL('../..', import.meta.url));
    expect(execFileSync(command, args, { encoding: 'utf8', cwd })).toBe('2 1\n');
  });
});
