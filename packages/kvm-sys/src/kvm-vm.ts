import {
  asFd,
  checkInteger,
  checkU64,
  hex,
  type Mapping,
  PAGE_SIZE,
  ThreadInterrupt,
  U32_MAX,
} from '@node-vmm/vmm-sys-util';
import { KVM_CHECK_EXTENSION } from './abi/kvm.ts';
import {
  KVM_CREATE_DEVICE,
  KVM_CREATE_DEVICE_ARG,
  KVM_CREATE_DEVICE_TEST,
  KVM_CREATE_IRQCHIP,
  KVM_CREATE_PIT2,
  KVM_CREATE_VCPU,
  KVM_IRQ_LEVEL,
  KVM_IRQ_LINE,
  KVM_MEM_LOG_DIRTY_PAGES,
  KVM_MEM_READONLY,
  KVM_PIT_CONFIG,
  KVM_SET_GSI_ROUTING,
  KVM_SET_IDENTITY_MAP_ADDR,
  KVM_SET_TSS_ADDR,
  KVM_SET_USER_MEMORY_REGION,
  KVM_SIGNAL_MSI,
  KVM_USERSPACE_MEMORY_REGION,
} from './abi/vm.ts';
import { type Assignment, Assignments } from './assignments.ts';
import type { KvmDevice } from './device.ts';
import { KvmSysError, naming } from './errors.ts';
import { encodeIrqRouting, encodeMsi, type IrqRoute, type KvmMsi } from './irq-routing.ts';
import { type IoeventfdOptions, type IrqfdOptions, KvmNotification } from './notification.ts';
import { VcpuControl } from './vcpu-control.ts';

/** Memory of ours that a guest has as its own. */
export interface UserMemoryRegion {
  /** Number of the region, 0 to what KVM_CAP_NR_MEMSLOTS says, less 1. */
  readonly slot: number;
  /** Guest physical address, page-aligned. */
  readonly address: bigint;
  /** Where the memory is. It stays the caller's, and mapped until the assignment is closed. */
  readonly memory: Mapping;
  /** Byte offset in `memory`, page-aligned; default 0. */
  readonly offset?: number;
  /** Bytes, whole pages; default all that is behind `offset`. */
  readonly size?: number;
  /** Writes of the guest leave as MMIO. */
  readonly readOnly?: boolean;
  readonly logDirtyPages?: boolean;
}

/** A virtual machine. Made by `Kvm.createVm`; used by the thread that made it. */
export class KvmVm implements Disposable {
  readonly #device: KvmDevice;
  readonly #runSize: number;
  readonly #vcpus = new Set<VcpuControl>();
  readonly #assignments = new Assignments();
  readonly #notification: KvmNotification;
  #interrupt: ThreadInterrupt | undefined;

  /**
   * @param device - belongs to the VM from then on
   * @param runSize - bytes that a vCPU shares with its thread, from `Kvm.vcpuMmapSize`
   */
  constructor(device: KvmDevice, runSize: number) {
    this.#device = device;
    this.#runSize = runSize;
    this.#notification = new KvmNotification(device, this.#assignments);
  }

  get live(): boolean {
    return this.#device.live;
  }

  /** As `Kvm.checkExtension`, for this VM. @throws {KvmSysError} */
  checkExtension(capability: number): number {
    checkInteger('capability', capability, 0, 0x7fff_ffff);
    return naming(`check capability ${capability} of a VM`, () =>
      this.#device.ioctlNumber(KVM_CHECK_EXTENSION, capability),
    );
  }

  /**
   * Gives memory to the guest, from now until the assignment or the VM is closed.
   *
   * @throws {KvmSysError} IN_USE when it overlaps another, INVALID, EXHAUSTED
   * @throws {RangeError} when it is not within `memory`, or not of whole pages
   */
  setUserMemoryRegion(region: UserMemoryRegion): Assignment {
    const { slot, address, memory, offset = 0, size = memory.length - offset } = region;
    checkInteger('slot', slot, 0, U32_MAX);
    checkU64('address', address);
    checkInteger('offset', offset, 0, memory.length);
    checkInteger('size', size, PAGE_SIZE, memory.length - offset);
    if (offset % PAGE_SIZE !== 0 || size % PAGE_SIZE !== 0 || address % BigInt(PAGE_SIZE) !== 0n) {
      throw new RangeError(
        `Cannot give memory to the guest at ${hex(address)}: it is not of whole pages`,
      );
    }
    if (!memory.live) throw new RangeError('Cannot give memory to the guest: it is unmapped');
    const set = (memory_size: bigint): void => {
      const flags =
        (region.readOnly === true ? KVM_MEM_READONLY : 0) |
        (region.logDirtyPages === true ? KVM_MEM_LOG_DIRTY_PAGES : 0);
      const argument = KVM_USERSPACE_MEMORY_REGION.encode({
        slot,
        flags: memory_size === 0n ? 0 : flags,
        guest_phys_addr: address,
        memory_size,
        userspace_addr: memory.pointer + BigInt(offset),
      });
      const verb = memory_size === 0n ? 'take memory from' : 'give memory to';
      naming(`${verb} the guest at ${hex(address)} (slot ${slot})`, () =>
        this.#device.ioctl(KVM_SET_USER_MEMORY_REGION, argument),
      );
    };
    set(BigInt(size));
    return this.#assignments.add(() => set(0n));
  }

  /** Has the kernel turn writes of the guest into signals. @throws {KvmSysError} IN_USE, INVALID */
  ioeventfd(options: IoeventfdOptions): Assignment {
    return this.#notification.ioeventfd(options);
  }

  /** Has the kernel turn signals into interrupts. @throws {KvmSysError} IN_USE, INVALID */
  irqfd(options: IrqfdOptions): Assignment {
    return this.#notification.irqfd(options);
  }

