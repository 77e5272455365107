import {
  VIRTIO_CONFIG_S_ACKNOWLEDGE,
  VIRTIO_CONFIG_S_DRIVER,
  VIRTIO_CONFIG_S_DRIVER_OK,
  VIRTIO_CONFIG_S_FEATURES_OK,
} from '@node-vmm/virtio-bindings/device-status';
import {
  VIRTIO_ID_GPIO,
  VIRTIO_ID_I2C_ADAPTER,
  VIRTIO_ID_RNG,
} from '@node-vmm/virtio-bindings/device-types';
import * as gpio from '@node-vmm/virtio-bindings/gpio';
import {
  VIRTIO_I2C_F_ZERO_LENGTH_REQUEST,
  VIRTIO_I2C_FLAGS_FAIL_NEXT,
  VIRTIO_I2C_FLAGS_M_RD,
  VIRTIO_I2C_MSG_ERR,
  VIRTIO_I2C_MSG_OK,
} from '@node-vmm/virtio-bindings/i2c';
import * as mmio from '@node-vmm/virtio-bindings/mmio';
import { VIRTQ_DESC_F_NEXT, VIRTQ_DESC_F_WRITE } from '@node-vmm/virtio-bindings/split-virtqueues';

/** The specification's numbers, which are in the text by their names there. */
const SPECIFICATION = {
  ...mmio,
  ...gpio,
  VIRTIO_CONFIG_S_ACKNOWLEDGE,
  VIRTIO_CONFIG_S_DRIVER,
  VIRTIO_CONFIG_S_DRIVER_OK,
  VIRTIO_CONFIG_S_FEATURES_OK,
  VIRTIO_ID_GPIO,
  VIRTIO_ID_I2C_ADAPTER,
  VIRTIO_ID_RNG,
  VIRTIO_I2C_F_ZERO_LENGTH_REQUEST,
  VIRTIO_I2C_FLAGS_FAIL_NEXT,
  VIRTIO_I2C_FLAGS_M_RD,
  VIRTIO_I2C_MSG_ERR,
  VIRTIO_I2C_MSG_OK,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
};

/** Xen public/arch-x86/hvm/start_info.h: the PVH ABI's `struct hvm_start_info`. */
const START_INFO = { XEN_HVM_START_MAGIC_VALUE: 0x336e_c578, START_CMDLINE: 24 };

/** SDM volume 3, 11.4.1: registers of the local APIC; Linux arch/x86/include/asm/apicdef.h. */
const APIC = {
  LAPIC_EOI: 0xfee0_00b0,
  LAPIC_SPIV: 0xfee0_00f0,
  LAPIC_ICR: 0xfee0_0300,
  LAPIC_ICR2: 0xfee0_0310,
  LAPIC_LVTT: 0xfee0_0320,
  LAPIC_TMICT: 0xfee0_0380,
  LAPIC_TDCR: 0xfee0_03e0,
  IOAPIC_SELECT: 0xfec0_0000,
  IOAPIC_DATA: 0xfec0_0010,
  // KVM's local APIC counts nanoseconds, here divided by 16 (TDCR 3).
  LAPIC_SECOND: 1_000_000_000 / 16,
};

/** Ours: where the guest has what is no part of its image; all of it is below 2 MiB. */
const PLACES = {
  TRAMPOLINE: 0x8000,
  IDT: 0x17_8000,
  /** A page for each queue: rings and requests. */
  RINGS: 0x18_0000,
  /** What is read into. */
  DATA: 0x1a_0000,
  STACK: 0x1f_f000,
};

/** Ours: what belongs to a device and to a queue, and where in it. */
const STRUCTS = {
  DEVICES_MAX: 8,
  DEV_BASE: 0,
  DEV_GSI: 4,
  DEV_NAME: 8,
  DEV_FEATURES: 12,
  DEV_KICKS: 16,
  DEV_COMPLETIONS: 20,
  DEV_IRQS: 24,
  DEV_SPURIOUS: 28,
  DEV_QUEUE0: 64,
  DEV_QUEUE1: 96,
  DEV_SIZE: 128,
  Q_SIZE: 16,
  Q_INDEX: 0,
  Q_RING: 4,
  Q_AVAIL: 8,
  Q_USED: 12,
  /** Descriptors of the request that is made. */
  Q_CURSOR: 16,
  /** Requests that are under way. */
  Q_PENDING: 20,
  /** In the page of a queue, behind its descriptors. */
  AVAIL: 0x400,
  USED: 0x800,
  BUFFERS: 0xc00,
  /** Vector of the first device; the timer's. */
  VECTOR_DEVICES: 0x40,
  VECTOR_TIMER: 0x30,
};

/** The numbers by their names, as the text's first lines. */
export const NUMBERS: string = Object.entries({
  ...SPECIFICATION,
  ...START_INFO,
  ...APIC,
  ...PLACES,
  ...STRUCTS,
})
  .filter(([, value]) => typeof value === 'number')
  .map(([name, value]) => `.set ${name}, 0x${(value as number).toString(16)}`)
  .join('\n');
