import { type EventFd, errorMessage, type Logger } from '@node-vmm/vmm-sys-util';
import { VmError } from './errors.ts';
import type { IrqSource, LineInterrupt } from './irq.ts';
import type { WireEnd } from './irq-wires.ts';
import { type Wiring, WiringSet } from './wiring.ts';

/** Makes an irqfd. @returns whether the kernel does it, and what undoes it without throwing */
export type MakeIrqfd = (
  eventfd: EventFd,
  act: () => void,
) => { readonly kernelAssisted: boolean; readonly undo: () => void };

/** What a {@link ConnectedIrq} is made of. */
export interface ConnectedIrqParts {
  readonly interrupt: LineInterrupt;
  readonly end: WireEnd;
  readonly makeIrqfd: MakeIrqfd;
  readonly logger: Logger;
  /** Called for each interrupt that this process raises. */
  readonly onRaise: () => void;
  /** Called once. */
  readonly onClose: (source: IrqSource) => void;
}

/** A device connected to an interrupt line of a virtual machine. */
export class ConnectedIrq implements IrqSource {
  readonly interrupt: LineInterrupt;
  readonly #parts: ConnectedIrqParts;
  readonly #irqfds = new WiringSet();
  #live = true;

  constructor(parts: ConnectedIrqParts) {
    this.interrupt = parts.interrupt;
    this.#parts = parts;
  }

  raise(): void {
    this.#check('raise');
    this.#parts.end.raise();
    this.#parts.onRaise();
  }

  lower(): void {
    if (this.#live) this.#parts.end.lower();
  }

  irqfd(eventfd: EventFd, onSignal: () => void = () => this.raise()): Wiring {
    this.#check('wire');
    const { kernelAssisted, undo } = this.#parts.makeIrqfd(eventfd, onSignal);
    return this.#irqfds.add(kernelAssisted, undo);
  }

  #check(action: string): void {
    if (this.#live) return;
    const { irq } = this.interrupt;
    const text = `Cannot ${action} interrupt ${irq}: it is no longer connected`;
    throw new VmError('CLOSED', text, { irq });
  }

  close(): void {
    if (!this.#live) return;
    this.#live = false;
    this.#irqfds.close();
    this.#parts.onClose(this);
    try {
      this.#parts.end.close();
    } catch (error) {
      // A domain that is gone has no line to lower.
      this.#parts.logger.debug(
        { irq: this.interrupt.irq, error: errorMessage(error) },
        'could not lower an interrupt, going on',
      );
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
