import { Kvm } from '@node-vmm/kvm-sys';
import { KvmMachine } from '@node-vmm/kvm-vm';
import { runVmCases } from '@node-vmm/vm-device/testing';
import { DispatchThread } from '@node-vmm/vm-dispatch';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { unavailable } from './fixtures/available.ts';
import { MailboxGuest } from './fixtures/mailbox-guest.ts';

const VCPUS = 2;
const BASE = 0xd000_0000n;
const IRQ = 5;

describe.skipIf(unavailable)(`compliance of KvmMachine ${unavailable ?? 'on /dev/kvm'}`, () => {
  const dispatcher = new MainPoller();
  let thread: DispatchThread;
  beforeAll(async () => {
    thread = await DispatchThread.start({ poller: dispatcher });
  });
  afterAll(async () => {
    thread.close();
    await thread.ended;
    dispatcher.close();
  });
  /** Who does what: the kernel what it can, this thread, or a dispatch thread. */
  describe.each(['kernel', 'user', 'dispatched'] as const)('by %s', (mode) => {
    const notification = mode === 'kernel' ? 'kernel' : 'user';
    runVmCases(it, async () => {
      const kvm = Kvm.open();
      const poller = new MainPoller();
      const vm = KvmMachine.create(
        { kvm, poller, ...(mode === 'dispatched' ? { host: thread } : {}) },
        { memory: 2 << 20, vcpus: VCPUS, notification },
      );
      const guest = await MailboxGuest.start(vm, VCPUS);
      const byKernel = notification === 'kernel';
      return {
        vm,
        guest,
        base: BASE,
        port: 0x600n,
        irq: IRQ,
        irqSharing: true,
        message: { address: 0xfee0_0000n, data: 0x30 + IRQ },
        vcpus: VCPUS,
        kernelAssisted: byKernel,
        interruptsAssisted: byKernel,
        checkReleased: async () => {
          await vm.closed;
          expect(await vm.ended).toEqual({ kind: 'closed' });
          expect(poller.size).toBe(0);
        },
        close: async () => {
          await vm.closed;
          guest.close();
          poller.close();
          kvm.close();
        },
      };
    });
  });
});
