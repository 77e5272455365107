import type { GuestAddress } from '@node-vmm/vm-memory';

/** One buffer of a request. */
export interface DriverBuffer {
  readonly guestAddr: GuestAddress;
  /** Bytes. */
  readonly length: number;
  /** True when the device writes it. */
  readonly writable: boolean;
}

/** A request that the device returned. */
export interface UsedRequest {
  /** What `add` answered. */
  readonly head: number;
  /** Bytes that the device says it wrote. */
  readonly written: number;
}

/** The driver side of one virtqueue, whatever its layout. */
export interface VirtqueueDriver extends Disposable {
  readonly size: number;
  /** Requests added and not yet polled back. */
  readonly outstanding: number;

  /**
   * Adds a request. The device sees it after `publish`.
   *
   * @param buffers - readable ones first, at least one
   * @param indirectTable - where to put an indirect table of the buffers, instead of descriptors
   * @returns a number that names the request, -1 when too few descriptors are free
   */
  add(buffers: readonly DriverBuffer[], indirectTable?: GuestAddress): number;

  /**
   * Shows the added requests to the device.
   *
   * @returns true when the device wants a notification for them
   */
  publish(): boolean;

  /**
   * Takes back the next request that the device returned, undefined when there is none. Then the
   * device has been asked for an interrupt, unless they are disabled.
   *
   * @throws {Error} when the device returned what it did not have
   */
  poll(): UsedRequest | undefined;

  /** Asks the device for no interrupts. */
  disableInterrupts(): void;

  /**
   * Asks the device for interrupts.
   *
   * @param after - requests to wait for before the next one, >= 1; more than 1 needs event indices
   * @returns true when requests were returned meanwhile, which no interrupt may announce
   */
  enableInterrupts(after?: number): boolean;
}
