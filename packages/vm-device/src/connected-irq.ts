import { errorMessage, type Logger } from '@node-vmm/vmm-sys-util';
import { VmError } from './errors.ts';
import type { IrqSource, LineInterrupt } from './irq.ts';
import type { WireEnd } from './irq-wires.ts';
import { type MakeIrqfd, WiredIrq } from './wired-irq.ts';

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
export class ConnectedIrq extends WiredIrq<LineInterrupt> {
  readonly #parts: ConnectedIrqParts;

  constructor(parts: ConnectedIrqParts) {
    super(parts.interrupt, parts.makeIrqfd);
    this.#parts = parts;
  }

  protected override send(): void {
    this.#parts.end.raise();
    this.#parts.onRaise();
  }

  protected override fall(): void {
    this.#parts.end.lower();
  }

  protected override disconnect(): void {
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

  protected override closedError(action: string): VmError {
    const { irq } = this.interrupt;
    const text = `Cannot ${action} interrupt ${irq}: it is no longer connected`;
    return new VmError('CLOSED', text, { irq });
  }
}
