import type { HostPointer } from '@node-vmm/vmm-sys-util';
import type { DomId } from './ids.ts';

/** Memory that the hypervisor may access during a hypercall: resident and never moved. */
export interface HypercallBuffer extends Disposable {
  /** @throws {XenSysError} CLOSED after release */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly pointer: HostPointer;
  /** Gives the memory back. Idempotent. */
  close(): void;
}

/**
 * How hypercalls are made. `Privcmd` makes them through the Linux driver; a domain that runs without
 * a kernel underneath would make them itself.
 */
export interface HypercallTransport {
  /**
   * @param op - a `__HYPERVISOR_*` number
   * @param args - up to five; pointers are those of a {@link HypercallBuffer}
   * @returns the result, >= 0
   * @throws {SysError}
   */
  hypercall(op: number, ...args: (number | bigint)[]): number;

  /** Zeroed memory of at least `size` bytes; `bytes` has exactly `size`. @throws {SysError} */
  allocate(size: number): HypercallBuffer;

  /**
   * A device model operation. On Linux it goes another way than other hypercalls, one that works on
   * a restricted descriptor too and takes ordinary memory.
   *
   * @param buffers - 1..16 of at most 4096 bytes, the first holds `struct xen_dm_op`
   * @throws {SysError}
   */
  dmOp(domid: DomId, buffers: readonly Uint8Array[]): void;
}
