import type { CpuidEntry, KvmSregs, VcpuRegisters } from '@node-vmm/kvm-sys';

/** How a vCPU of x86 enters the guest for the first time. */
export interface EntryState {
  /** 32-bit protected mode with flat segments, paging and interrupts off, as the PVH ABI has it. */
  readonly mode: 'flat32';
  /** Address of the first instruction. */
  readonly rip: number;
  /** What is in EBX. */
  readonly rbx: number;
}

/** Ours: what the registers of {@link EntryState} are set to, by the PVH ABI (docs/misc/pvh.pandoc of Xen). */
const CR0_PE = 1n;
const FLAT = { base: 0n, limit: 0xffff_ffff, present: 1, dpl: 0, db: 1, s: 1, l: 0, g: 1, avl: 0 };
const CODE = { ...FLAT, type: 11, selector: 0x08, unusable: 0 };
const DATA = { ...FLAT, type: 3, selector: 0x10, unusable: 0 };
const TSS = { ...FLAT, limit: 0x67, db: 0, s: 0, g: 0, type: 11, selector: 0x18, unusable: 0 };
/** The bit of EFLAGS that is always set. */
const RFLAGS = 2n;

/** Leaves of CPUID that have the number of the local APIC. */
const FEATURES = 1;
const TOPOLOGY = [0xb, 0x1f];
const APIC_ID_SHIFT = 24;

/** Puts a vCPU at its beginning. @throws {KvmSysError} */
export function enterAt(registers: VcpuRegisters, { rip, rbx }: EntryState): void {
  const sregs: KvmSregs = registers.getSregs();
  registers.setSregs({
    ...sregs,
    cs: CODE,
    ds: DATA,
    es: DATA,
    fs: DATA,
    gs: DATA,
    ss: DATA,
    tr: TSS,
    cr0: CR0_PE,
    cr3: 0n,
    cr4: 0n,
    efer: 0n,
  });
  registers.setRegs({ rip: BigInt(rip), rbx: BigInt(rbx), rflags: RFLAGS });
}

/** What KVM can show of the processor, as the vCPU with that local APIC sees it. */
export function cpuidOf(supported: readonly CpuidEntry[], id: number): CpuidEntry[] {
  return supported.map((entry) => {
    if (entry.function === FEATURES) {
      const ebx = ((entry.ebx & 0x00ff_ffff) | (id << APIC_ID_SHIFT)) >>> 0;
      return { ...entry, ebx };
    }
    return TOPOLOGY.includes(entry.function) ? { ...entry, edx: id } : entry;
  });
}
