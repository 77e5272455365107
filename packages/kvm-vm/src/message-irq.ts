import {
  type IrqSource,
  type MessageInterrupt,
  VmError,
  type Wiring,
  WiringSet,
} from '@node-vmm/vm-device';
import { type EventFd, hex } from '@node-vmm/vmm-sys-util';

/** What a {@link MessageIrq} is made of. */
export interface MessageIrqParts {
  readonly interrupt: MessageInterrupt;
  /** Delivers the message. @throws {VmError} HYPERVISOR */
  readonly signal: () => void;
  /** @returns whether the kernel does it, and what undoes it without throwing */
  readonly makeIrqfd: (
    eventfd: EventFd,
    act: () => void,
  ) => { readonly kernelAssisted: boolean; readonly undo: () => void };
  /** Called once. */
  readonly onClose: (source: IrqSource) => void;
}

/** A device that interrupts by messages: each is an interrupt, and there is nothing to lower. */
export class MessageIrq implements IrqSource {
  readonly interrupt: MessageInterrupt;
  readonly #parts: MessageIrqParts;
  readonly #irqfds = new WiringSet();
  #live = true;

  constructor(parts: MessageIrqParts) {
    this.interrupt = parts.interrupt;
    this.#parts = parts;
  }

  raise(): void {
    this.#check('raise');
    this.#parts.signal();
  }

  lower(): void {}

  irqfd(eventfd: EventFd, onSignal: () => void = () => this.raise()): Wiring {
    this.#check('wire');
    const { kernelAssisted, undo } = this.#parts.makeIrqfd(eventfd, onSignal);
    return this.#irqfds.add(kernelAssisted, undo);
  }

  #check(action: string): void {
    if (this.#live) return;
    const guestAddr = this.interrupt.address;
    const text = `Cannot ${action} the message to ${hex(guestAddr)}: it is no longer connected`;
    throw new VmError('CLOSED', text, { guestAddr });
  }

  close(): void {
    if (!this.#live) return;
    this.#live = false;
    this.#irqfds.close();
    this.#parts.onClose(this);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
