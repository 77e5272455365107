import type { VirtioMmioTransport } from '@node-vmm/virtio-device';
import { type BusHandler, Completion, type Held } from '@node-vmm/vm-device';

/** A window of a guest: a device's registers, or the main thread has its handler. */
export class SeatWindow implements BusHandler {
  readonly space: 'memory' | 'port' | 'pci-config';
  readonly base: bigint;
  /** While the main thread's handler is not ready. */
  ready: Completion | undefined;
  /** Serves the window here. */
  transport: VirtioMmioTransport | undefined;
  readonly #forward: (address: bigint, size: number, value: bigint) => Held;

  /**
   * @param gated - accesses wait for {@link open}
   * @param forward - has the main thread carry out a write
   */
  constructor(
    range: { readonly space: 'memory' | 'port' | 'pci-config'; readonly base: bigint },
    gated: boolean,
    forward: (address: bigint, size: number, value: bigint) => Held,
  ) {
    this.space = range.space;
    this.base = range.base;
    this.ready = gated ? new Completion() : undefined;
    this.#forward = forward;
  }

  /** Nobody waits any longer. */
  open(): void {
    const { ready } = this;
    this.ready = undefined;
    ready?.complete();
  }

  /** Of a window whose handler is on the main thread whole requests go there instead. */
  read(offset: number, size: number): bigint {
    return this.transport?.read(offset, size) ?? 0n;
  }

  write(offset: number, size: number, value: bigint): Held | undefined {
    if (this.transport !== undefined) return this.transport.write(offset, size, value);
    return this.#forward(this.base + BigInt(offset), size, value);
  }
}
