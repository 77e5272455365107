import { readdirSync } from 'node:fs';
import { FakeXenGuest } from '@node-vmm/ioreq-eventfd/testing';
import { type KeptXenVm, XenVm } from '@node-vmm/ioreq-eventfd/xen';
import type { BusHandler } from '@node-vmm/vm-device';
import { GuestMemoryBuffer } from '@node-vmm/vm-memory/testing';
import { EventFd, MainPoller } from '@node-vmm/vmm-sys-util';
import { asDomId, asIoServId, IOREQ, IOREQ_BITS_DIR, STATE_IORESP_READY } from '@node-vmm/xen-sys';
import { type FakeDomain, FakeXen } from '@node-vmm/xen-sys/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Bench } from '../harness.ts';

const DOMID = asDomId(7);
const BASE = 0x200_0000n;
const RANGE = { space: 'memory', base: BASE, length: 0x200 } as const;
const SECOND = { space: 'memory', base: BASE + 0x200n, length: 0x200 } as const;
const NOTIFY = { guestAddr: BASE + 0x50n, length: 4, datamatch: 0n } as const;
const VCPUS = 2;

const answering = (value: bigint): BusHandler => ({ read: () => value, write: () => undefined });

describe('A guest of Xen that one process leaves to another', () => {
  let poller: MainPoller;
  let fake: FakeXen;
  let domain: FakeDomain;
  const vms: XenVm[] = [];
  beforeEach(() => {
    poller = new MainPoller();
    fake = new FakeXen({ poller });
    domain = fake.addDomain(DOMID, { vcpus: VCPUS });
  });
  afterEach(() => {
    for (const vm of vms.splice(0)) vm.close();
    new FakeXenGuest(fake, domain).checkReleased();
    fake.close();
    poller.close();
  });

  /** As a process of its own would: it opens everything anew. */
  const open = (takeUp?: KeptXenVm): XenVm => {
    const memory = GuestMemoryBuffer.create([]);
    const vm = XenVm.create(
      { xen: fake.host(), memory: () => memory, poller },
      { domid: DOMID, irqs: 'spi', ...(takeUp === undefined ? {} : { takeUp }) },
    );
    vms.push(vm);
    return vm;
  };
  const leave = async (vm: XenVm): Promise<KeptXenVm> => {
    const kept = await vm.keep();
    vm.close();
    return structuredClone(kept);
  };
  const read = (address: bigint, vcpu = 0) => domain.access({ address, size: 4, vcpu });

  it('has its server and windows meanwhile, and is answered by the next', async () => {
    const vm = open();
    vm.map(RANGE, answering(1n));
    vm.map(SECOND, answering(2n));
    expect(await read(BASE).completed).toBe(1n);
    const kept = await leave(vm);
    expect(kept).toEqual({ server: 0, vcpus: VCPUS, windows: [RANGE, SECOND] });
    const server = domain.servers.get(asIoServId(0));
    expect(server).toMatchObject({ enabled: true, ranges: { length: 2 } });
    expect(fake.eventDevices.every((device) => !device.live)).toBe(true);
    const waiting = [read(BASE), read(SECOND.base, 1)];
    await new Promise(setImmediate);
    expect(waiting.map(({ done }) => done)).toEqual([false, false]);
    const next = open(kept);
    next.map(RANGE, answering(3n));
    next.map(SECOND, answering(4n));
    expect(await Promise.all(waiting.map(({ completed }) => completed))).toEqual([3n, 4n]);
    expect(domain.servers.get(asIoServId(0))).toBe(server);
    expect(server?.ranges).toHaveLength(2);
    expect(await read(BASE, 1).completed).toBe(3n);
  });

  it("20 times, without residue, with the kernel's help each time", async () => {
    let vm = open();
    const before = readdirSync('/proc/self/fd').length;
    for (let round = 0; round < 20; round++) {
      vm.map(RANGE, answering(BigInt(round)));
      using eventfd = EventFd.create();
      const wiring = vm.ioeventfd(NOTIFY, eventfd);
      expect(wiring.kernelAssisted).toBe(true);
      vm.connectIrq({ kind: 'line', irq: 33 }).irqfd(eventfd);
      await domain.access({ address: NOTIFY.guestAddr, size: 4, value: 0n }).completed;
      expect(await read(BASE).completed).toBe(BigInt(round));
      vm = open(await leave(vm));
    }
    expect(domain.servers.get(asIoServId(0))?.ioeventfds).toEqual([]);
    vm.map(RANGE, answering(5n));
    expect(await read(BASE).completed).toBe(5n);
    vm.close();
    expect(readdirSync('/proc/self/fd').length).toBeLessThanOrEqual(before);
  });

  it('closes without an answer to what was asked before that and not taken, which the next gives', async () => {
    const vm = open();
    vm.map(RANGE, answering(1n));
    const kept = await vm.keep();
    const waiting = read(BASE);
    vm.close();
    await new Promise(setImmediate);
    expect(waiting.done).toBe(false);
    expect(vm.counters.requests).toBe(0);
    expect(domain.servers.get(asIoServId(0))).toMatchObject({ enabled: true });
    const next = open(kept);
    next.map(RANGE, answering(2n));
    expect(await waiting.completed).toBe(2n);
  });

  it('is answered at the close of who leaves it to nobody', async () => {
    const vm = open();
    vm.map(RANGE, answering(1n));
    const waiting = read(BASE);
    vm.close();
    expect(await waiting.completed).toBe(1n);
  });

  it('finds an access unanswered that waited for its device, and carries it out once', async () => {
    const vm = open();
    const first: bigint[] = [];
    const ready = new Promise<void>(() => undefined);
    const write = (_: number, __: number, value: bigint): undefined => void first.push(value);
    vm.map(RANGE, { ready, read: () => 0n, write });
    const waiting = domain.access({ address: BASE, size: 4, value: 0x55n });
    await expect.poll(() => vm.counters.deferred).toBe(1);
    const kept = await leave(vm);
    expect(waiting.done).toBe(false);
    const second: bigint[] = [];
    open(kept).map(RANGE, { read: () => 0n, write: (_, __, value) => void second.push(value) });
    await waiting.completed;
    expect([first, second]).toEqual([[], [0x55n]]);
  });

  it('is told of an answer that who gave it died before telling of, and asked nothing again', async () => {
    const vm = open();
    vm.map(RANGE, answering(1n));
    const kept = await vm.keep();
    const waiting = read(BASE);
    vm.close();
    const page = domain.servers.get(asIoServId(0))?.page;
    if (page === undefined) throw new Error('no server');
    IOREQ.write(page, 0, { data: 9n });
    page.setUint8(IOREQ.OFFSETS.bits, STATE_IORESP_READY | IOREQ_BITS_DIR);
    const next = open(kept);
    next.map(RANGE, answering(2n));
    expect(await waiting.completed).toBe(9n);
    expect(next.counters.requests).toBe(0);
    expect(await read(BASE).completed).toBe(2n);
  });

  it('is left once an answer under way is given', async () => {
    const vm = open();
    let end = (): void => undefined;
    const write = (): Promise<void> =>
      new Promise((resolve) => {
        end = resolve;
      });
    vm.map(RANGE, { read: () => 0n, write });
    const waiting = domain.access({ address: BASE, size: 4, value: 0n });
    await expect.poll(() => vm.counters.deferred).toBe(1);
    let left = false;
    const leaving = leave(vm).finally(() => {
      left = true;
    });
    await new Promise(setImmediate);
    expect(left).toBe(false);
    end();
    await waiting.completed;
    open(await leaving);
  });

  it('is served on by who changes its mind, and taken from its devices when that closes', async () => {
    const vm = open();
    vm.map(RANGE, answering(1n));
    await vm.keep();
    const waiting = read(BASE);
    await new Promise(setImmediate);
    expect(waiting.done).toBe(false);
    vm.unkeep();
    expect(await waiting.completed).toBe(1n);
    vm.close();
    expect(domain.servers.size).toBe(0);
  });

  it.each([
    ['a server that is not there', { server: 5, vcpus: VCPUS, windows: [RANGE] }],
    ['another number of vCPUs', { server: 0, vcpus: VCPUS + 1, windows: [RANGE] }],
  ])('is not taken up with %s, and nothing is done to it', (_, kept) => {
    const other = open();
    other.map(RANGE, answering(1n));
    expect(() => open(kept)).toThrow(expect.objectContaining({ code: 'HYPERVISOR' }));
    expect(domain.servers.get(asIoServId(0))).toMatchObject({ enabled: true });
  });

  it('leaves to the next what it had not mapped again itself', async () => {
    const vm = open();
    vm.map(RANGE, answering(1n));
    vm.map(SECOND, answering(2n));
    const second = open(await leave(vm));
    second.map(RANGE, answering(3n));
    const third = open(await leave(second));
    third.map(RANGE, answering(5n));
    third.map(SECOND, answering(6n));
    expect(await read(SECOND.base).completed).toBe(6n);
    expect(domain.servers.get(asIoServId(0))?.ranges).toHaveLength(2);
  });
});

const pause = (b: Bench): Promise<void> => new Promise((paused) => b.dispatcher.pause(paused));

describe('A dispatcher that pauses', () => {
  it('takes nothing, and what came meanwhile first when it goes on', async () => {
    const b = new Bench();
    await pause(b);
    expect(b.ask({ isRead: true })).toBeUndefined();
    await pause(b);
    b.dispatcher.resume();
    expect(b.answer()).toBe(BigInt.asUintN(32, b.value));
  });

  it('leaves what nobody has taken when it closes', async () => {
    const b = new Bench();
    await pause(b);
    b.post({ isRead: true });
    b.dispatcher.close();
    expect(b.answer()).toBeUndefined();
    expect(b.dispatcher.counters.requests).toBe(0);
  });

  it('closes all the same, and pauses no more', async () => {
    const b = new Bench();
    b.held = new Promise(() => undefined);
    b.ask({});
    const paused = pause(b);
    b.dispatcher.close();
    await paused;
    await pause(b);
    expect(b.answer()).toBeDefined();
  });
});
