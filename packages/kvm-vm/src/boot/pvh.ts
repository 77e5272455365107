// xen/include/public/arch-x86/hvm/start_info.h: what a guest that is booted by the PVH ABI finds.
import { struct, u32, u64 } from '@node-vmm/vmm-sys-util';

/** xen/include/public/arch-x86/hvm/start_info.h. */
export const XEN_HVM_START_MAGIC_VALUE = 0x336e_c578;
/** xen/include/public/arch-x86/hvm/start_info.h: with a memory map. */
export const PVH_START_INFO_VERSION = 1;
/** xen/include/public/arch-x86/hvm/start_info.h. */
export const HVM_START_INFO = struct(
  'hvm_start_info',
  {
    magic: u32(0),
    version: u32(4),
    flags: u32(8),
    nr_modules: u32(12),
    modlist_paddr: u64(16),
    cmdline_paddr: u64(24),
    rsdp_paddr: u64(32),
    memmap_paddr: u64(40),
    memmap_entries: u32(48),
    reserved: u32(52),
  },
  { size: 56 },
);

/** xen/include/public/arch-x86/hvm/start_info.h. */
export const HVM_MEMMAP_TABLE_ENTRY = struct(
  'hvm_memmap_table_entry',
  { addr: u64(0), size: u64(8), type: u32(16), reserved: u32(20) },
  { size: 24 },
);
/** xen/include/public/arch-x86/hvm/start_info.h. */
export const XEN_HVM_MEMMAP_TYPE_RAM = 1;
/** xen/include/public/arch-x86/hvm/start_info.h. */
export const XEN_HVM_MEMMAP_TYPE_RESERVED = 2;
