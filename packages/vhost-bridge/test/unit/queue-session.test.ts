import type { Vm, Wiring } from '@node-vmm/vm-device';
import { InterruptTimer, ThreadInterrupt } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BackendLink } from '../../src/backend-link.ts';
import type { DeviceRegisters } from '../../src/device-registers.ts';
import { QueueSession } from '../../src/queue-session.ts';
import { MemoryLogger } from '../../src/testing/index.ts';

const wiring = (kernelAssisted: boolean): Wiring => {
  const close = (): void => undefined;
  return { kernelAssisted, close, [Symbol.dispose]: close };
};
const queue = (index: number) => ({ index, size: 16, descTable: 0n, availRing: 0n, usedRing: 0n });

describe('QueueSession: which interrupts the kernel raises', () => {
  let guard: InterruptTimer;
  let session: QueueSession;
  /** What the kernel does for the next queue. */
  let kernel: { notifications: boolean; interrupts: boolean };
  /** What the registers were told last. */
  let told: boolean | undefined;

  beforeEach(() => {
    guard = new InterruptTimer(ThreadInterrupt.install());
    told = undefined;
    // Only what a session asks of them when it wires queues and takes them back.
    const vm = { ioeventfd: () => wiring(kernel.notifications) } as unknown as Vm;
    const registers = {
      irqfd: () => wiring(kernel.interrupts),
      setVringInterruptsAssisted: (on: boolean) => {
        told = on;
      },
    } as unknown as DeviceRegisters;
    session = new QueueSession(
      {
        place: { vm, base: 0x200_0000n },
        registers,
        link: { frontend: undefined } as unknown as BackendLink,
        inOrder: true,
        inflight: undefined,
        guard,
        logger: new MemoryLogger(),
      },
      0n,
    );
  });
  afterEach(async () => {
    await session.end();
    guard.close();
  });

  it('is said of each queue, and of the device while it is so of any', async () => {
    kernel = { notifications: true, interrupts: true };
    session.wire(queue(0));
    expect(told).toBe(true);
    // What the kernel cannot do for one queue it does for the other all the same.
    kernel = { notifications: true, interrupts: false };
    session.wire(queue(1));
    expect(told).toBe(true);
    expect(session.status()).toMatchObject([
      { queue: 0, notificationsAssisted: true, interruptsAssisted: true },
      { queue: 1, notificationsAssisted: true, interruptsAssisted: false },
    ]);
    // One queue's end leaves what is true of the rest.
    await session.stop(0);
    expect(told).toBe(false);
    kernel = { notifications: false, interrupts: true };
    session.wire(queue(0));
    expect(told).toBe(true);
  });
});
