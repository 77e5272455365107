import type { EventFd } from '@node-vmm/vmm-sys-util';
import type { VmError } from './errors.ts';
import type { Interrupt, IrqSource } from './irq.ts';
import { type Wiring, WiringSet } from './wiring.ts';

/** Makes an irqfd. @returns whether the kernel does it, and what undoes it without throwing */
export type MakeIrqfd = (
  eventfd: EventFd,
  act: () => void,
) => { readonly kernelAssisted: boolean; readonly undo: () => void };

/** A device's end of an interrupt, as far as it does not matter what carries it: its irqfds, and its end. */
export abstract class WiredIrq<I extends Interrupt = Interrupt> implements IrqSource {
  readonly interrupt: I;
  readonly #makeIrqfd: MakeIrqfd;
  readonly #irqfds = new WiringSet();
  #live = true;

  constructor(interrupt: I, makeIrqfd: MakeIrqfd) {
    this.interrupt = interrupt;
    this.#makeIrqfd = makeIrqfd;
  }

  raise(): void {
    this.#check('raise');
    this.send();
  }

  lower(): void {
    if (this.#live) this.fall();
  }

  irqfd(eventfd: EventFd, onSignal: () => void = () => this.raise()): Wiring {
    this.#check('wire');
    const { kernelAssisted, undo } = this.#makeIrqfd(eventfd, onSignal);
    return this.#irqfds.add(kernelAssisted, undo);
  }

  close(): void {
    if (!this.#live) return;
    this.#live = false;
    this.#irqfds.close();
    this.disconnect();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #check(action: string): void {
    if (!this.#live) throw this.closedError(action);
  }

  /** Interrupts the guest once more. @throws {VmError} HYPERVISOR */
  protected abstract send(): void;
  /** Nothing is pending any more. @throws {VmError} HYPERVISOR */
  protected abstract fall(): void;
  /** Called once, when the irqfds are gone; does not throw. */
  protected abstract disconnect(): void;
  /** What is said of an action after that. */
  protected abstract closedError(action: string): VmError;
}
