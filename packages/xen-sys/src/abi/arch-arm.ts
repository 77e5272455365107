// xen/include/public/arch-arm.h: where guests of the toolstack have their RAM and devices.
/** xen/include/public/arch-arm.h. */
export const GUEST_RAM_BANKS = 2;
/** xen/include/public/arch-arm.h. */
export const GUEST_RAM0_BASE = 0x4000_0000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_RAM0_SIZE = 0xc000_0000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_RAM1_BASE = 0x02_0000_0000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_RAM1_SIZE = 0xfe_0000_0000n;

/** xen/include/public/arch-arm.h. */
export const GUEST_VIRTIO_MMIO_BASE = 0x0200_0000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_VIRTIO_MMIO_SIZE = 0x0010_0000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_VIRTIO_MMIO_SPI_FIRST = 33;
/** xen/include/public/arch-arm.h. */
export const GUEST_VIRTIO_MMIO_SPI_LAST = 43;

/** xen/include/public/arch-arm.h. */
export const GUEST_GICD_BASE = 0x0300_1000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_GICD_SIZE = 0x0000_1000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_GICC_BASE = 0x0300_2000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_GICC_SIZE = 0x0000_2000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_GICV3_GICD_BASE = 0x0300_1000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_GICV3_GICD_SIZE = 0x0001_0000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_GICV3_GICR0_BASE = 0x0302_0000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_GICV3_GICR0_SIZE = 0x0100_0000n;

/** xen/include/public/arch-arm.h. */
export const GUEST_VPCI_ECAM_BASE = 0x1000_0000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_VPCI_ECAM_SIZE = 0x1000_0000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_VPCI_MEM_ADDR = 0x2300_0000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_VPCI_MEM_SIZE = 0x1000_0000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_VPCI_PREFETCH_MEM_ADDR = 0x01_0000_0000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_VPCI_PREFETCH_MEM_SIZE = 0x01_0000_0000n;

/** xen/include/public/arch-arm.h. */
export const GUEST_ACPI_BASE = 0x2000_0000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_ACPI_SIZE = 0x0200_0000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_PL011_BASE = 0x2200_0000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_PL011_SIZE = 0x0000_1000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_GNTTAB_BASE = 0x3800_0000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_GNTTAB_SIZE = 0x0100_0000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_MAGIC_BASE = 0x3900_0000n;
/** xen/include/public/arch-arm.h. */
export const GUEST_MAGIC_SIZE = 0x0100_0000n;

/** xen/include/public/arch-arm.h. */
export const GUEST_MAX_VCPUS = 128;
