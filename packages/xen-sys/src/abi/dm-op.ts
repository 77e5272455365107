// xen/include/public/hvm/dm_op.h: device model operations. One table per member of the union `u`.
import { struct, u8, u16, u32, u64 } from '@node-vmm/vmm-sys-util';

/** xen/include/public/hvm/dm_op.h. */
export const XEN_DMOP_create_ioreq_server = 1;
/** xen/include/public/hvm/dm_op.h. */
export const XEN_DMOP_get_ioreq_server_info = 2;
/** xen/include/public/hvm/dm_op.h. */
export const XEN_DMOP_map_io_range_to_ioreq_server = 3;
/** xen/include/public/hvm/dm_op.h. */
export const XEN_DMOP_unmap_io_range_from_ioreq_server = 4;
/** xen/include/public/hvm/dm_op.h. */
export const XEN_DMOP_set_ioreq_server_state = 5;
/** xen/include/public/hvm/dm_op.h. */
export const XEN_DMOP_destroy_ioreq_server = 6;
/** xen/include/public/hvm/dm_op.h. */
export const XEN_DMOP_set_isa_irq_level = 9;
/** xen/include/public/hvm/dm_op.h. */
export const XEN_DMOP_inject_msi = 14;
/** xen/include/public/hvm/dm_op.h. */
export const XEN_DMOP_set_irq_level = 19;
/** xen/include/public/hvm/dm_op.h. */
export const XEN_DMOP_nr_vcpus = 20;

/** xen/include/public/hvm/hvm_op.h: values of `handle_bufioreq`. */
export const HVM_IOREQSRV_BUFIOREQ_OFF = 0;
/** xen/include/public/hvm/hvm_op.h. */
export const HVM_IOREQSRV_BUFIOREQ_LEGACY = 1;
/** xen/include/public/hvm/hvm_op.h. */
export const HVM_IOREQSRV_BUFIOREQ_ATOMIC = 2;

/** xen/include/public/hvm/dm_op.h: flag of `get_ioreq_server_info`. */
export const XEN_DMOP_no_gfns = 1;

/** xen/include/public/hvm/dm_op.h. */
export const XEN_DMOP_IO_RANGE_PORT = 0;
/** xen/include/public/hvm/dm_op.h. */
export const XEN_DMOP_IO_RANGE_MEMORY = 1;
/** xen/include/public/hvm/dm_op.h. */
export const XEN_DMOP_IO_RANGE_PCI = 2;

/** xen/include/public/hvm/dm_op.h: head of the struct; `u` is where the union starts. */
export const XEN_DM_OP = struct('xen_dm_op', { op: u32(0), pad: u32(4) }, { size: 32 });
/** xen/include/public/hvm/dm_op.h: byte offset of the union. */
export const XEN_DM_OP_U_OFFSET = 8;

/** xen/include/public/hvm/dm_op.h. */
export const XEN_DM_OP_CREATE_IOREQ_SERVER = struct(
  'xen_dm_op_create_ioreq_server',
  { handle_bufioreq: u8(0), id: u16(4) },
  { size: 6 },
);
/** xen/include/public/hvm/dm_op.h. */
export const XEN_DM_OP_GET_IOREQ_SERVER_INFO = struct(
  'xen_dm_op_get_ioreq_server_info',
  { id: u16(0), flags: u16(2), bufioreq_port: u32(4), ioreq_gfn: u64(8), bufioreq_gfn: u64(16) },
  { size: 24 },
);
/** xen/include/public/hvm/dm_op.h. */
export const XEN_DM_OP_IOREQ_SERVER_RANGE = struct(
  'xen_dm_op_ioreq_server_range',
  { id: u16(0), pad: u16(2), type: u32(4), start: u64(8), end: u64(16) },
  { size: 24 },
);
/** xen/include/public/hvm/dm_op.h. */
export const XEN_DM_OP_SET_IOREQ_SERVER_STATE = struct(
  'xen_dm_op_set_ioreq_server_state',
  { id: u16(0), enabled: u8(2), pad: u8(3) },
  { size: 4 },
);
/** xen/include/public/hvm/dm_op.h. */
export const XEN_DM_OP_DESTROY_IOREQ_SERVER = struct(
  'xen_dm_op_destroy_ioreq_server',
  { id: u16(0), pad: u16(2) },
  { size: 4 },
);
/** xen/include/public/hvm/dm_op.h. */
export const XEN_DM_OP_SET_ISA_IRQ_LEVEL = struct(
  'xen_dm_op_set_isa_irq_level',
  { isa_irq: u8(0), level: u8(1) },
  { size: 2 },
);
/** xen/include/public/hvm/dm_op.h. */
export const XEN_DM_OP_INJECT_MSI = struct(
  'xen_dm_op_inject_msi',
  { data: u32(0), pad: u32(4), addr: u64(8) },
  { size: 16 },
);
/** xen/include/public/hvm/dm_op.h. */
export const XEN_DM_OP_SET_IRQ_LEVEL = struct(
  'xen_dm_op_set_irq_level',
  { irq: u32(0), level: u8(4) },
  { size: 8 },
);
/** xen/include/public/hvm/dm_op.h. */
export const XEN_DM_OP_NR_VCPUS = struct('xen_dm_op_nr_vcpus', { vcpus: u32(0) }, { size: 4 });

/**
 * `XEN_DMOP_PCI_SBDF`: a PCI function as an address of an `XEN_DMOP_IO_RANGE_PCI` range.
 *
 * @param segment - 16 bits
 * @param bus - 8 bits
 * @param device - 5 bits
 * @param fn - 3 bits
 */
export function XEN_DMOP_PCI_SBDF(
  segment: number,
  bus: number,
  device: number,
  fn: number,
): number {
  return (
    (((segment & 0xffff) << 16) | ((bus & 0xff) << 8) | ((device & 0x1f) << 3) | (fn & 7)) >>> 0
  );
}
