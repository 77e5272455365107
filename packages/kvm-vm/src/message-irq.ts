import {
  type IrqSource,
  type MakeIrqfd,
  type MessageInterrupt,
  VmError,
  WiredIrq,
} from '@node-vmm/vm-device';
import { hex } from '@node-vmm/vmm-sys-util';

/** What a {@link MessageIrq} is made of. */
export interface MessageIrqParts {
  readonly interrupt: MessageInterrupt;
  /** Delivers the message. @throws {VmError} HYPERVISOR */
  readonly signal: () => void;
  readonly makeIrqfd: MakeIrqfd;
  /** Called once. */
  readonly onClose: (source: IrqSource) => void;
}

/** A device that interrupts by messages: each is an interrupt, and there is nothing to lower. */
export class MessageIrq extends WiredIrq<MessageInterrupt> {
  readonly #parts: MessageIrqParts;

  constructor(parts: MessageIrqParts) {
    super(parts.interrupt, parts.makeIrqfd);
    this.#parts = parts;
  }

  protected override send(): void {
    this.#parts.signal();
  }

  protected override fall(): void {}

  protected override disconnect(): void {
    this.#parts.onClose(this);
  }

  protected override closedError(action: string): VmError {
    const guestAddr = this.interrupt.address;
    const text = `Cannot ${action} the message to ${hex(guestAddr)}: it is no longer connected`;
    return new VmError('CLOSED', text, { guestAddr });
  }
}
