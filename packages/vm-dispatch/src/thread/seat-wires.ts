import type { GuestEnds } from '@node-vmm/ioreq-eventfd/ends';
import { type IrqCarrier, type IrqLine, IrqWires, type WireEnd } from '@node-vmm/vm-device';
import { errorMessage, type Logger } from '@node-vmm/vmm-sys-util';

/**
 * The interrupts of a guest. A wire is high while a device here or one of the main thread's wants it so: all of
 * those together are one device more.
 */
export class SeatWires {
  readonly #wires: IrqWires;
  readonly #logger: Logger;
  readonly #main = new Map<IrqLine, WireEnd>();
  readonly #ends: GuestEnds;
  /** Wires that another thread may have left high; undefined where none had the guest. */
  readonly #lowered: Set<IrqLine> | undefined;
  #failed = false;

  /** @param resumed - another thread had the guest, and has died */
  constructor(name: string, ends: GuestEnds, logger: Logger, resumed: boolean) {
    this.#wires = new IrqWires(name, (irq, level, carrier) => ends.setIrq(irq, level, carrier));
    this.#ends = ends;
    this.#logger = logger;
    this.#lowered = resumed ? new Set() : undefined;
  }

  /** A device here. @throws {VmError} IRQ_IN_USE */
  connect(irq: IrqLine, carrier: IrqCarrier): WireEnd {
    this.#lower(irq, carrier);
    return this.#wires.connect(irq, carrier);
  }

  /** Before anybody here wants it high. */
  #lower(irq: IrqLine, carrier: IrqCarrier): void {
    if (carrier === 'message' || this.#lowered === undefined || this.#lowered.has(irq)) return;
    this.#lowered.add(irq);
    this.#ends.setIrq(irq, false, carrier);
  }

  /** What devices of the main thread want; never throws. */
  setByMain(irq: IrqLine, level: boolean, carrier: IrqCarrier): void {
    this.attempt(() => {
      this.#lower(irq, carrier);
      const known = this.#main.get(irq);
      if (!level) {
        this.#main.delete(irq);
        known?.close();
        return;
      }
      const end = known ?? this.#wires.connect(irq, carrier);
      this.#main.set(irq, end);
      end.raise();
    });
  }

  /** For what a guest that is going away refuses: it must not take the thread with it. */
  attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (this.#failed) return;
      this.#failed = true;
      const text = 'an interrupt could not be set, logged once';
      this.#logger.warn({ error: errorMessage(error) }, text);
    }
  }
}
