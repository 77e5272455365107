import { type EventFd, errorMessage, type Logger } from '@node-vmm/vmm-sys-util';
import { IoreqError } from './errors.ts';
import type { IrqLine, IrqSource } from './irq.ts';
import type { WireEnd } from './irq-wires.ts';
import { type Wiring, WiringSet } from './wiring.ts';

/** Makes an irqfd. @returns whether the kernel does it, and what undoes it without throwing */
export type MakeIrqfd = (
  irq: IrqLine,
  eventfd: EventFd,
  act: () => void,
) => { readonly kernelAssisted: boolean; readonly undo: () => void };

/** What a {@link ConnectedIrq} is made of. */
export interface ConnectedIrqParts {
  readonly irq: IrqLine;
  readonly end: WireEnd;
  readonly makeIrqfd: MakeIrqfd;
  readonly logger: Logger;
  /** Called once. */
  readonly onClose: (source: IrqSource) => void;
}

/** A device connected to an interrupt of a virtual machine. */
export class ConnectedIrq implements IrqSource {
  readonly irq: IrqLine;
  readonly #parts: ConnectedIrqParts;
  readonly #irqfds = new WiringSet();
  #live = true;

  constructor(parts: ConnectedIrqParts) {
    this.irq = parts.irq;
    this.#parts = parts;
  }

  raise(): void {
    this.#check('raise');
    this.#parts.end.raise();
  }

  lower(): void {
    if (this.#live) this.#parts.end.lower();
  }

  irqfd(eventfd: EventFd, onSignal: () => void = () => this.raise()): Wiring {
    this.#check('wire');
    const { kernelAssisted, undo } = this.#parts.makeIrqfd(this.irq, eventfd, onSignal);
    return this.#irqfds.add(kernelAssisted, undo);
  }

  #check(action: string): void {
    if (this.#live) return;
    throw new IoreqError(
      'CLOSED',
      `Cannot ${action} interrupt ${this.irq}: it is no longer connected`,
      { irq: this.irq },
    );
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
        { irq: this.irq, error: errorMessage(error) },
        'could not lower an interrupt, going on',
      );
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
