import * as arm from './abi/arch-arm.ts';
import * as x86 from './abi/arch-x86.ts';
import { XEN_PAGE_SIZE } from './abi/xen.ts';

/** A range of guest physical addresses, and what is there. */
export interface LayoutRange {
  readonly base: bigint;
  /** Bytes. */
  readonly size: bigint;
  readonly what: string;
}

/** How the toolstack lays out guests of an architecture. */
export interface GuestLayout {
  /** Where RAM may be, from the start of each range on; how much is there, the guest must be asked. */
  readonly ram: readonly LayoutRange[];
  /** Where no device model may put a device: the hypervisor or firmware has something there. */
  readonly reserved: readonly LayoutRange[];
}

const PAGE = BigInt(XEN_PAGE_SIZE);
const MIB = 0x10_0000n;
const GIB_4 = 0x1_0000_0000n;
/** As much as four-level page tables reach. */
const X86_END = 1n << 48n;

const range = (base: bigint, size: bigint, what: string): LayoutRange => ({ base, size, what });

const X86_SPECIAL =
  (x86.X86_HVM_END_SPECIAL_REGION - x86.X86_HVM_NR_SPECIAL_PAGES - x86.NR_IOREQ_SERVER_PAGES) *
  PAGE;

/**
 * xen/include/public/arch-arm.h and tools/firmware/hvmloader: layouts of domains that `xl` builds.
 * x86_64 is that of HVM guests: RAM with a hole below 4 GiB, another for VGA, and Xen's special pages at
 * the end of the first, which can be mapped like RAM and must not be given to back-ends as such.
 */
export const GUEST_LAYOUTS: Readonly<Record<'arm64' | 'x86_64', GuestLayout>> = {
  arm64: {
    ram: [
      range(arm.GUEST_RAM0_BASE, arm.GUEST_RAM0_SIZE, 'RAM bank 0'),
      range(arm.GUEST_RAM1_BASE, arm.GUEST_RAM1_SIZE, 'RAM bank 1'),
    ],
    reserved: [
      range(arm.GUEST_GICD_BASE, arm.GUEST_GICD_SIZE, 'the GICv2 distributor'),
      range(arm.GUEST_GICC_BASE, arm.GUEST_GICC_SIZE, 'the GICv2 CPU interface'),
      range(arm.GUEST_GICV3_GICD_BASE, arm.GUEST_GICV3_GICD_SIZE, 'the GICv3 distributor'),
      range(arm.GUEST_GICV3_GICR0_BASE, arm.GUEST_GICV3_GICR0_SIZE, 'the GICv3 redistributors'),
      range(arm.GUEST_VPCI_ECAM_BASE, arm.GUEST_VPCI_ECAM_SIZE, 'PCI configuration space'),
      range(arm.GUEST_ACPI_BASE, arm.GUEST_ACPI_SIZE, 'the ACPI tables'),
      range(arm.GUEST_PL011_BASE, arm.GUEST_PL011_SIZE, 'the PL011 console'),
      range(arm.GUEST_VPCI_MEM_ADDR, arm.GUEST_VPCI_MEM_SIZE, 'PCI memory'),
      range(arm.GUEST_GNTTAB_BASE, arm.GUEST_GNTTAB_SIZE, 'the grant table'),
      range(arm.GUEST_MAGIC_BASE, arm.GUEST_MAGIC_SIZE, "Xen's special pages"),
      range(
        arm.GUEST_VPCI_PREFETCH_MEM_ADDR,
        arm.GUEST_VPCI_PREFETCH_MEM_SIZE,
        'prefetchable PCI memory',
      ),
    ],
  },
  x86_64: {
    ram: [
      range(0n, 0xa_0000n, 'low RAM'),
      range(0xc_0000n, x86.HVM_BELOW_4G_RAM_END - 0xc_0000n, 'RAM below 4 GiB'),
      range(GIB_4, X86_END - GIB_4, 'RAM above 4 GiB'),
    ],
    reserved: [
      range(0n, MIB, 'low memory with VGA and BIOS'),
      range(
        x86.RESERVED_MEMBASE,
        x86.RESERVED_MEMORY_DYNAMIC_END - x86.RESERVED_MEMBASE,
        "the firmware's memory",
      ),
      range(x86.VIOAPIC_DEFAULT_BASE_ADDRESS, PAGE, 'the IO-APIC'),
      range(x86.HPET_BASE_ADDRESS, PAGE, 'the HPET'),
      range(x86.TPM_TIS_BASE, 5n * PAGE, 'the TPM'),
      range(
        x86.APIC_DEFAULT_PHYS_BASE,
        X86_SPECIAL - x86.APIC_DEFAULT_PHYS_BASE,
        'the local APIC and MSIs',
      ),
      range(
        X86_SPECIAL,
        x86.X86_HVM_END_SPECIAL_REGION * PAGE - X86_SPECIAL,
        "Xen's special pages",
      ),
      range(
        x86.X86_HVM_END_SPECIAL_REGION * PAGE,
        GIB_4 - x86.X86_HVM_END_SPECIAL_REGION * PAGE,
        'the BIOS',
      ),
    ],
  },
};
