import { KVM_CAP_MAX_VCPUS, type Kvm, type KvmVm } from '@node-vmm/kvm-sys';
import type { GuestRange } from '@node-vmm/vm-memory';
import { KvmMachineError } from './errors.ts';
import { MachineMemory } from './machine-memory.ts';
import { PC_LAYOUT } from './pc-layout.ts';

/** Ours: numbers of local APICs have 8 bits, and the last one means all. */
const VCPUS_MAX = 254;

/** What the kernel has of a machine, with memory in place. */
export class MachineParts {
  readonly vm: KvmVm;
  readonly memory: MachineMemory;
  readonly vcpus: number;

  private constructor(vm: KvmVm, memory: MachineMemory, vcpus: number) {
    this.vm = vm;
    this.memory = memory;
    this.vcpus = vcpus;
  }

  /**
   * @throws {KvmMachineError} BAD_OPTION, NO_HUGE_PAGES
   * @throws {KvmSysError}
   * @throws {SysError}
   */
  static create(
    kvm: Kvm,
    banks: readonly GuestRange[],
    options: { readonly vcpus?: number; readonly name?: string; readonly hugePageSize?: number },
  ): MachineParts {
    const { vcpus = 1, name = 'kvm' } = options;
    const most = Math.min(VCPUS_MAX, kvm.checkExtension(KVM_CAP_MAX_VCPUS));
    if (!Number.isSafeInteger(vcpus) || vcpus < 1 || vcpus > most) {
      const text = `Cannot make a machine with ${vcpus} vCPUs: use 1 to ${most}`;
      throw new KvmMachineError('BAD_OPTION', text);
    }
    const memory = MachineMemory.create(`${name}-ram`, banks, options.hugePageSize);
    try {
      const vm = kvm.createVm();
      const parts = new MachineParts(vm, memory, vcpus);
      try {
        vm.setTssAddress(PC_LAYOUT.TSS);
        vm.setIdentityMapAddress(PC_LAYOUT.IDENTITY_MAP);
        vm.createIrqchip();
        memory.give(vm);
        return parts;
      } catch (error) {
        vm.close();
        throw error;
      }
    } catch (error) {
      memory.close();
      throw error;
    }
  }

  /** When no thread has a vCPU any more. Idempotent. @throws {KvmSysError} IN_USE */
  close(): void {
    // In this order: the guest must not have what is unmapped.
    this.vm.close();
    this.memory.close();
  }
}
