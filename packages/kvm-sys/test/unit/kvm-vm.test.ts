import { EEXIST, EINVAL, ENODEV, EPERM, EventFd, Mapping } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  KVM_CREATE_DEVICE_ARG,
  KVM_DEV_TYPE_ARM_VGIC_V3,
  KVM_IOEVENTFD_ARG,
  KVM_IRQ_LEVEL,
  KVM_IRQ_ROUTING_ENTRY,
  KVM_IRQFD_ARG,
  KVM_MSI,
  KVM_USERSPACE_MEMORY_REGION,
  Kvm,
  KvmSysError,
  type KvmVm,
} from '../../src/index.ts';
import { FakeDevice, FakeKernel } from '../fixtures/fake-device.ts';

let kernel: FakeKernel;
let vm: KvmVm;
let memory: Mapping;
let eventfd: EventFd;
beforeEach(() => {
  kernel = new FakeKernel();
  vm = Kvm.fromDevice(new FakeDevice(kernel)).createVm();
  memory = Mapping.create({ length: 0x4000 });
  eventfd = EventFd.create();
});
afterEach(() => {
  vm.close();
  memory.close();
  eventfd.close();
});

const codeOf = (call: () => unknown): string | undefined => {
  try {
    call();
  } catch (error) {
    return KvmSysError.is(error) ? error.code : String(error);
  }
  return undefined;
};
/** Both calls of an assignment: the one that made it and the one that took it back. */
const bothOf = (name: string): [Uint8Array, Uint8Array] => {
  const [first, second, ...more] = kernel.of(name).map(({ bytes }) => bytes);
  if (!first || !second || more.length > 0) throw new Error(`no two calls of ${name}`);
  return [first, second];
};

describe('memory', () => {
  it('is given by its address here, and taken back by a size of 0, once', () => {
    const region = vm.setUserMemoryRegion({
      slot: 3,
      address: 0x1_0000_0000n,
      memory,
      offset: 0x1000,
      size: 0x2000,
      readOnly: true,
      logDirtyPages: true,
    });
    region.close();
    region.close();
    const [given, taken] = bothOf('KVM_SET_USER_MEMORY_REGION');
    expect(KVM_USERSPACE_MEMORY_REGION.decode(given)).toEqual({
      slot: 3,
      flags: 3,
      guest_phys_addr: 0x1_0000_0000n,
      memory_size: 0x2000n,
      userspace_addr: memory.pointer + 0x1000n,
    });
    expect(KVM_USERSPACE_MEMORY_REGION.decode(taken)).toMatchObject({ slot: 3, memory_size: 0n });
  });

  it.each([
    { offset: 0x3000, size: 0x2000 },
    { offset: 0x5000 },
    { offset: -0x1000 },
    { offset: 0x800 },
    { size: 0x800 },
    { size: 0 },
    { address: 0x800n },
    { address: -1n },
    { slot: -1 },
  ])('is not given where it is not all there: %o', (wrong) => {
    const region = { slot: 0, address: 0n, memory, ...wrong };
    expect(() => vm.setUserMemoryRegion(region)).toThrow(RangeError);
    expect(kernel.of('KVM_SET_USER_MEMORY_REGION')).toEqual([]);
  });

  it('is not given when it is unmapped', () => {
    memory.close();
    expect(() => vm.setUserMemoryRegion({ slot: 0, address: 0n, memory })).toThrow(/unmapped/);
  });

  it('is taken back with the VM, the newest first', () => {
    for (const slot of [0, 1]) vm.setUserMemoryRegion({ slot, address: 0n, memory });
    vm.close();
    vm.close();
    const slots = kernel
      .of('KVM_SET_USER_MEMORY_REGION')
      .map(({ bytes = new Uint8Array() }) => KVM_USERSPACE_MEMORY_REGION.decode(bytes).slot);
    expect(slots).toEqual([0, 1, 1, 0]);
    expect(kernel.closed).toEqual(['VM']);
  });

  it('that overlaps is named with the reason', () => {
    kernel.answers.set('KVM_SET_USER_MEMORY_REGION', () => -EEXIST);
    expect(() => vm.setUserMemoryRegion({ slot: 2, address: 0x1000n, memory })).toThrow(
      'Cannot give memory to the guest at 0x1000 (slot 2): EEXIST',
    );
  });
});

