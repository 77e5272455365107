// Linux arch/x86/include/uapi/asm/kvm.h: registers and CPUID.
import { _IOR, _IOW, _IOWR, bytes, struct, u8, u16, u32, u64 } from '@node-vmm/vmm-sys-util';
import { KVMIO } from './kvm.ts';

/** Linux arch/x86/include/uapi/asm/kvm.h. */
export const KVM_REGS = struct(
  'kvm_regs',
  {
    rax: u64(0),
    rbx: u64(8),
    rcx: u64(16),
    rdx: u64(24),
    rsi: u64(32),
    rdi: u64(40),
    rsp: u64(48),
    rbp: u64(56),
    r8: u64(64),
    r9: u64(72),
    r10: u64(80),
    r11: u64(88),
    r12: u64(96),
    r13: u64(104),
    r14: u64(112),
    r15: u64(120),
    rip: u64(128),
    rflags: u64(136),
  },
  { size: 144 },
);

/** Linux arch/x86/include/uapi/asm/kvm.h. */
export const KVM_SEGMENT = struct(
  'kvm_segment',
  {
    base: u64(0),
    limit: u32(8),
    selector: u16(12),
    type: u8(14),
    present: u8(15),
    dpl: u8(16),
    db: u8(17),
    s: u8(18),
    l: u8(19),
    g: u8(20),
    avl: u8(21),
    unusable: u8(22),
  },
  { size: 24 },
);

/** Linux arch/x86/include/uapi/asm/kvm.h. */
export const KVM_DTABLE = struct('kvm_dtable', { base: u64(0), limit: u16(8) }, { size: 16 });

/** Linux arch/x86/include/uapi/asm/kvm.h: segments and tables are structs of their own. */
export const KVM_SREGS = struct(
  'kvm_sregs',
  {
    cs: bytes(0, 24),
    ds: bytes(24, 24),
    es: bytes(48, 24),
    fs: bytes(72, 24),
    gs: bytes(96, 24),
    ss: bytes(120, 24),
    tr: bytes(144, 24),
    ldt: bytes(168, 24),
    gdt: bytes(192, 16),
    idt: bytes(208, 16),
    cr0: u64(224),
    cr2: u64(232),
    cr3: u64(240),
    cr4: u64(248),
    cr8: u64(256),
    efer: u64(264),
    apic_base: u64(272),
    interrupt_bitmap: bytes(280, 32),
  },
  { size: 312 },
);

/** Linux arch/x86/include/uapi/asm/kvm.h: the head, `nent` entries follow. */
export const KVM_CPUID2 = struct('kvm_cpuid2', { nent: u32(0) }, { size: 8 });
/** Linux arch/x86/include/uapi/asm/kvm.h. */
export const KVM_CPUID_ENTRY2 = struct(
  'kvm_cpuid_entry2',
  {
    function: u32(0),
    index: u32(4),
    flags: u32(8),
    eax: u32(12),
    ebx: u32(16),
    ecx: u32(20),
    edx: u32(24),
  },
  { size: 40 },
);

/** Linux include/uapi/linux/kvm.h: asked of /dev/kvm. */
export const KVM_GET_SUPPORTED_CPUID = _IOWR(
  'KVM_GET_SUPPORTED_CPUID',
  KVMIO,
  0x05,
  KVM_CPUID2.SIZE,
);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_GET_REGS = _IOR('KVM_GET_REGS', KVMIO, 0x81, KVM_REGS.SIZE);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_SET_REGS = _IOW('KVM_SET_REGS', KVMIO, 0x82, KVM_REGS.SIZE);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_GET_SREGS = _IOR('KVM_GET_SREGS', KVMIO, 0x83, KVM_SREGS.SIZE);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_SET_SREGS = _IOW('KVM_SET_SREGS', KVMIO, 0x84, KVM_SREGS.SIZE);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_SET_CPUID2 = _IOW('KVM_SET_CPUID2', KVMIO, 0x90, KVM_CPUID2.SIZE);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_GET_CPUID2 = _IOWR('KVM_GET_CPUID2', KVMIO, 0x91, KVM_CPUID2.SIZE);
