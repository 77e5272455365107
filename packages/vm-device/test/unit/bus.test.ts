import { type AddressSpace, Bus, type BusHandler } from '@node-vmm/vm-device';
import { EventFd } from '@node-vmm/vmm-sys-util';
import { describe, expect, it } from 'vitest';

const constant = (value: bigint): BusHandler => ({ read: () => value, write: () => undefined });

describe('Bus', () => {
  it('finds the window among many, whatever the order they were mapped in', () => {
    const bus = new Bus('memory');
    const order = Array.from({ length: 256 }, (_, i) => (i * 97) % 256);
    for (const i of order) {
      bus.map({ base: BigInt(0x1000 + i * 0x200), length: 0x200 }, constant(BigInt(i)));
    }
    for (const i of order) {
      expect(bus.read(0x1000 + i * 0x200, 4)).toBe(BigInt(i));
      expect(bus.read(0x1000 + i * 0x200 + 0x1ff, 1)).toBe(BigInt(i & 0xff));
    }
  });

  it("reads all ones and drops writes where no window is, and across a window's end", () => {
    const bus = new Bus('memory');
    const unmap = bus.map({ base: 0x1000n, length: 0x200 }, constant(0n));
    expect(bus.read(0x1000, 4)).toBe(0n);
    expect(bus.read(0x11fe, 4)).toBe(0xffff_ffffn);
    expect(bus.read(0xffe, 4)).toBe(0xffff_ffffn);
    expect(bus.read(0, 8)).toBe(0xffff_ffff_ffff_ffffn);
    bus.write(0x2000, 1, 1n);
    unmap();
    unmap();
    expect(bus.read(0x1000, 2)).toBe(0xffffn);
    expect(bus.counters).toMatchObject({ reads: 1, writes: 0, unmatched: 5 });
  });

  it('cuts what a handler returns to the width of the access', () => {
    const bus = new Bus('memory');
    bus.map({ base: 0n, length: 8 }, constant(-2n));
    expect([1, 2, 4, 8].map((size) => bus.read(0, size))).toEqual([
      0xfen,
      0xfffen,
      0xffff_fffen,
      0xffff_ffff_ffff_fffen,
    ]);
  });

  it('matches an ioeventfd by address, width and value', () => {
    using eventfd = EventFd.create();
    using any = EventFd.create();
    const bus = new Bus('memory');
    let handled = 0;
    const handler = { read: () => 0n, write: () => void handled++ as undefined };
    bus.map({ base: 0x1000n, length: 0x100 }, handler);
    const remove = bus.addIoeventfd({ guestAddr: 0x1050n, length: 4, datamatch: 3n }, eventfd);
    bus.addIoeventfd({ guestAddr: 0x1060n, length: 2 }, any);
    bus.write(0x1050, 4, 2n);
    bus.write(0x1050, 2, 3n);
    bus.write(0x1054, 4, 3n);
    bus.write(0x1060, 4, 0n);
    expect(handled).toBe(4);
    expect(eventfd.drain()).toBe(false);
    bus.write(0x1050, 4, 3n);
    bus.write(0x1060, 2, 0xabcdn);
    expect([eventfd.drain(), any.drain(), handled]).toEqual([true, true, 4]);
    remove();
    remove();
    bus.write(0x1050, 4, 3n);
    expect(handled).toBe(5);
  });

  it.each([
    ['the same value', 3n, 3n],
    ['any value beside one', undefined, 3n],
    ['one beside any value', 3n, undefined],
  ])('refuses a second ioeventfd for %s', (_, first, second) => {
    using eventfd = EventFd.create();
    const bus = new Bus('memory');
    bus.map({ base: 0n, length: 8 }, constant(0n));
    const add = (datamatch: bigint | undefined): unknown =>
      bus.addIoeventfd(
        { guestAddr: 0n, length: 4, ...(datamatch === undefined ? {} : { datamatch }) },
        eventfd,
      );
    add(first);
    expect(() => add(second)).toThrow(expect.objectContaining({ code: 'IOEVENTFD_IN_USE' }));
    expect(() => bus.addIoeventfd({ guestAddr: 0n, length: 8 }, eventfd)).not.toThrow();
  });

  it('survives an eventfd that its owner closed', () => {
    const eventfd = EventFd.create();
    const bus = new Bus('memory');
    bus.map({ base: 0n, length: 8 }, constant(0n));
    bus.addIoeventfd({ guestAddr: 0n, length: 4 }, eventfd);
    eventfd.close();
    expect(bus.write(0, 4, 0n)).toBeUndefined();
    expect(bus.counters.handlerErrors).toBe(1);
  });

  it.each<[AddressSpace, bigint, readonly number[], RegExp]>([
    ['memory', 2n ** 53n - 1n, [1, 2, 4, 8], /^Cannot map an MMIO window of 2 bytes at /],
    ['port', 0x1_0000n, [1, 2, 4], /^Cannot map a window of I\/O ports of 2 bytes at 0xffff: /],
    ['pci-config', 2n ** 44n, [1, 2, 4], /^Cannot map a PCI configuration window of 2 bytes /],
  ])('keeps to the ends and widths of %s', (space, end, widths, message) => {
    const bus = new Bus(space);
    expect([0, 1, 2, 3, 4, 8, 16].filter((size) => bus.isAccessSize(size))).toEqual(widths);
    const bad = expect.objectContaining({
      code: 'BAD_RANGE',
      message: expect.stringMatching(message),
      context: { space, guestAddr: end - 1n, length: 2 },
    });
    expect(() => bus.map({ base: end - 1n, length: 2 }, constant(0n))).toThrow(bad);
    bus.map({ base: end - 2n, length: 2 }, constant(7n));
    expect(bus.windowOf(end - 1n, 1)).toEqual({ space, base: end - 2n, length: 2 });
    expect(bus.read(Number(end - 1n), 1)).toBe(7n);
  });
});
