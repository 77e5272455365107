// Linux include/uapi/linux/kvm.h: what is asked of a virtual machine.
import { _IOC_NONE, _IOW, _IOWR, bytes, i32, struct, u32, u64 } from '@node-vmm/vmm-sys-util';
import { KVMIO } from './kvm.ts';

/** Linux include/uapi/linux/kvm.h. */
export const KVM_USERSPACE_MEMORY_REGION = struct(
  'kvm_userspace_memory_region',
  {
    slot: u32(0),
    flags: u32(4),
    guest_phys_addr: u64(8),
    memory_size: u64(16),
    userspace_addr: u64(24),
  },
  { size: 32 },
);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_MEM_LOG_DIRTY_PAGES = 1;
/** Linux include/uapi/linux/kvm.h: writes of the guest leave as MMIO. */
export const KVM_MEM_READONLY = 2;

/** Linux include/uapi/linux/kvm.h. */
export const KVM_IOEVENTFD_ARG = struct(
  'kvm_ioeventfd',
  { datamatch: u64(0), addr: u64(8), len: u32(16), fd: i32(20), flags: u32(24) },
  { size: 64 },
);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_IOEVENTFD_FLAG_DATAMATCH = 1;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_IOEVENTFD_FLAG_PIO = 2;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_IOEVENTFD_FLAG_DEASSIGN = 4;

/** Linux include/uapi/linux/kvm.h. */
export const KVM_IRQFD_ARG = struct(
  'kvm_irqfd',
  { fd: u32(0), gsi: u32(4), flags: u32(8), resamplefd: u32(12) },
  { size: 32 },
);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_IRQFD_FLAG_DEASSIGN = 1;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_IRQFD_FLAG_RESAMPLE = 2;

/** Linux include/uapi/linux/kvm.h: `irq` is the first member of a union. */
export const KVM_IRQ_LEVEL = struct('kvm_irq_level', { irq: u32(0), level: u32(4) }, { size: 8 });

/** Linux include/uapi/linux/kvm.h. */
export const KVM_MSI = struct(
  'kvm_msi',
  { address_lo: u32(0), address_hi: u32(4), data: u32(8), flags: u32(12), devid: u32(16) },
  { size: 32 },
);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_MSI_VALID_DEVID = 1;

/** Linux include/uapi/linux/kvm.h: the head, `nr` entries follow. */
export const KVM_IRQ_ROUTING = struct(
  'kvm_irq_routing',
  { nr: u32(0), flags: u32(4) },
  { size: 8 },
);
/** Linux include/uapi/linux/kvm.h: what `u` is `type` says. */
export const KVM_IRQ_ROUTING_ENTRY = struct(
  'kvm_irq_routing_entry',
  { gsi: u32(0), type: u32(4), flags: u32(8), u: bytes(16, 32) },
  { size: 48 },
);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_IRQ_ROUTING_IRQCHIP_ARG = struct(
  'kvm_irq_routing_irqchip',
  { irqchip: u32(0), pin: u32(4) },
  { size: 8 },
);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_IRQ_ROUTING_MSI_ARG = struct(
  'kvm_irq_routing_msi',
  { address_lo: u32(0), address_hi: u32(4), data: u32(8), devid: u32(12) },
  { size: 16 },
);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_IRQ_ROUTING_IRQCHIP = 1;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_IRQ_ROUTING_MSI = 2;

/** Linux include/uapi/linux/kvm.h. */
export const KVM_PIT_CONFIG = struct('kvm_pit_config', { flags: u32(0) }, { size: 64 });

/** Linux include/uapi/linux/kvm.h. */
export const KVM_CREATE_DEVICE_ARG = struct(
  'kvm_create_device',
  { type: u32(0), fd: u32(4), flags: u32(8) },
  { size: 12 },
);
/** Linux include/uapi/linux/kvm.h: only look whether it could be made. */
export const KVM_CREATE_DEVICE_TEST = 1;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_DEV_TYPE_VFIO = 4;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_DEV_TYPE_ARM_VGIC_V2 = 5;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_DEV_TYPE_ARM_VGIC_V3 = 7;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_DEV_TYPE_ARM_VGIC_ITS = 8;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_DEVICE_ATTR = struct(
  'kvm_device_attr',
  { flags: u32(0), group: u32(4), attr: u64(8), addr: u64(16) },
  { size: 24 },
);

/** Linux include/uapi/linux/kvm.h: the argument is the number of the vCPU. */
export const KVM_CREATE_VCPU = _IOC_NONE('KVM_CREATE_VCPU', KVMIO, 0x41);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_SET_USER_MEMORY_REGION = _IOW(
  'KVM_SET_USER_MEMORY_REGION',
  KVMIO,
  0x46,
  KVM_USERSPACE_MEMORY_REGION.SIZE,
);
/** Linux include/uapi/linux/kvm.h: x86; the argument is an address below 4 GiB. */
export const KVM_SET_TSS_ADDR = _IOC_NONE('KVM_SET_TSS_ADDR', KVMIO, 0x47);
/** Linux include/uapi/linux/kvm.h: x86; the argument points to an address below 4 GiB. */
export const KVM_SET_IDENTITY_MAP_ADDR = _IOW('KVM_SET_IDENTITY_MAP_ADDR', KVMIO, 0x48, 8);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_CREATE_IRQCHIP = _IOC_NONE('KVM_CREATE_IRQCHIP', KVMIO, 0x60);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_IRQ_LINE = _IOW('KVM_IRQ_LINE', KVMIO, 0x61, KVM_IRQ_LEVEL.SIZE);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_SET_GSI_ROUTING = _IOW('KVM_SET_GSI_ROUTING', KVMIO, 0x6a, KVM_IRQ_ROUTING.SIZE);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_IRQFD = _IOW('KVM_IRQFD', KVMIO, 0x76, KVM_IRQFD_ARG.SIZE);
/** Linux include/uapi/linux/kvm.h: x86. */
export const KVM_CREATE_PIT2 = _IOW('KVM_CREATE_PIT2', KVMIO, 0x77, KVM_PIT_CONFIG.SIZE);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_IOEVENTFD = _IOW('KVM_IOEVENTFD', KVMIO, 0x79, KVM_IOEVENTFD_ARG.SIZE);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_SIGNAL_MSI = _IOW('KVM_SIGNAL_MSI', KVMIO, 0xa5, KVM_MSI.SIZE);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_CREATE_DEVICE = _IOWR(
  'KVM_CREATE_DEVICE',
  KVMIO,
  0xe0,
  KVM_CREATE_DEVICE_ARG.SIZE,
);
/** Linux include/uapi/linux/kvm.h: asked of what KVM_CREATE_DEVICE made. */
export const KVM_SET_DEVICE_ATTR = _IOW('KVM_SET_DEVICE_ATTR', KVMIO, 0xe1, KVM_DEVICE_ATTR.SIZE);
