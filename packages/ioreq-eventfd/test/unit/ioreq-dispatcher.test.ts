import { IoreqPage } from '@node-vmm/ioreq-eventfd';
import { guestAddress } from '@node-vmm/vm-memory';
import { describe, expect, it } from 'vitest';
import { Bench, PORT, RAM, RAM_LENGTH, WINDOW } from '../harness.ts';

const ALL_ONES = 0xffff_ffff_ffff_ffffn;

describe('IoreqPage', () => {
  it('lays requests out as struct ioreq', () => {
    const buffer = new ArrayBuffer(4096);
    new IoreqPage(buffer, 2).submit(1, {
      addrLow: 0x0200_0050,
      addrHigh: 1,
      dataLow: 0xdddd_0001,
      dataHigh: 0xeeee_0002,
      count: 3,
      size: 4,
      type: 1,
      isRead: true,
      dataIsPtr: true,
      backwards: true,
    });
    expect(Buffer.from(buffer, 32, 32).toString('hex')).toBe(
      '5000000201000000' + '0100dddd0200eeee' + '03000000' + '04000000' + '00000000' + '00007101',
    );
  });

  it('holds 128 vCPUs', () => {
    expect(() => new IoreqPage(new ArrayBuffer(4096), 128)).not.toThrow();
    expect(() => new IoreqPage(new ArrayBuffer(4096), 129)).toThrow(
      expect.objectContaining({ code: 'NOT_SUPPORTED' }),
    );
  });
});

