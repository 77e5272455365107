import { hex } from '@node-vmm/vmm-sys-util';
import { CodedError } from '@node-vmm/vmm-sys-util/errors';

/**
 * What went wrong:
 * - `OUT_OF_RANGE`: an access touches addresses where no memory is
 * - `NOT_CONTIGUOUS`: a run that must be in one piece crosses a region border
 * - `NOT_YET`: memory that is not mapped or translated yet: `GuestMemory.whenReady` tells when
 * - `FAULT`: part of the memory is not there: its file was truncated, or has no room or huge page for it
 * - `CLOSED`: the memory, or the loan of it, has been given up
 * - `BAD_REGION`: a region is empty, exceeds the address space, or cannot be described
 * - `OVERLAP`: two regions claim the same address
 * - `FILE_TOO_SMALL`: a region ends past its file
 * - `MAP_FAILED`: the kernel refused a mapping; `cause` is the `SysError`
 * - `FOREIGN_MAP_FAILED`: Xen refused pages of another domain
 */
export type VmMemoryErrorCode =
  | 'OUT_OF_RANGE'
  | 'NOT_CONTIGUOUS'
  | 'NOT_YET'
  | 'FAULT'
  | 'CLOSED'
  | 'BAD_REGION'
  | 'OVERLAP'
  | 'FILE_TOO_SMALL'
  | 'MAP_FAILED'
  | 'FOREIGN_MAP_FAILED';

/** Numbers that belong to an error, as far as they are known. */
export interface VmMemoryErrorContext {
  readonly guestAddr?: bigint;
  /** Bytes. */
  readonly length?: bigint;
  /** Pages that failed. */
  readonly count?: number;
  /** First guest frame that failed. */
  readonly gfn?: bigint;
  /** errno of the first page that failed, positive. */
  readonly errno?: number;
  readonly domid?: number;
}

/** An error of guest memory: `code` says which. */
export class VmMemoryError extends CodedError<VmMemoryErrorCode, VmMemoryErrorContext> {
  static override readonly brand = '@node-vmm/vm-memory/VmMemoryError';
}

/** Formats a range for messages. */
export function rangeText(guestAddr: bigint | number, length: bigint | number): string {
  return `${length} bytes at ${hex(guestAddr)}`;
}
