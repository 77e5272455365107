// Where HVM guests have their RAM and devices: no public header has all of it, so each number names
// the file of Xen's source that has it.

/** xen/include/public/hvm/e820.h: RAM goes on at 4 GiB, and ends lower with a larger `mmio_hole`. */
export const HVM_BELOW_4G_RAM_END = 0xf000_0000n;

/** tools/firmware/hvmloader/config.h: bits of the ISA lines that carry PCI interrupts, so levels. */
export const PCI_ISA_IRQ_MASK = 0x0c20;
/** tools/firmware/hvmloader/config.h: ACPI tables and what else hvmloader puts down. */
export const RESERVED_MEMBASE = 0xfc00_0000n;
/** tools/firmware/hvmloader/config.h. */
export const RESERVED_MEMORY_DYNAMIC_END = 0xfe00_0000n;

/** xen/arch/x86/include/asm/hvm/vioapic.h. */
export const VIOAPIC_DEFAULT_BASE_ADDRESS = 0xfec0_0000n;
/** xen/arch/x86/hvm/hpet.c. */
export const HPET_BASE_ADDRESS = 0xfed0_0000n;
/** xen/arch/x86/include/asm/apicdef.h; the megabyte from here on is where MSIs are written to. */
export const APIC_DEFAULT_PHYS_BASE = 0xfee0_0000n;
/**
 * QEMU's include/hw/acpi/tpm.h, as TPM_TIS_ADDR_BASE: five localities of a page; tools/firmware/hvmloader
 * has the header of the first.
 */
export const TPM_TIS_BASE = 0xfed4_0000n;

/** tools/include/xenguest.h: special pages (xenstore, console, ioreq ...) end at this frame. */
export const X86_HVM_END_SPECIAL_REGION = 0xf_f000n;
/** tools/libs/guest/xg_dom_x86.c. */
export const X86_HVM_NR_SPECIAL_PAGES = 8n;
/** tools/libs/guest/xg_dom_x86.c: pages for IOREQ servers, in front of the special ones. */
export const NR_IOREQ_SERVER_PAGES = 8n;
