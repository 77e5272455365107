import { VmError } from './errors.ts';
import type { IrqLine, IrqTrigger } from './irq.ts';

/** What carries an interrupt: messages that are interrupts each by itself, or a wire. */
export type IrqCarrier = 'message' | IrqTrigger;

/** One device's end of a wire. */
export interface WireEnd {
  raise(): void;
  lower(): void;
  /** Lowers, and lets go of the wire. Idempotent. */
  close(): void;
}

/**
 * One interrupt and the devices at it. A level wire is high while anything of any device is pending.
 * The controller latches nothing but the rise of an edge wire, so each event must bring one: that is
 * why the wire is lowered before it is raised again, and why it has one device only.
 */
class IrqWire {
  readonly carrier: IrqCarrier;
  readonly #set: (level: boolean) => void;
  readonly #pending = new Set<WireEnd>();
  readonly #ends = new Set<WireEnd>();
  #high = false;

  constructor(carrier: IrqCarrier, set: (level: boolean) => void) {
    this.carrier = carrier;
    this.#set = set;
  }

  get ends(): number {
    return this.#ends.size;
  }

  connect(onClose: () => void): WireEnd {
    const end: WireEnd = {
      raise: () => this.#raise(end),
      lower: () => this.#lower(end),
      close: () => {
        if (!this.#ends.delete(end)) return;
        onClose();
        this.#lower(end);
      },
    };
    this.#ends.add(end);
    return end;
  }

  #raise(end: WireEnd): void {
    if (this.carrier === 'message') {
      this.#set(true);
      return;
    }
    if (this.carrier === 'edge') this.#drive(false);
    this.#pending.add(end);
    this.#drive(true);
  }

  #lower(end: WireEnd): void {
    this.#pending.delete(end);
    if (this.#pending.size === 0) this.#drive(false);
  }

  // What the hypervisor refused has not happened: the next call tries again.
  #drive(level: boolean): void {
    if (this.#high === level) return;
    this.#set(level);
    this.#high = level;
  }
}

/** Sets an input of the guest's interrupt controller. */
export type SetIrq = (irq: IrqLine, level: boolean, carrier: IrqCarrier) => void;

/** The interrupts of one virtual machine that devices are connected to. */
export class IrqWires {
  readonly #name: string;
  readonly #set: SetIrq;
  readonly #wires = new Map<IrqLine, IrqWire>();

  /**
   * @param name - of the virtual machine, for messages
   * @param set - sets an input of the guest's interrupt controller; of messages it hears `true` only
   */
  constructor(name: string, set: SetIrq) {
    this.#name = name;
    this.#set = set;
  }

  /** @throws {VmError} IRQ_IN_USE */
  connect(irq: IrqLine, carrier: IrqCarrier): WireEnd {
    const known = this.#wires.get(irq);
    if (known !== undefined) this.#checkShared(irq, known, carrier);
    const wire = known ?? new IrqWire(carrier, (level) => this.#set(irq, level, carrier));
    this.#wires.set(irq, wire);
    return wire.connect(() => {
      if (wire.ends === 0) this.#wires.delete(irq);
    });
  }

  #checkShared(irq: IrqLine, known: IrqWire, carrier: IrqCarrier): void {
    const refuse = (state: string): never => {
      throw new VmError(
        'IRQ_IN_USE',
        `Cannot connect interrupt ${irq} of ${this.#name}: ${state}`,
        { vm: this.#name, irq },
      );
    };
    if (known.carrier !== carrier) {
      refuse(
        `another device has it with trigger ${known.carrier}, this one asks for ${carrier}; ` +
          'give both the trigger that the guest has, or this one another line',
      );
    }
    if (carrier === 'edge') {
      refuse(
        'another device has it, and an edge-triggered line cannot be shared; ' +
          'give this one another line, or both a level-triggered one',
      );
    }
  }
}
