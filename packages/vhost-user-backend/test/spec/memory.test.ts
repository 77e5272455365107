// Titles name sections of the vhost-user specification (QEMU docs/interop/vhost-user.rst).
import { mapForeign } from '@node-vmm/vm-memory/xen';
import { closeFd, memfdCreate, openFd } from '@node-vmm/vmm-sys-util';
import { describe, expect, it } from 'vitest';
import { GUEST_BASE, GUEST_SIZE, negotiate, USER_BASE, until } from '../../src/testing/index.ts';
import { useBench } from '../bench.ts';
import { ToldTable, timesMapped } from '../told-table.ts';

/** Mappings of guest memory in this process; one is the guest's own. */
const mappings = (): number => timesMapped('guest-memory');

const HOLD = 0xfe;
const RELEASE = 0xfd;

describe('Memory regions', () => {
  const bench = useBench();

  it('a table is exchanged under load without losing a request', async () => {
    const { frontEnd, ring } = await bench().running();
    const { regions, fds } = bench().guest;
    using other = new ToldTable(bench().guest, 'other');
    for (let i = 0; i < 200; i++) {
      ring.submit([1], [2], [3]);
      const table = i % 2 === 0 ? other : { regions, fds };
      const swap = frontEnd.tell('VHOST_USER_SET_MEM_TABLE', table.regions, table.fds);
      expect(await ring.collect(frontEnd.poller, 3)).toEqual([1, 1, 1]);
      expect(await swap).toBe(0);
    }
    await until(() => !other.mapped);
    await expect.poll(mappings).toBe(2);
  });

  it('requests that the device holds survive the exchange, and their memory with them', async () => {
    const { frontEnd, ring } = await bench().running();
    const { guest } = bench();
    using first = new ToldTable(guest, 'first');
    using second = new ToldTable(guest, 'second');
    const exchange = ({ regions, fds }: Pick<ToldTable, 'regions' | 'fds'>) =>
      frontEnd.tell('VHOST_USER_SET_MEM_TABLE', regions, fds);
    const taken = (chains: number) =>
      until(async () => (await bench().daemon.status())[0]?.rings[0]?.chains === chains);
    expect(await exchange(first)).toBe(0);
    ring.submit([HOLD], [HOLD]);
    await taken(2);
    expect(await exchange(second)).toBe(0);
    ring.submit([HOLD]);
    await taken(3);
    expect(await exchange(guest)).toBe(0);
    expect([first.mapped, second.mapped]).toEqual([true, true]);
    ring.submit([RELEASE]);
    expect(await ring.collect(frontEnd.poller, 4)).toEqual([4, 4, 4, 0]);
    await until(() => !first.mapped && !second.mapped);
    await expect.poll(mappings).toBe(2);
  });

  it('memory stays while any ring holds requests in it, whatever another ring lost', async () => {
    const { frontEnd, ring } = await bench().running();
    const { guest } = bench();
    using first = new ToldTable(guest, 'first');
    using second = new ToldTable(guest, 'second');
    const exchange = ({ regions, fds }: Pick<ToldTable, 'regions' | 'fds'>) =>
      frontEnd.tell('VHOST_USER_SET_MEM_TABLE', regions, fds);
    const other = bench().ring(1);
    other.setUp(frontEnd);
    expect(await other.enable(frontEnd)).toBe(0);
    const chains = async (index: number) =>
      (await bench().daemon.status())[0]?.rings[index]?.chains === 1;
    expect(await exchange(first)).toBe(0);
    ring.submit([HOLD]);
    await until(() => chains(0));
    expect(await exchange(second)).toBe(0);
    expect(first.mapped).toBe(true);
    // The device drops what it holds of a ring that stops.
    await frontEnd.ask('VHOST_USER_GET_VRING_BASE', { index: 0, num: 0 });
    await until(() => !first.mapped);
    other.submit([HOLD]);
    await until(() => chains(1));
    expect(await exchange(guest)).toBe(0);
    expect(second.mapped).toBe(true);
    other.submit([RELEASE]);
    expect(await other.collect(frontEnd.poller, 2)).toEqual([4, 0]);
    await until(() => !second.mapped);
  });

  it('held requests that never end do not pile up memory without bound', async () => {
    const { frontEnd, ring } = await bench().running();
    const { regions, fds } = bench().guest;
    let swaps = 0;
    for (; swaps < 100; swaps++) {
      ring.submit([HOLD]);
      const chains = swaps + 1;
      await until(async () => (await bench().daemon.status())[0]?.rings[0]?.chains === chains);
      if ((await frontEnd.tell('VHOST_USER_SET_MEM_TABLE', regions, fds)) !== 0) break;
    }
    expect(swaps).toBe(16);
    await frontEnd.ask('VHOST_USER_GET_VRING_BASE', { index: 0, num: 0 });
    await until(() => mappings() === 2);
    expect(await frontEnd.tell('VHOST_USER_SET_MEM_TABLE', regions, fds)).toBe(0);
  });

  it('a ring that is in no region stops, and goes on when it is again', async () => {
    const { frontEnd, ring } = await bench().running();
    const { regions, fds } = bench().guest;
    ring.submit([1]);
    await ring.collect(frontEnd.poller, 1);
    const elsewhere = regions.map((region) => ({
      ...region,
      userAddr: region.userAddr + (1n << 32n),
    }));
    expect(await frontEnd.tell('VHOST_USER_SET_MEM_TABLE', elsewhere, fds)).toBe(0);
    ring.submit([1, 2]);
    ring.kick.signal();
    await bench().daemon.status();
    expect(ring.driver.poll()).toBeUndefined();
    expect(await frontEnd.tell('VHOST_USER_SET_MEM_TABLE', regions, fds)).toBe(0);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([2]);
  });

  it('ADD_MEM_REG and REM_MEM_REG change one region, and slots are counted', async () => {
    const frontEnd = bench().connect();
    const { guest } = bench();
    await negotiate(frontEnd, guest);
    expect(await frontEnd.ask('VHOST_USER_GET_MAX_MEM_SLOTS', undefined)).toBe(509n);
    const [region] = guest.regions;
    const [fd] = guest.fds;
    if (region === undefined || fd === undefined) throw new Error('no region');
    const add = (i: bigint) =>
      frontEnd.tell(
        'VHOST_USER_ADD_MEM_REG',
        { ...region, guestAddr: GUEST_BASE + (i << 32n), userAddr: USER_BASE + (i << 32n) },
        [fd],
      );
    for (let i = 1n; i < 509n; i++) expect(await add(i)).toBe(0);
    expect(await add(509n)).toBe(1);
    expect(await frontEnd.tell('VHOST_USER_REM_MEM_REG', region)).toBe(0);
    expect(await frontEnd.tell('VHOST_USER_REM_MEM_REG', region)).toBe(1);
    expect(await add(509n)).toBe(0);
    // They are the same part of a file.
    await expect.poll(mappings).toBe(2);
    frontEnd.close();
    await bench().idle();
    await expect.poll(mappings).toBe(1);
  });

  it('a ring goes on while other regions come and go', async () => {
    const { frontEnd, ring } = await bench().running();
    const [region] = bench().guest.regions;
    if (region === undefined) throw new Error('no region');
    const other = { ...region, guestAddr: 0n, userAddr: 0x1000n };
    for (let i = 0; i < 50; i++) {
      ring.submit([1], [HOLD]);
      const added = frontEnd.tell('VHOST_USER_ADD_MEM_REG', other, bench().guest.fds);
      expect(await ring.collect(frontEnd.poller, 1)).toEqual([1]);
      expect(await added).toBe(0);
      expect(await frontEnd.tell('VHOST_USER_REM_MEM_REG', other)).toBe(0);
      ring.submit([RELEASE]);
      expect(await ring.collect(frontEnd.poller, 2)).toEqual([4, 0]);
    }
    await until(() => mappings() === 2);
  });

  it('overlapping regions and files that are too small are refused and leave nothing', async () => {
    const { frontEnd, ring } = await bench().running();
    const [region] = bench().guest.regions;
    const [fd] = bench().guest.fds;
    if (region === undefined || fd === undefined) throw new Error('no region');
    const tell = (...regions: (typeof region)[]) =>
      frontEnd.tell(
        'VHOST_USER_SET_MEM_TABLE',
        regions,
        regions.map(() => fd),
      );
    const far = { guestAddr: 0n, userAddr: 0n };
    expect(await tell(region, region)).toBe(1);
    expect(await tell(region, { ...region, guestAddr: 0n })).toBe(1);
    expect(await tell(region, { ...region, userAddr: 0n })).toBe(1);
    expect(await tell({ ...region, mmapOffset: 1n })).toBe(1);
    expect(await tell(region, { ...region, ...far, size: BigInt(GUEST_SIZE) + 1n })).toBe(1);
    expect(await tell({ ...region, size: 1n << 62n })).toBe(1);
    const eventFds = [ring.kick.fd];
    expect(await frontEnd.tell('VHOST_USER_SET_MEM_TABLE', [region], eventFds)).toBe(1);
    await expect.poll(mappings).toBe(2);
    ring.submit([1]);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([1]);
  });

  it('a file may be mapped at any offset', async () => {
    const { frontEnd } = await bench().running();
    const fd = memfdCreate('small', 12_288);
    const region = { guestAddr: 0n, size: 4096n, userAddr: 0x1000n, mmapOffset: 4097n };
    expect(await frontEnd.tell('VHOST_USER_ADD_MEM_REG', region, [fd])).toBe(0);
    closeFd(fd);
  });
});

describe('VHOST_USER_PROTOCOL_F_XEN_MMAP', () => {
  const bench = useBench({}, { mapForeign });

  it('with XEN_MMAP negotiated regions carry Xen flags', async () => {
    const frontEnd = bench().connect();
    const { guest } = bench();
    const features = (1n << 3n) | (1n << 17n);
    frontEnd.send('VHOST_USER_SET_PROTOCOL_FEATURES', features);
    frontEnd.connection.codec.options.xenMmap = true;
    const tell = (mmapFlags: number, fds = guest.fds) =>
      frontEnd.tell(
        'VHOST_USER_SET_MEM_TABLE',
        guest.regions.map((region) => ({ ...region, xen: { mmapFlags, domid: 1 } })),
        fds,
      );
    expect(await tell(0)).toBe(0);
    // Neither a memfd nor any character device is privcmd, and grants are not mapped yet.
    expect(await tell(1)).toBe(1);
    expect(await tell(2)).toBe(1);
    const zero = openFd('/dev/zero');
    expect(await tell(1, [zero])).toBe(1);
    closeFd(zero);
    await expect.poll(mappings).toBe(2);
  });
});
