import { MmioBus, type MmioHandler } from '@node-vmm/ioreq-eventfd';
import { EventFd } from '@node-vmm/vmm-sys-util';
import { describe, expect, it } from 'vitest';

const constant = (value: bigint): MmioHandler => ({ read: () => value, write: () => undefined });

describe('MmioBus', () => {
  it('finds the window among many, whatever the order they were mapped in', () => {
    const bus = new MmioBus();
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
    const bus = new MmioBus();
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
    const bus = new MmioBus();
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
    const bus = new MmioBus();
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
    const bus = new MmioBus();
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
    const bus = new MmioBus();
    bus.map({ base: 0n, length: 8 }, constant(0n));
    bus.addIoeventfd({ guestAddr: 0n, length: 4 }, eventfd);
    eventfd.close();
    expect(bus.write(0, 4, 0n)).toBeUndefined();
    expect(bus.counters.handlerErrors).toBe(1);
  });
});
