// Linux include/uapi/linux/kvm.h: what is asked of /dev/kvm itself.
import { _IOC_NONE } from '@node-vmm/vmm-sys-util';

/** Linux include/uapi/linux/kvm.h: the type of every ioctl of KVM. */
export const KVMIO = 0xae;
/** Linux include/uapi/linux/kvm.h: what KVM_GET_API_VERSION answers since 2007. */
export const KVM_API_VERSION = 12;

/** Linux include/uapi/linux/kvm.h. */
export const KVM_GET_API_VERSION = _IOC_NONE('KVM_GET_API_VERSION', KVMIO, 0x00);
/** Linux include/uapi/linux/kvm.h: the argument is the type of machine, 0 by default. */
export const KVM_CREATE_VM = _IOC_NONE('KVM_CREATE_VM', KVMIO, 0x01);
/** Linux include/uapi/linux/kvm.h: asked of /dev/kvm or of a VM. */
export const KVM_CHECK_EXTENSION = _IOC_NONE('KVM_CHECK_EXTENSION', KVMIO, 0x03);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_GET_VCPU_MMAP_SIZE = _IOC_NONE('KVM_GET_VCPU_MMAP_SIZE', KVMIO, 0x04);

/** Linux include/uapi/linux/kvm.h. */
export const KVM_CAP_IRQCHIP = 0;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_CAP_USER_MEMORY = 3;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_CAP_SET_TSS_ADDR = 4;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_CAP_EXT_CPUID = 7;
/** Linux include/uapi/linux/kvm.h: the answer is how many vCPUs are recommended. */
export const KVM_CAP_NR_VCPUS = 9;
/** Linux include/uapi/linux/kvm.h: the answer is how many memory slots there are. */
export const KVM_CAP_NR_MEMSLOTS = 10;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_CAP_MP_STATE = 14;
/** Linux include/uapi/linux/kvm.h: the answer is how many routes there may be. */
export const KVM_CAP_IRQ_ROUTING = 25;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_CAP_IRQFD = 32;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_CAP_PIT2 = 33;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_CAP_IOEVENTFD = 36;
/** Linux include/uapi/linux/kvm.h: the answer is how many vCPUs there may be at most. */
export const KVM_CAP_MAX_VCPUS = 66;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_CAP_ONE_REG = 70;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_CAP_SIGNAL_MSI = 77;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_CAP_READONLY_MEM = 81;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_CAP_IRQFD_RESAMPLE = 82;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_CAP_DEVICE_CTRL = 89;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_CAP_IOEVENTFD_ANY_LENGTH = 122;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_CAP_IMMEDIATE_EXIT = 136;
