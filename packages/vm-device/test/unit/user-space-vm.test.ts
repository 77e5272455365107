import { VmError } from '@node-vmm/vm-device';
import { runVmCases } from '@node-vmm/vm-device/testing';
import { EventFd, MainPoller } from '@node-vmm/vmm-sys-util';
import { describe, expect, it } from 'vitest';
import { DirectVm, type DirectVmOptions } from '../direct-vm.ts';

const NOTHING = { read: () => 0n, write: () => undefined };

const machines: readonly DirectVmOptions[] = [
  { ports: true, carrier: 'level' },
  { ports: true, carrier: 'edge' },
  { ports: false, carrier: 'message' },
];

describe.each(machines)('compliance of a machine without hypervisor, %o', (options) => {
  runVmCases(it, () => {
    const poller = new MainPoller();
    const vm = new DirectVm(poller, options);
    return {
      vm,
      guest: vm,
      base: 0x200_0000n,
      ...(options.ports ? { port: 0x600n } : {}),
      irq: vm.irq,
      irqSharing: options.carrier !== 'edge',
      vcpus: 2,
      kernelAssisted: false,
      interruptsAssisted: false,
      checkReleased: () => {
        expect(vm.claimed.size).toBe(0);
        expect(vm.released).toBe(1);
        expect(poller.size).toBe(0);
      },
      close: () => poller.close(),
    };
  });
});

describe('UserSpaceVm', () => {
  it('gives a window back whose claim the hypervisor refused', () => {
    using poller = new MainPoller();
    class Refusing extends DirectVm {
      refuses = true;
      protected override claim(): () => void {
        if (this.refuses) throw new VmError('HYPERVISOR', 'Cannot claim: refused');
        return () => undefined;
      }
    }
    using vm = new Refusing(poller, { ports: true, carrier: 'level' });
    const range = { space: 'port', base: 0x600n, length: 4 } as const;
    expect(() => vm.map(range, NOTHING)).toThrow(expect.objectContaining({ code: 'HYPERVISOR' }));
    vm.refuses = false;
    vm.map(range, NOTHING).close();
  });

  it('says in an error which machine, space and register it is about', () => {
    using poller = new MainPoller();
    using vm = new DirectVm(poller, { ports: false, carrier: 'edge' });
    using eventfd = EventFd.create();
    const of = (action: () => unknown): unknown => {
      try {
        return action();
      } catch (error) {
        expect(VmError.is(error)).toBe(true);
        return (error as VmError).message;
      }
    };
    const pci = { space: 'pci-config', base: 0x1000n, length: 0x100 } as const;
    expect(of(() => vm.map(pci, NOTHING))).toBe(
      'Cannot map a PCI configuration window of 256 bytes at 0x1000: ' +
        'direct has no PCI configuration space for devices',
    );
    const register = { space: 'port', guestAddr: 0x60n, length: 1 } as const;
    expect(of(() => vm.ioeventfd(register, eventfd))).toBe(
      'Cannot wire port 0x60: direct has no I/O ports for devices',
    );
    expect(of(() => vm.ioeventfd({ guestAddr: 0x60n, length: 1 }, eventfd))).toBe(
      'Cannot wire the register at 0x60: it is not in an MMIO window that was mapped; map it first',
    );
  });

  it('asks for memory once, at first use, and not once closed', () => {
    using poller = new MainPoller();
    const vm = new DirectVm(poller, { ports: false, carrier: 'edge' });
    expect(vm.memory).toBe(vm.memory);
    vm.close();
    const closed = new DirectVm(poller, { ports: false, carrier: 'edge' });
    closed.close();
    expect(() => closed.memory).toThrow(expect.objectContaining({ code: 'CLOSED' }));
  });

  it('counts the interrupts that devices raise', () => {
    using poller = new MainPoller();
    using vm = new DirectVm(poller, { ports: false, carrier: 'edge' });
    const source = vm.connectIrq({ kind: 'line', irq: vm.irq });
    source.raise();
    source.raise();
    source.lower();
    source.close();
    expect(() => source.raise()).toThrow();
    expect(vm.interrupts).toBe(2);
  });

  it('keeps the trigger that a device asked for', () => {
    using poller = new MainPoller();
    using vm = new DirectVm(poller, { ports: false, carrier: 'edge' });
    const level = { kind: 'line', irq: vm.irq, trigger: 'level' } as const;
    expect(vm.connectIrq(level).interrupt).toBe(level);
    vm.connectIrq(level);
    expect(() => vm.connectIrq({ ...level, trigger: 'edge' })).toThrow(
      expect.objectContaining({ code: 'IRQ_IN_USE', context: { vm: 'direct', irq: 9 } }),
    );
  });
});
