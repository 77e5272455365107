import type { GuestMemory } from '@node-vmm/vm-memory';
import { type EventFd, hex, type Logger, type Poller } from '@node-vmm/vmm-sys-util';
import { ConnectedIrq } from './connected-irq.ts';
import { IoreqError } from './errors.ts';
import type { IrqLine, IrqOptions, IrqSource, IrqTrigger } from './irq.ts';
import { type IrqCarrier, IrqWires } from './irq-wires.ts';
import { MmioBus } from './mmio-bus.ts';
import type { MmioHandler, MmioRange } from './mmio-handler.ts';
import { watchIrqfd } from './user-irqfd.ts';
import type { IoeventfdMatch, Vm } from './vm.ts';
import { type Wiring, WiringSet } from './wiring.ts';

/** What a {@link UserSpaceVm} works with. */
export interface UserSpaceVmComponents<M extends GuestMemory> {
  readonly name: string;
  /**
   * Gets hold of guest memory; called once, when it is first used, so that a device can be in place
   * before all of a large guest's memory is mapped. What it returns is closed with the VM.
   */
  readonly memory: () => M;
  readonly poller: Poller;
  readonly logger: Logger;
}

/**
 * The part of a `Vm` that needs no hypervisor: windows, ioeventfds matched on the bus, irqfds watched
 * by this process, interrupt wires, and the closing of what users leave open.
 */
export abstract class UserSpaceVm<M extends GuestMemory = GuestMemory> implements Vm {
  readonly name: string;
  readonly bus: MmioBus;
  protected readonly poller: Poller;
  protected readonly logger: Logger;
  protected readonly wirings: WiringSet = new WiringSet();
  readonly #openMemory: () => M;
  readonly #irqWires: IrqWires;
  readonly #irqSources = new Set<IrqSource>();
  #memory: M | undefined;
  #live = true;

  constructor(components: UserSpaceVmComponents<M>) {
    this.name = components.name;
    this.#openMemory = components.memory;
    this.poller = components.poller;
    this.logger = components.logger;
    this.bus = new MmioBus({ logger: components.logger });
    this.#irqWires = new IrqWires(this.name, (irq, level) => this.setIrq(irq, level));
  }

  get live(): boolean {
    return this.#live;
  }

  /** @throws {IoreqError} CLOSED, or what getting hold of it throws */
  get memory(): M {
    if (this.#memory === undefined) {
      this.checkLive('use guest memory');
      this.#memory = this.#openMemory();
    }
    return this.#memory;
  }

  mapMmio(range: MmioRange, handler: MmioHandler): Wiring {
    this.checkLive(`map an MMIO window at ${hex(range.base)}`);
    const unmap = this.bus.map(range, handler);
    let withdraw: () => void;
    try {
      withdraw = this.claim(range);
    } catch (error) {
      unmap();
      throw error;
    }
    return this.wirings.add(false, () => {
      withdraw();
      unmap();
    });
  }

  ioeventfd(match: IoeventfdMatch, eventfd: EventFd): Wiring {
    this.checkLive(`wire the register at ${hex(match.guestAddr)}`);
    return this.wirings.add(false, this.bus.addIoeventfd(match, eventfd));
  }

  connectIrq(irq: IrqLine, options: IrqOptions = {}): IrqSource {
    this.checkLive(`connect interrupt ${irq}`);
    this.checkIrq(irq);
    const source = new ConnectedIrq({
      irq,
      end: this.#irqWires.connect(irq, this.carrierOf(irq, options.trigger)),
      makeIrqfd: (...irqfd) => this.makeIrqfd(...irqfd),
      logger: this.logger,
      onClose: (closed) => this.#irqSources.delete(closed),
    });
    this.#irqSources.add(source);
    return source;
  }

  /** @returns whether the kernel does it, and what undoes it without throwing */
  protected makeIrqfd(
    _irq: IrqLine,
    eventfd: EventFd,
    act: () => void,
  ): { readonly kernelAssisted: boolean; readonly undo: () => void } {
    const undo = watchIrqfd(this.poller, eventfd, act, this.logger);
    return { kernelAssisted: false, undo };
  }

  /** Tells the hypervisor of a window. @returns undoes it, without throwing */
  protected abstract claim(range: MmioRange): () => void;
  /** @throws {IoreqError} BAD_IRQ */
  protected abstract checkIrq(irq: IrqLine): void;
  /** What carries an interrupt that {@link checkIrq} found good. */
  protected abstract carrierOf(irq: IrqLine, trigger: IrqTrigger | undefined): IrqCarrier;
  /**
   * Sets an input of the guest's interrupt controller. For a message only `true` comes, for each.
   *
   * @throws {IoreqError} HYPERVISOR
   */
  protected abstract setIrq(irq: IrqLine, level: boolean): void;
  /** Gives everything back; wirings and interrupts are closed already. Called once, must not throw. */
  protected abstract release(): void;

  /** @throws {IoreqError} CLOSED */
  protected checkLive(action: string): void {
    if (this.#live) return;
    throw new IoreqError('CLOSED', `Cannot ${action}: ${this.name} is closed`);
  }

  close(): void {
    if (!this.#live) return;
    this.#live = false;
    this.wirings.close();
    // A wire that stayed high would interrupt the guest for ever.
    for (const source of [...this.#irqSources]) source.close();
    this.release();
    this.#memory?.[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
