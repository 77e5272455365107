// xen/include/public/arch-arm.h: where guests of the toolstack have their RAM and devices.
export const GUEST_RAM_BANKS = 2;
export const GUEST_RAM0_BASE = 0x4000_0000n;
export const GUEST_RAM0_SIZE = 0xc000_0000n;
export const GUEST_RAM1_BASE = 0x02_0000_0000n;
export const GUEST_RAM1_SIZE = 0xfe_0000_0000n;

export const GUEST_VIRTIO_MMIO_BASE = 0x0200_0000n;
export const GUEST_VIRTIO_MMIO_SIZE = 0x0010_0000n;
export const GUEST_VIRTIO_MMIO_SPI_FIRST = 33;
export const GUEST_VIRTIO_MMIO_SPI_LAST = 43;

export const GUEST_MAX_VCPUS = 128;
