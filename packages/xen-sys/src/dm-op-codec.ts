import type { Fields, Struct, Values } from '@node-vmm/vmm-sys-util';
import { checkInteger } from '@node-vmm/vmm-sys-util';
import {
  XEN_DM_OP,
  XEN_DM_OP_SET_IRQ_LEVEL,
  XEN_DM_OP_SET_ISA_IRQ_LEVEL,
  XEN_DM_OP_U_OFFSET,
  XEN_DMOP_set_irq_level,
  XEN_DMOP_set_isa_irq_level,
} from './abi/dm-op.ts';

/** `struct xen_dm_op` with one member of its union filled in. */
export function encodeDmOp<F extends Fields>(
  op: number,
  member: Struct<F>,
  values: Partial<Values<F>>,
): Uint8Array<ArrayBuffer> {
  const bytes = XEN_DM_OP.encode({ op });
  member.write(new DataView(bytes.buffer), XEN_DM_OP_U_OFFSET, values);
  return bytes;
}

/**
 * The operation that sets a line of the guest's interrupt controller; Arm only. Also what a kernel
 * irqfd carries.
 *
 * @param irq - global number, a shared peripheral interrupt (>= 32)
 */
export function encodeSetIrqLevel(irq: number, level: boolean): Uint8Array<ArrayBuffer> {
  checkInteger('irq', irq, 32, 1019);
  return encodeDmOp(XEN_DMOP_set_irq_level, XEN_DM_OP_SET_IRQ_LEVEL, { irq, level: level ? 1 : 0 });
}

/**
 * The operation that sets a line of the ISA interrupt controllers; x86 only. Also what a kernel
 * irqfd carries.
 *
 * @param irq - 0..15
 */
export function encodeSetIsaIrqLevel(irq: number, level: boolean): Uint8Array<ArrayBuffer> {
  checkInteger('irq', irq, 0, 15);
  return encodeDmOp(XEN_DMOP_set_isa_irq_level, XEN_DM_OP_SET_ISA_IRQ_LEVEL, {
    isa_irq: irq,
    level: level ? 1 : 0,
  });
}