describe('notification', () => {
  it('an ioeventfd has flags for its space and its value', () => {
    const address = 0xd000_0050n;
    vm.ioeventfd({ space: 'memory', address, length: 4, datamatch: 5n, eventfd }).close();
    const [assigned, taken] = bothOf('KVM_IOEVENTFD').map((bytes) =>
      KVM_IOEVENTFD_ARG.decode(bytes),
    );
    const same = { addr: address, len: 4, datamatch: 5n, fd: eventfd.fd };
    expect(assigned).toEqual({ ...same, flags: 1 });
    expect(taken).toEqual({ ...same, flags: 5 });
  });

  it('an ioeventfd of a port takes any value by default', () => {
    vm.ioeventfd({ space: 'port', address: 0x3f8n, length: 0, eventfd });
    expect(KVM_IOEVENTFD_ARG.decode(kernel.argument('KVM_IOEVENTFD'))).toMatchObject({
      flags: 2,
      len: 0,
      datamatch: 0n,
    });
  });

  it('an irqfd may have one to hear of acknowledgements', () => {
    using resample = EventFd.create();
    vm.irqfd({ gsi: 5, eventfd, resample }).close();
    const [assigned, taken] = bothOf('KVM_IRQFD').map((bytes) => KVM_IRQFD_ARG.decode(bytes));
    const same = { fd: eventfd.fd, gsi: 5 };
    expect(assigned).toEqual({ ...same, flags: 2, resamplefd: resample.fd });
    expect(taken).toEqual({ ...same, flags: 1, resamplefd: 0 });
  });

  it('what the kernel refuses is no assignment', () => {
    kernel.answers.set('KVM_IRQFD', () => -EINVAL);
    expect(codeOf(() => vm.irqfd({ gsi: 5, eventfd }))).toBe('INVALID');
    vm.close();
    expect(kernel.of('KVM_IRQFD')).toHaveLength(1);
  });

  it('what cannot be taken back does not keep the VM from being closed', () => {
    vm.irqfd({ gsi: 5, eventfd });
    kernel.answers.set('KVM_IRQFD', () => -EINVAL);
    vm.close();
    expect(kernel.closed).toEqual(['VM']);
  });
});

describe('interrupts', () => {
  it('lines have a number and a level', () => {
    vm.irqLine(0x0100_0020, 1);
    const argument = KVM_IRQ_LEVEL.decode(kernel.argument('KVM_IRQ_LINE'));
    expect(argument).toEqual({ irq: 0x0100_0020, level: 1 });
  });

  it('messages have an address of 64 bits, and a device where one is given', () => {
    kernel.answers.set('KVM_SIGNAL_MSI', () => 1);
    expect(vm.signalMsi({ address: 0x1_fee0_0000n, data: 0x41, deviceId: 7 })).toBe(true);
    expect(KVM_MSI.decode(kernel.argument('KVM_SIGNAL_MSI'))).toEqual({
      address_lo: 0xfee0_0000,
      address_hi: 1,
      data: 0x41,
      flags: 1,
      devid: 7,
    });
    kernel.answers.set('KVM_SIGNAL_MSI', () => 0);
    expect(vm.signalMsi({ address: 0n, data: 0 })).toBe(false);
  });

  it('routes are told all at once', () => {
    vm.setGsiRouting([
      { gsi: 5, type: 'irqchip', irqchip: 2, pin: 11 },
      { gsi: 24, type: 'msi', address: 0x2_fee0_1000n, data: 0x42 },
    ]);
    const bytes = kernel.argument('KVM_SET_GSI_ROUTING');
    const view = new DataView(bytes.buffer);
    expect([view.getUint32(0, true), view.getUint32(4, true), bytes.length]).toEqual([2, 0, 104]);
    const [line, message] = [8, 56].map((at) => KVM_IRQ_ROUTING_ENTRY.read(view, at));
    expect(line).toMatchObject({ gsi: 5, type: 1, flags: 0 });
    expect(message).toMatchObject({ gsi: 24, type: 2, flags: 0 });
    const words = [line, message].map((entry) => [
      ...new Uint32Array(Uint8Array.from(entry?.u ?? []).buffer),
    ]);
    expect(words).toEqual([
      [2, 11, 0, 0, 0, 0, 0, 0],
      [0xfee0_1000, 2, 0x42, 0, 0, 0, 0, 0],
    ]);
  });

  it('nothing that does not fit is told', () => {
    expect(() => vm.irqLine(-1, 1)).toThrow(RangeError);
    expect(() => vm.signalMsi({ address: 1n << 64n, data: 0 })).toThrow(RangeError);
    expect(() => vm.signalMsi({ address: 0n, data: 2 ** 32 })).toThrow(RangeError);
    expect(() => vm.irqfd({ gsi: 2 ** 32, eventfd })).toThrow(RangeError);
    expect(kernel.of('KVM_SIGNAL_MSI')).toEqual([]);
  });
});

describe('devices in the kernel', () => {
  it('have a descriptor of their own', () => {
    kernel.answers.set('KVM_CREATE_DEVICE', (argument) => {
      KVM_CREATE_DEVICE_ARG.set(new DataView(argument.buffer), 0, 'fd', 77);
      return 0;
    });
    const device = vm.createDevice(KVM_DEV_TYPE_ARM_VGIC_V3);
    expect(device.fd).toBe(77);
    const argument = KVM_CREATE_DEVICE_ARG.decode(kernel.argument('KVM_CREATE_DEVICE'));
    expect(argument).toMatchObject({ type: 7, flags: 0 });
  });

  it('can be asked for', () => {
    expect(vm.hasDevice(KVM_DEV_TYPE_ARM_VGIC_V3)).toBe(true);
    kernel.answers.set('KVM_CREATE_DEVICE', () => -ENODEV);
    expect(vm.hasDevice(KVM_DEV_TYPE_ARM_VGIC_V3)).toBe(false);
    kernel.answers.set('KVM_CREATE_DEVICE', () => -EPERM);
    expect(codeOf(() => vm.hasDevice(KVM_DEV_TYPE_ARM_VGIC_V3))).toBe('NOT_PERMITTED');
    expect(kernel.of('KVM_CREATE_DEVICE').map(({ bytes }) => bytes?.[8])).toEqual([1, 1, 1]);
  });
});