  /**
   * Says where interrupts come out, all of them: what was said before is gone.
   *
   * @throws {KvmSysError} INVALID, among others when there is no interrupt controller in the kernel
   */
  setGsiRouting(routes: readonly IrqRoute[]): void {
    const argument = encodeIrqRouting(routes);
    naming('route interrupts', () => this.#device.ioctl(KVM_SET_GSI_ROUTING, argument));
  }

  /**
   * Sets the level of an interrupt line; an edge is 1 and then 0.
   *
   * @param irq - x86: a GSI; arm64: type, vCPU and number, see `KVM_ARM_IRQ_TYPE_SHIFT`
   * @throws {KvmSysError} UNSUPPORTED without an interrupt controller in the kernel
   */
  irqLine(irq: number, level: 0 | 1): void {
    checkInteger('irq', irq, 0, U32_MAX);
    const argument = KVM_IRQ_LEVEL.encode({ irq, level });
    naming(`set interrupt line ${irq} to ${level}`, () =>
      this.#device.ioctl(KVM_IRQ_LINE, argument),
    );
  }

  /**
   * Delivers a message-signalled interrupt.
   *
   * @returns false when the guest has it blocked
   * @throws {KvmSysError} INVALID without an interrupt controller in the kernel
   */
  signalMsi(msi: KvmMsi): boolean {
    const argument = encodeMsi(msi);
    return naming('signal an MSI', () => this.#device.ioctl(KVM_SIGNAL_MSI, argument)) > 0;
  }

  /** Makes PICs and I/O APIC, and a local APIC for each vCPU made later. @throws {KvmSysError} IN_USE */
  createIrqchip(): void {
    naming('create an interrupt controller', () => this.#device.ioctlNumber(KVM_CREATE_IRQCHIP, 0));
  }

  /** x86: makes a timer, after `createIrqchip`. @throws {KvmSysError} IN_USE, NOT_FOUND, UNSUPPORTED */
  createPit2(): void {
    naming('create a timer', () => this.#device.ioctl(KVM_CREATE_PIT2, KVM_PIT_CONFIG.encode({})));
  }

  /**
   * x86 with Intel's processors: three pages below 4 GiB that the kernel may use in the guest's addresses.
   *
   * @throws {KvmSysError} INVALID, UNSUPPORTED
   */
  setTssAddress(address: number): void {
    checkInteger('address', address, 0, U32_MAX);
    naming(`set the address of the TSS to ${hex(address)}`, () =>
      this.#device.ioctlNumber(KVM_SET_TSS_ADDR, address),
    );
  }

  /** x86 with Intel's processors: one such page more, before the first vCPU. @throws {KvmSysError} */
  setIdentityMapAddress(address: number): void {
    checkInteger('address', address, 0, U32_MAX);
    naming(`set the address of the identity map to ${hex(address)}`, () =>
      this.#device.ioctl(KVM_SET_IDENTITY_MAP_ADDR, BigUint64Array.of(BigInt(address))),
    );
  }

  /**
   * Makes a device in the kernel, such as an interrupt controller of arm64 (`KVM_DEV_TYPE_ARM_VGIC_V3`).
   *
   * @returns its descriptor, to be closed by the caller
   * @throws {KvmSysError} UNSUPPORTED, IN_USE
   */
  createDevice(type: number): KvmDevice {
    const fd = this.#createDevice(type, 0);
    return this.#device.derive(asFd(fd), `device of type ${type}`);
  }

  /** Whether {@link createDevice} knows that type. */
  hasDevice(type: number): boolean {
    try {
      this.#createDevice(type, KVM_CREATE_DEVICE_TEST);
      return true;
    } catch (error) {
      if (KvmSysError.is(error, 'UNSUPPORTED')) return false;
      throw error;
    }
  }

  #createDevice(type: number, flags: number): number {
    const argument = KVM_CREATE_DEVICE_ARG.encode({
      type: checkInteger('type', type, 0, U32_MAX),
      flags,
    });
    naming(`create a device of type ${type}`, () =>
      this.#device.ioctl(KVM_CREATE_DEVICE, argument),
    );
    return KVM_CREATE_DEVICE_ARG.decode(argument).fd;
  }

  /**
   * Makes a vCPU. What is returned owns it and stays with this thread; its ticket is for the thread that
   * is to run it.
   *
   * @param id - 0 to what KVM_CAP_MAX_VCPUS says, less 1; on x86 the number of its local APIC
   * @throws {KvmSysError} IN_USE when there is one, INVALID, EXHAUSTED
   */
  createVcpu(id: number): VcpuControl {
    checkInteger('id', id, 0, 0x7fff_ffff);
    this.#interrupt ??= ThreadInterrupt.install();
    const fd = naming(`create vCPU ${id}`, () => this.#device.ioctlNumber(KVM_CREATE_VCPU, id), {
      vcpu: id,
    });
    const control = VcpuControl.create(this.#device.derive(asFd(fd), `vCPU ${id}`), {
      id,
      runSize: this.#runSize,
      interrupt: this.#interrupt,
    });
    this.#vcpus.add(control);
    return control;
  }

  /**
   * Closes the vCPUs, takes back memory and eventfds, and closes the VM. Idempotent.
   *
   * @throws {KvmSysError} IN_USE while a thread has one of the vCPUs: the VM is as it was
   */
  close(): void {
    if (!this.live) return;
    for (const vcpu of this.#vcpus) vcpu.close();
    // Somebody else may have the descriptor still, and memory that is unmapped later must not be the
    // guest's. What cannot be taken back because its eventfd is closed ends with the VM.
    this.#assignments.closeAll();
    this.#device.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
