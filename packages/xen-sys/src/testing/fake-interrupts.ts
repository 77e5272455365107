import { PCI_ISA_IRQ_MASK } from '../abi/arch-x86.ts';

/** An interrupt line that was set. */
export interface FakeIrq {
  readonly kind: 'spi' | 'isa' | 'msi';
  /** Line number, or the data of an MSI. */
  readonly irq: number;
  readonly level: boolean;
}

interface Input {
  /** Level of the wire, as last set. */
  high: boolean;
  /** An edge that no CPU has taken yet. */
  latched: boolean;
  /** A CPU serves it: nothing further of this input is taken until it ends. */
  active: boolean;
}

/**
 * The interrupt controllers of a fake guest, as its CPU meets them. As Xen's GIC does, an SPI latches
 * whenever it is set to 1. As its IO-APIC does, an ISA line latches when it rises, or, where the
 * firmware made it a level, interrupts for as long as it is high.
 */
export class FakeInterrupts {
  /** ISA lines that are levels; as hvmloader has them, until a test changes that. */
  readonly levels: Set<number> = new Set(
    Array.from({ length: 16 }, (_, irq) => irq).filter((irq) => PCI_ISA_IRQ_MASK & (1 << irq)),
  );
  readonly #inputs = new Map<string, Input>();

  /** Sets an input, as the device model operations do. */
  set({ kind, irq, level }: FakeIrq): void {
    const input = this.#input(kind, irq);
    if (level && (kind !== 'isa' || !input.high)) input.latched = true;
    input.high = level;
  }

  /** A CPU takes the interrupt, if there is one to take; `end` must follow. */
  take(kind: FakeIrq['kind'], irq: number): boolean {
    const input = this.#input(kind, irq);
    const level = kind === 'isa' && this.levels.has(irq);
    if (input.active || !(level ? input.high : input.latched)) return false;
    input.active = true;
    input.latched = false;
    return true;
  }

  /** The CPU has served it (EOI). */
  end(kind: FakeIrq['kind'], irq: number): void {
    this.#input(kind, irq).active = false;
  }

  /** Level of a line, as last set. */
  isHigh(kind: FakeIrq['kind'], irq: number): boolean {
    return this.#input(kind, irq).high;
  }

  #input(kind: FakeIrq['kind'], irq: number): Input {
    const key = `${kind} ${irq}`;
    const known = this.#inputs.get(key);
    if (known !== undefined) return known;
    const input = { high: false, latched: false, active: false };
    this.#inputs.set(key, input);
    return input;
  }
}
