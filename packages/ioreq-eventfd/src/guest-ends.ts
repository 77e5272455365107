import type { IrqCarrier, IrqLine } from '@node-vmm/vm-device';
import type { EventLoop } from '@node-vmm/vmm-sys-util';

/**
 * How a guest's requests arrive, and how it is answered and interrupted, on the thread that serves it. What
 * is behind it stays the guest's owner's.
 */
export interface GuestEnds extends Disposable {
  /**
   * Calls for a vCPU that may have posted a request, until closed; once.
   *
   * @param onError - requests can arrive no more
   */
  serve(
    loop: EventLoop,
    onRequest: (vcpu: number) => void,
    onError: (error: unknown) => void,
  ): void;
  /** Tells a vCPU that its request is answered. */
  notify(vcpu: number): void;
  /** As `UserSpaceVm.setIrq`. */
  setIrq(irq: IrqLine, level: boolean, carrier: IrqCarrier): void;
  /** Idempotent. */
  close(): void;
}
