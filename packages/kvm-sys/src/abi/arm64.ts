// Linux arch/arm64/include/uapi/asm/kvm.h: registers one by one, and the interrupt controller.
import { _IOR, _IOW, bytes, struct, u32, u64 } from '@node-vmm/vmm-sys-util';
import { KVMIO } from './kvm.ts';

/** Linux include/uapi/linux/kvm.h: `addr` points to as many bytes as `id` says. */
export const KVM_ONE_REG = struct('kvm_one_reg', { id: u64(0), addr: u64(8) }, { size: 16 });
/** Linux include/uapi/linux/kvm.h: how the size of a register stands in its number, as a power of two. */
export const KVM_REG_SIZE_SHIFT = 52;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_REG_SIZE_MASK = 0x00f0_0000_0000_0000n;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_REG_SIZE_U32 = 0x0020_0000_0000_0000n;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_REG_SIZE_U64 = 0x0030_0000_0000_0000n;
/** Linux include/uapi/linux/kvm.h. */
export const KVM_REG_ARM64 = 0x6000_0000_0000_0000n;
/** Linux arch/arm64/include/uapi/asm/kvm.h: below it is the offset in `struct kvm_regs`, in 4 bytes. */
export const KVM_REG_ARM_CORE = 0x0010_0000;

/** Linux arch/arm64/include/uapi/asm/kvm.h. */
export const KVM_VCPU_INIT = struct(
  'kvm_vcpu_init',
  { target: u32(0), features: bytes(4, 28) },
  { size: 32 },
);
/** Linux arch/arm64/include/uapi/asm/kvm.h: number of a bit in `features`. */
export const KVM_ARM_VCPU_POWER_OFF = 0;
/** Linux arch/arm64/include/uapi/asm/kvm.h: number of a bit in `features`. */
export const KVM_ARM_VCPU_PSCI_0_2 = 2;

/** Linux arch/arm64/include/uapi/asm/kvm.h: groups of attributes of a vGIC. */
export const KVM_DEV_ARM_VGIC_GRP_ADDR = 0;
/** Linux arch/arm64/include/uapi/asm/kvm.h. */
export const KVM_DEV_ARM_VGIC_GRP_NR_IRQS = 3;
/** Linux arch/arm64/include/uapi/asm/kvm.h. */
export const KVM_DEV_ARM_VGIC_GRP_CTRL = 4;
/** Linux arch/arm64/include/uapi/asm/kvm.h: attribute of KVM_DEV_ARM_VGIC_GRP_CTRL. */
export const KVM_DEV_ARM_VGIC_CTRL_INIT = 0;
/** Linux arch/arm64/include/uapi/asm/kvm.h: attributes of KVM_DEV_ARM_VGIC_GRP_ADDR. */
export const KVM_VGIC_V2_ADDR_TYPE_DIST = 0;
/** Linux arch/arm64/include/uapi/asm/kvm.h. */
export const KVM_VGIC_V2_ADDR_TYPE_CPU = 1;
/** Linux arch/arm64/include/uapi/asm/kvm.h. */
export const KVM_VGIC_V3_ADDR_TYPE_DIST = 2;
/** Linux arch/arm64/include/uapi/asm/kvm.h. */
export const KVM_VGIC_V3_ADDR_TYPE_REDIST = 3;
/** Linux arch/arm64/include/uapi/asm/kvm.h: what `irq` of KVM_IRQ_LINE is made of. */
export const KVM_ARM_IRQ_TYPE_SHIFT = 24;
/** Linux arch/arm64/include/uapi/asm/kvm.h. */
export const KVM_ARM_IRQ_TYPE_SPI = 1;
/** Linux arch/arm64/include/uapi/asm/kvm.h. */
export const KVM_ARM_IRQ_TYPE_PPI = 2;

/** Linux include/uapi/linux/kvm.h. */
export const KVM_GET_ONE_REG = _IOW('KVM_GET_ONE_REG', KVMIO, 0xab, KVM_ONE_REG.SIZE);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_SET_ONE_REG = _IOW('KVM_SET_ONE_REG', KVMIO, 0xac, KVM_ONE_REG.SIZE);
/** Linux include/uapi/linux/kvm.h. */
export const KVM_ARM_VCPU_INIT = _IOW('KVM_ARM_VCPU_INIT', KVMIO, 0xae, KVM_VCPU_INIT.SIZE);
/** Linux include/uapi/linux/kvm.h: asked of a VM. */
export const KVM_ARM_PREFERRED_TARGET = _IOR(
  'KVM_ARM_PREFERRED_TARGET',
  KVMIO,
  0xaf,
  KVM_VCPU_INIT.SIZE,
);
