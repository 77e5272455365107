import { SimulatedVm } from '@node-vmm/ioreq-eventfd/simulated';
import { type GuestAddress, guestAddress } from '@node-vmm/vm-memory';
import { InterruptTimer, MainPoller, ThreadInterrupt } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { QueueWiring } from '../../src/queue-wiring.ts';

const BASE = 0x200_0000n;
const RING = 0x4000_0000n;
const AVAIL = RING + 0x1000n;
const USED = RING + 0x2000n;

describe('A queue whose back-end has died', () => {
  let poller: MainPoller;
  let vm: SimulatedVm;
  let guard: InterruptTimer;
  let wiring: QueueWiring;
  const at = (address: bigint): GuestAddress => guestAddress(address);

  beforeEach(() => {
    poller = new MainPoller();
    guard = new InterruptTimer(ThreadInterrupt.install());
    vm = SimulatedVm.create({ poller });
    vm.map({ space: 'memory', base: BASE, length: 0x200 }, { read: () => 0n, write() {} });
    const irq = vm.connectIrq({ kind: 'line', irq: 33 });
    wiring = new QueueWiring(
      { vm, base: BASE },
      { index: 0, size: 16, descTable: RING, availRing: AVAIL, usedRing: USED },
      (call) => irq.irqfd(call),
      guard,
      () => undefined,
    );
    wiring.handOver(0n, false);
    // Ten requests with heads 0 to 9, of which the last five came back first.
    for (let i = 0; i < 10; i++) vm.memory.writeU16(at(AVAIL + 4n + BigInt(2 * i)), i);
    vm.memory.writeU16(at(AVAIL + 2n), 10);
    [5, 6, 7, 8, 9].forEach((head, i) => {
      vm.memory.writeU32(at(USED + 4n + BigInt(8 * i)), head);
    });
    vm.memory.writeU16(at(USED + 2n), 5);
  });
  afterEach(() => {
    wiring.close();
    guard.close();
    vm.close();
    poller.close();
  });

  it('goes to no other one while requests are unfinished, since it is not known which', () => {
    expect(() => wiring.handOver(0n, false)).toThrow(
      expect.objectContaining({ code: 'UNKNOWN_ORDER' }),
    );
  });

  it('goes on behind what was returned when none is', () => {
    vm.memory.writeU16(at(USED + 2n), 10);
    expect(wiring.handOver(0n, false)).toBe(10);
  });

  it('has no indices where the memory of the ring is gone', () => {
    expect(wiring.indices).toEqual({ used: 5, avail: 10 });
    vm.memory.close();
    expect(wiring.indices).toBeUndefined();
  });

  it('goes on behind what was returned where that was in order', () => {
    expect(wiring.handOver(0n, true)).toBe(5);
  });
});