describe('IoreqDispatcher', () => {
  it('serves reads and writes of every size', () => {
    const b = new Bench();
    for (const size of [1, 2, 4, 8]) {
      expect(b.ask({ isRead: true, size })).toBe(BigInt.asUintN(8 * size, b.value));
      b.ask({ size, dataLow: 0xa1a2_a3a4, dataHigh: 0xb1b2_b3b4 });
    }
    expect(b.accesses.filter((access) => access.startsWith('w'))).toEqual([
      `w0/1=${0xa4}`,
      `w0/2=${0xa3a4}`,
      `w0/4=${0xa1a2_a3a4}`,
      `w0/8=${0xb1b2_b3b4_a1a2_a3a4n}`,
    ]);
    expect(b.notified).toHaveLength(8);
  });

  it('takes only what is ready, once', () => {
    const b = new Bench();
    expect(b.dispatcher.service(0)).toBe(false);
    b.post({}, 1);
    expect(b.dispatcher.service(0)).toBe(false);
    expect(b.dispatcher.service(1)).toBe(true);
    expect(b.dispatcher.service(1)).toBe(false);
    expect(b.notified).toEqual([1]);
  });

  it('serves every vCPU that waits, when asked for all', () => {
    const b = new Bench({ vcpus: 3 });
    b.post({}, 0);
    b.post({}, 2);
    b.dispatcher.serviceAll();
    expect(b.notified).toEqual([0, 2]);
  });

  it('looks again at a request that the kernel is looking at', async () => {
    const b = new Bench();
    b.post({});
    const words = new Uint32Array(b.buffer);
    const ready = words[7] as number;
    words[7] = ready + (1 << 16);
    expect(b.dispatcher.service(0)).toBe(false);
    words[7] = ready;
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    expect(b.notified).toEqual([0]);
  });

  it.each([
    ['odd size', { size: 3 }],
    ['size 0', { size: 0 }],
    ['size 16', { size: 16 }],
    ['no repetition', { count: 0 }],
    ['too many repetitions', { count: 4097 }],
    ['repetitions past the address space', { addrHigh: 0x1f_ffff, addrLow: 0xffff_fffc, count: 9 }],
    ['repetitions below zero', { addrLow: 4, count: 9, backwards: true }],
    ['a pointer out of memory', { dataIsPtr: true, dataLow: RAM - 1 }],
    ['a pointer that runs out of memory', { dataIsPtr: true, dataLow: RAM + RAM_LENGTH - 3 }],
    ['a pointer past the address space', { dataIsPtr: true, dataHigh: 0xffff_ffff }],
  ])('answers %s with all ones', (_, request) => {
    const b = new Bench();
    // As wide as the access; what has no width of an access has all ones that there are.
    const width = 'size' in request ? ALL_ONES : 0xffff_ffffn;
    expect(b.ask({ isRead: true, ...request })).toBe(width);
    b.ask(request);
    expect(b.dispatcher.counters).toMatchObject({ requests: 2, malformed: 2 });
    expect(b.notified).toEqual([0, 0]);
  });

  it('answers addresses where nothing can be with all ones', () => {
    const b = new Bench();
    expect(b.ask({ isRead: true, addrHigh: 0xffff_ffff, addrLow: 0xffff_ffff })).toBe(0xffff_ffffn);
    expect(b.ask({ isRead: true, addrLow: 0x9000_0000 })).toBe(0xffff_ffffn);
    expect(b.ask({ isRead: true, addrLow: WINDOW + 0x1fe })).toBe(0xffff_ffffn);
  });

  it('repeats accesses of string instructions in both directions', () => {
    const b = new Bench();
    b.ask({ count: 3, size: 2, dataLow: 7 });
    b.ask({ count: 2, size: 4, dataLow: 8, addrLow: WINDOW + 16, backwards: true });
    expect(b.accesses).toEqual(['w0/2=7', 'w2/2=7', 'w4/2=7', 'w16/4=8', 'w12/4=8']);
  });

  it('copies between window and guest memory when data is a pointer', () => {
    const b = new Bench();
    b.memory.write(guestAddress(RAM + 8), Uint8Array.of(1, 2, 3, 4, 5, 6));
    const pointer = { dataIsPtr: true, dataLow: RAM + 8, size: 2, count: 3 };
    b.ask(pointer);
    expect(b.accesses).toEqual([`w0/2=${0x201}`, `w2/2=${0x403}`, `w4/2=${0x605}`]);
    b.ask({ ...pointer, isRead: true, count: 2 });
    expect(b.memory.readU32(guestAddress(RAM + 8))).toBe(0x7788_7788);
    b.ask({ ...pointer, isRead: true, dataLow: RAM + 4, addrLow: WINDOW + 8, backwards: true });
    expect(b.memory.readU16(guestAddress(RAM))).toBe(0x7788);
    expect(b.accesses.slice(-3)).toEqual(['r8/2', 'r6/2', 'r4/2']);
  });

  it('tells of invalidations and answers types that it does not serve with all ones', () => {
    const b = new Bench();
    b.ask({ type: 8 });
    expect(b.invalidates).toBe(1);
    for (const type of [2, 3, 7, 255]) expect(b.ask({ type, isRead: true })).toBe(0xffff_ffffn);
    b.ask({ type: 2 });
    expect(b.accesses).toEqual([]);
    expect(b.dispatcher.counters).toMatchObject({ invalidates: 1, unsupported: 5 });
  });

  it('lets the vCPU wait until nobody has what it gave back', async () => {
    const b = new Bench();
    let release = (): void => undefined;
    b.held = new Promise<void>((resolve) => {
      release = resolve;
    });
    b.post({ type: 8 });
    expect(b.dispatcher.service(0)).toBe(true);
    expect(b.invalidates).toBe(1);
    expect(b.notified).toEqual([]);
    release();
    await expect.poll(() => b.notified).toEqual([0]);
    b.dispatcher.close();
  });

  it.each([
    [1, 0xffn],
    [2, 0xffffn],
    [4, 0xffff_ffffn],
    [8, ALL_ONES],
  ])('answers with all ones as wide as the access: %d bytes', async (size, ones) => {
    const b = new Bench({ answerLimit: 1 });
    const read = { isRead: true, size } as const;
    // No bus of its kind, a count that cannot be, no window, and a pointer to nothing.
    expect(b.ask({ ...read, type: 2 })).toBe(ones);
    expect(b.ask({ ...read, count: 0 })).toBe(ones);
    expect(b.ask({ ...read, addrLow: 0x9000_0000 })).toBe(ones);
    expect(b.ask({ ...read, dataIsPtr: true, dataLow: RAM - 1 })).toBe(ones);
    // A window that is not ready in time.
    const never = new Promise<void>(() => undefined);
    const handler = { read: () => 0n, write: () => undefined, ready: never };
    b.buses.memory.map({ base: 0x8000n, length: 0x200 }, handler);
    b.post({ ...read, addrLow: 0x8000 });
    b.dispatcher.service(0);
    await expect.poll(() => b.answer(), { timeout: 15_000 }).toBe(ones);
    // Guest memory that cannot be had.
    b.memory.contains = () => {
      throw new Error('not mapped');
    };
    expect(b.ask({ ...read, dataIsPtr: true, dataLow: RAM })).toBe(ones);
    expect(b.dispatcher.counters).toMatchObject({ errors: 1, timeouts: 1 });
  });

  it('serves ports beside memory, up to four bytes wide', () => {
    const b = new Bench();
    const port = { type: 0, addrLow: PORT + 4 };
    for (const size of [1, 2, 4]) {
      expect(b.ask({ ...port, isRead: true, size })).toBe(BigInt.asUintN(8 * size, b.value));
    }
    b.ask({ ...port, size: 2, dataLow: 0x1_2345 });
    expect(b.ask({ ...port, addrLow: WINDOW, isRead: true })).toBe(0xffff_ffffn);
    expect(b.accesses).toEqual(['port r4/1', 'port r4/2', 'port r4/4', `port w4/2=${0x2345}`]);
    expect(b.dispatcher.counters).toMatchObject({ malformed: 0, unsupported: 0 });
    expect(b.ask({ ...port, isRead: true, size: 8 })).toBe(ALL_ONES);
    expect(b.dispatcher.counters.malformed).toBe(1);
  });

  it('names the same port each time of a string instruction, and steps through memory', () => {
    const b = new Bench();
    b.memory.write(guestAddress(RAM + 8), Uint8Array.of(1, 2, 3, 4));
    const port = { type: 0, addrLow: PORT, dataIsPtr: true, dataLow: RAM + 8, size: 2, count: 2 };
    b.ask(port);
    b.ask({ ...port, isRead: true, dataLow: RAM + 4, backwards: true });
    expect(b.accesses).toEqual([
      `port w0/2=${0x201}`,
      `port w0/2=${0x403}`,
      'port r0/2',
      'port r0/2',
    ]);
    expect(b.memory.readU16(guestAddress(RAM + 4))).toBe(0x7788);
    expect(b.memory.readU16(guestAddress(RAM + 2))).toBe(0x7788);
  });

  it('answers accesses to ports of a machine without any with all ones', () => {
    const b = new Bench({ ports: false });
    expect(b.ask({ type: 0, addrLow: PORT, isRead: true })).toBe(0xffff_ffffn);
    b.ask({ type: 0, addrLow: PORT });
    expect(b.accesses).toEqual([]);
    expect(b.dispatcher.counters.unsupported).toBe(2);
  });

  it('answers when a deferred write ends, well or badly', async () => {
    const b = new Bench();
    b.held = Promise.resolve();
    expect(b.ask({})).toBeUndefined();
    await new Promise(setImmediate);
    expect(b.answer()).toBeDefined();
    b.held = Promise.reject(new Error('fails'));
    b.ask({});
    await new Promise(setImmediate);
    expect(b.answer()).toBeDefined();
    expect(b.dispatcher.counters).toMatchObject({ deferred: 2, errors: 1, timeouts: 0 });
    const { now, counts } = b.dispatcher.heldTimes.accesses;
    expect({ now, all: counts.reduce((sum, count) => sum + count) }).toEqual({ now: 0, all: 2 });
  });

  it('waits for all deferred writes of a string instruction', async () => {
    const b = new Bench();
    const ends: (() => void)[] = [];
    Object.defineProperty(b, 'held', {
      get: () => new Promise<void>((resolve) => ends.push(resolve)),
    });
    b.ask({ count: 2 });
    ends[0]?.();
    await new Promise(setImmediate);
    expect(b.answer()).toBeUndefined();
    ends[1]?.();
    await new Promise(setImmediate);
    expect(b.answer()).toBeDefined();
  });

  it('answers once when the limit has passed, however late the handler is', async () => {
    const b = new Bench({ answerLimit: 1 });
    let end: () => void = () => undefined;
    b.held = new Promise((resolve) => {
      end = resolve;
    });
    b.ask({});
    while (b.notified.length === 0) await new Promise(setImmediate);
    b.held = new Promise(() => undefined);
    b.answer();
    b.ask({});
    end();
    await new Promise(setImmediate);
    expect(b.dispatcher.counters.timeouts).toBeGreaterThanOrEqual(1);
    expect(b.notified.length).toBe(b.dispatcher.counters.timeouts);
    b.dispatcher.close();
  });

  it('survives a notification that fails', () => {
    const b = new Bench();
    b.notifyFails = true;
    expect(b.ask({})).toBeDefined();
    expect(b.dispatcher.counters.errors).toBe(1);
  });

  it('answers what is under way when closed, and takes nothing more', async () => {
    const b = new Bench();
    let end: () => void = () => undefined;
    b.held = new Promise((resolve) => {
      end = resolve;
    });
    b.ask({});
    b.dispatcher.close();
    b.dispatcher.close();
    expect(b.answer()).toBeDefined();
    end();
    await new Promise(setImmediate);
    expect(b.notified).toEqual([0]);
    expect(b.ask({})).toBeUndefined();
  });

  it('answers what nobody has looked at when closed, also where that would have to wait', () => {
    const b = new Bench({ vcpus: 3 });
    b.held = new Promise(() => undefined);
    b.post({ isRead: true }, 0);
    b.post({ dataLow: 7 }, 2);
    b.dispatcher.close();
    expect(b.answer(0)).toBe(BigInt.asUintN(32, b.value));
    expect(b.answer(2)).toBeDefined();
    expect(b.accesses).toEqual(['r0/4', 'w0/4=7']);
    expect(b.notified).toEqual([0, 2]);
  });
});
