import { readdirSync } from 'node:fs';
import { SimulatedVm } from '@node-vmm/ioreq-eventfd/simulated';
import { SimulatedTestGuest, simulatedVmUnderTest } from '@node-vmm/ioreq-eventfd/testing';
import { runVmCases } from '@node-vmm/vm-device/testing';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { describe, expect, it } from 'vitest';

describe('compliance of SimulatedVm', () => {
  runVmCases(it, () => {
    const poller = new MainPoller();
    const subject = simulatedVmUnderTest({ poller });
    return {
      ...subject,
      checkReleased: () => expect(poller.size).toBe(0),
      close: () => {
        subject.close();
        poller.close();
      },
    };
  });
});

const openFds = (): number => readdirSync('/proc/self/fd').length;

describe('SimulatedVm', () => {
  it('refuses kernel-assisted notification and interrupts that it does not have', () => {
    using poller = new MainPoller();
    expect(() => SimulatedVm.create({ poller }, { notification: 'kernel' })).toThrow(
      expect.objectContaining({ code: 'NOT_SUPPORTED' }),
    );
    using vm = SimulatedVm.create({ poller }, { irqs: [33] });
    expect(() => vm.connectIrq({ kind: 'line', irq: 34 })).toThrow(
      expect.objectContaining({ code: 'BAD_IRQ' }),
    );
  });

  it('leaves nothing open, also when it cannot be made', () => {
    using poller = new MainPoller();
    SimulatedVm.create({ poller }).close();
    const before = openFds();
    for (let i = 0; i < 20; i++) {
      SimulatedVm.create({ poller }, { vcpus: 3 }).close();
      expect(() => SimulatedVm.create({ poller }, { vcpus: 129 })).toThrow(
        expect.objectContaining({ code: 'NOT_SUPPORTED' }),
      );
    }
    expect(openFds()).toBe(before);
    expect(poller.size).toBe(0);
  });

  it('serves what its guest has posted and nobody has looked at when it is closed', async () => {
    using poller = new MainPoller();
    const vm = SimulatedVm.create({ poller }, { vcpus: 2 });
    using guest = new SimulatedTestGuest(vm.guestResources());
    vm.map(
      { space: 'memory', base: 0x200_0000n, length: 0x200 },
      { read: () => 42n, write: () => undefined },
    );
    const reads = [0, 1].map((vcpu) => guest.read(0x200_0000n, 4, { vcpu }));
    vm.close();
    expect(await Promise.all(reads)).toEqual([42n, 42n]);
  });

  it('describes itself in plain JSON', () => {
    using poller = new MainPoller();
    using vm = SimulatedVm.create({ poller }, { vcpus: 2, irqs: [33, 34] });
    const { machine, fds } = vm.guestResources([{ base: 0x200_0000n, irq: 33 }]);
    expect(JSON.parse(JSON.stringify(machine))).toEqual(machine);
    expect(fds).toHaveLength(1 + 1 + 2 * 2 + 2);
    expect(machine.devices).toEqual([{ base: '0x2000000', irq: 33 }]);
    expect(machine.ram).toEqual([
      { guestAddr: '0x40000000', length: 16 * 1024 * 1024, memoryFd: 1, fdOffset: 0 },
    ]);
  });
});
