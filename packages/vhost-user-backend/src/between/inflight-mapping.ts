import type { FaultMark } from '@node-vmm/vmm-sys-util';

/**
 * Where the record of a ring's requests in flight is mapped in this process: plain data. It stays mapped
 * until the ring has stopped.
 */
export interface InflightMapping {
  /** Address of the first byte, a multiple of 8. */
  readonly hostAddress: number;
  /** Bytes. */
  readonly length: number;
  /** Entries of a ring that the record has room for. */
  readonly queueSize: number;
  /** Where its mark is, if it is guarded: its file may have no room. */
  readonly fault: FaultMark | undefined;
}
