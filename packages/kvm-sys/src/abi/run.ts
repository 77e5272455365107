// Linux include/uapi/linux/kvm.h: KVM_RUN and the page that a vCPU shares with whoever runs it.
import { _IOC_NONE, _IOW, bytes, struct, u8, u16, u32, u64 } from '@node-vmm/vmm-sys-util';
import { KVMIO } from './kvm.ts';

/** Linux include/uapi/linux/kvm.h: size of `struct kvm_run`; what is mapped has more behind it. */
const SIZE = 2352;

/** Linux include/uapi/linux/kvm.h: what all exits have. */
export const KVM_RUN_PAGE = struct(
  'kvm_run',
  {
    request_interrupt_window: u8(0),
    immediate_exit: u8(1),
    exit_reason: u32(8),
    ready_for_interrupt_injection: u8(12),
    if_flag: u8(13),
    flags: u16(14),
    cr8: u64(16),
    apic_base: u64(24),
  },
  { size: SIZE },
);
/** Linux include/uapi/linux/kvm.h, `struct kvm_run`: KVM_EXIT_MMIO. */
export const KVM_RUN_MMIO = struct(
  'kvm_run_mmio',
  { phys_addr: u64(32), data: bytes(40, 8), len: u32(48), is_write: u8(52) },
  { size: SIZE },
);
/** Linux include/uapi/linux/kvm.h, `struct kvm_run`: KVM_EXIT_IO. */
export const KVM_RUN_IO = struct(
  'kvm_run_io',
  { direction: u8(32), size: u8(33), port: u16(34), count: u32(36), data_offset: u64(40) },
  { size: SIZE },
);
/** Linux include/uapi/linux/kvm.h, `struct kvm_run`: KVM_EXIT_FAIL_ENTRY. */
export const KVM_RUN_FAIL_ENTRY = struct(
  'kvm_run_fail_entry',
  { hardware_entry_failure_reason: u64(32), cpu: u32(40) },
  { size: SIZE },
);
/** Linux include/uapi/linux/kvm.h, `struct kvm_run`: KVM_EXIT_INTERNAL_ERROR. */
export const KVM_RUN_INTERNAL = struct(
  'kvm_run_internal',
  { suberror: u32(32), ndata: u32(36), data: bytes(40, 128) },
  { size: SIZE },
);
/** Linux include/uapi/linux/kvm.h, `struct kvm_run`: KVM_EXIT_SYSTEM_EVENT. */
export const KVM_RUN_SYSTEM_EVENT = struct(
  'kvm_run_system_event',
  { type: u32(32), ndata: u32(36), data: bytes(40, 128) },
  { size: SIZE },
);

/** Linux include/uapi/linux/kvm.h. */
export const KVM_EXIT_UNKNOWN = 0;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_EXIT_EXCEPTION = 1;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_EXIT_IO = 2;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_EXIT_HYPERCALL = 3;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_EXIT_DEBUG = 4;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_EXIT_HLT = 5;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_EXIT_MMIO = 6;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_EXIT_IRQ_WINDOW_OPEN = 7;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_EXIT_SHUTDOWN = 8;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_EXIT_FAIL_ENTRY = 9;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_EXIT_INTR = 10;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_EXIT_SET_TPR = 11;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_EXIT_TPR_ACCESS = 12;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_EXIT_NMI = 16;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_EXIT_INTERNAL_ERROR = 17;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_EXIT_SYSTEM_EVENT = 24;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_EXIT_IOAPIC_EOI = 26;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_EXIT_ARM_NISV = 28;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_EXIT_X86_RDMSR = 29;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_EXIT_X86_WRMSR = 30;
/** Linux include/uapi/linux/kvm.h: `direction` of KVM_EXIT_IO. */
export const KVM_EXIT_IO_IN = 0;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_EXIT_IO_OUT = 1;
/** Linux include/uapi/linux/kvm.h: `type` of KVM_EXIT_SYSTEM_EVENT. */
export const KVM_SYSTEM_EVENT_SHUTDOWN = 1;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_SYSTEM_EVENT_RESET = 2;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_SYSTEM_EVENT_CRASH = 3;
/** Linux include/uapi/linux/kvm.h: `suberror` of KVM_EXIT_INTERNAL_ERROR. */
export const KVM_INTERNAL_ERROR_EMULATION = 1;

/** Linux include/uapi/linux/kvm.h: the head, `len` bytes of a signal set follow. */
export const KVM_SIGNAL_MASK = struct('kvm_signal_mask', { len: u32(0) }, { size: 4 });

/** Linux include/uapi/linux/kvm.h. */
export const KVM_RUN = _IOC_NONE('KVM_RUN', KVMIO, 0x80);
/** Linux include/uapi/linux/kvm.h: without an argument there is no mask any more. */
export const KVM_SET_SIGNAL_MASK = _IOW('KVM_SET_SIGNAL_MASK', KVMIO, 0x8b, KVM_SIGNAL_MASK.SIZE);
