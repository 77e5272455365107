import type { GuestMemory } from '@node-vmm/vm-memory';
import { type EventFd, hex, type Logger, type Poller } from '@node-vmm/vmm-sys-util';
import { type AddressRange, type AddressSpace, describeRange, SPACES } from './address-space.ts';
import { addBus, Bus, type BusCounters } from './bus.ts';
import type { BusHandler } from './bus-handler.ts';
import { ConnectedIrq } from './connected-irq.ts';
import { VmError } from './errors.ts';
import type { Interrupt, IrqLine, IrqSource, LineInterrupt, MessageInterrupt } from './irq.ts';
import { type IrqCarrier, IrqWires } from './irq-wires.ts';
import { watchIrqfd } from './user-irqfd.ts';
import type { IoeventfdMatch, Vm } from './vm.ts';
import { type Wiring, WiringSet } from './wiring.ts';

/** What a {@link UserSpaceVm} works with. */
export interface UserSpaceVmComponents<M extends GuestMemory> {
  readonly name: string;
  /** Address spaces besides memory in which accesses can reach a device of this process. */
  readonly spaces: readonly Exclude<AddressSpace, 'memory'>[];
  /**
   * Gets hold of guest memory; called once, when it is first used, so that a device can be in place
   * before all of a large guest's memory is mapped. What it returns is closed with the VM.
   */
  readonly memory: () => M;
  readonly poller: Poller;
  readonly logger: Logger;
}

/** What a machine is told of a device's end of an interrupt. */
export interface IrqEvents {
  /** For each interrupt that this process raises. */
  readonly onRaise: () => void;
  /** Once, when it is closed. */
  readonly onClose: (closed: IrqSource) => void;
}

/** What another thread counts that serves a machine's accesses. */
export interface ServedElsewhere {
  /** Accesses to memory. */
  readonly bus: Readonly<BusCounters>;
  /** Raised for devices that it has. */
  readonly interrupts: number;
}

/** A bus for each address space that a machine has. All have memory. */
export type Buses = { readonly memory: Bus } & Readonly<Partial<Record<AddressSpace, Bus>>>;

/**
 * The part of a `Vm` that needs no hypervisor: windows, ioeventfds matched on the bus, irqfds watched
 * by this process, interrupt wires, and the closing of what users leave open.
 */
export abstract class UserSpaceVm<M extends GuestMemory = GuestMemory> implements Vm {
  readonly name: string;
  readonly buses: Buses;
  protected readonly poller: Poller;
  protected readonly logger: Logger;
  protected readonly wirings: WiringSet = new WiringSet();
  readonly #openMemory: () => M;
  readonly #irqWires: IrqWires;
  readonly #irqSources = new Set<IrqSource>();
  #memory: M | undefined;
  #live = true;
  #interrupts = 0;

  constructor(components: UserSpaceVmComponents<M>) {
    this.name = components.name;
    this.#openMemory = components.memory;
    this.poller = components.poller;
    this.logger = components.logger;
    const { logger } = components;
    const others = components.spaces.map((space) => [space, new Bus(space, { logger })]);
    this.buses = { memory: new Bus('memory', { logger }), ...Object.fromEntries(others) };
    this.#irqWires = new IrqWires(this.name, (irq, level, carrier) =>
      this.setIrq(irq, level, carrier),
    );
  }

  get live(): boolean {
    return this.#live;
  }

  /** Interrupts that devices raised through this process; those that the kernel injects are not seen. */
  get interrupts(): number {
    return this.#interrupts + (this.elsewhere?.interrupts ?? 0);
  }

  /** What was found of accesses to memory; those that another thread passes on may count as two. */
  get memoryBus(): Readonly<BusCounters> {
    const { counters } = this.buses.memory;
    return this.elsewhere === undefined ? counters : addBus(counters, this.elsewhere.bus);
  }

  /** Where another thread serves accesses: what it counted. */
  protected get elsewhere(): ServedElsewhere | undefined {
    return undefined;
  }

  /** @throws {VmError} CLOSED, or what getting hold of it throws */
  get memory(): M {
    if (this.#memory === undefined) {
      this.checkLive('use guest memory');
      this.#memory = this.#openMemory();
    }
    return this.#memory;
  }

  map(range: AddressRange, handler: BusHandler): Wiring {
    const action = `map ${describeRange(range)}`;
    this.checkLive(action);
    const unmap = this.busOf(range.space, action).map(range, handler);
    let withdraw: () => void;
    try {
      withdraw = this.claim(range, handler);
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
    const { space = 'memory', guestAddr } = match;
    const action = `wire ${SPACES[space].register} ${hex(guestAddr)}`;
    this.checkLive(action);
    return this.wirings.add(false, this.busOf(space, action).addIoeventfd(match, eventfd));
  }

  connectIrq(interrupt: Interrupt): IrqSource {
    this.checkLive('connect an interrupt');
    const onClose = (closed: IrqSource): void => {
      this.#irqSources.delete(closed);
    };
    const onRaise = (): void => {
      this.#interrupts++;
    };
    const events: IrqEvents = { onClose, onRaise };
    const source =
      interrupt.kind === 'message'
        ? this.connectMessage(interrupt, events)
        : this.#connectLine(interrupt, events);
    this.#irqSources.add(source);
    return source;
  }

  #connectLine(interrupt: LineInterrupt, events: IrqEvents): IrqSource {
    const { irq } = interrupt;
    this.checkIrq(irq);
    return new ConnectedIrq({
      interrupt,
      end: this.#irqWires.connect(irq, this.carrierOf(interrupt)),
      makeIrqfd: (eventfd, act) => this.makeIrqfd(interrupt, eventfd, act),
      logger: this.logger,
      ...events,
    });
  }

  /**
   * Connects a device that interrupts by messages; machines with lines only leave it as it is.
   *
   * @throws {VmError} NOT_SUPPORTED, BAD_IRQ
   */
  protected connectMessage({ address }: MessageInterrupt, _events: IrqEvents): IrqSource {
    const text = `Cannot connect a message interrupt of ${this.name}: it has lines only`;
    throw new VmError('NOT_SUPPORTED', text, { vm: this.name, guestAddr: address });
  }

  /** @returns whether the kernel does it, and what undoes it without throwing */
  protected makeIrqfd(
    _interrupt: LineInterrupt,
    eventfd: EventFd,
    act: () => void,
  ): { readonly kernelAssisted: boolean; readonly undo: () => void } {
    return this.watchIrqfd(eventfd, act);
  }

  /** An irqfd of this process, of whatever interrupt. @throws {SysError} when the eventfd cannot be watched */
  protected watchIrqfd(
    eventfd: EventFd,
    act: () => void,
  ): { readonly kernelAssisted: boolean; readonly undo: () => void } {
    const undo = watchIrqfd(this.poller, eventfd, act, this.logger);
    return { kernelAssisted: false, undo };
  }

  /** Tells the hypervisor of a window, and of who serves it. @returns undoes it, without throwing */
  protected abstract claim(range: AddressRange, handler: BusHandler): () => void;
  /** @throws {VmError} BAD_IRQ */
  protected abstract checkIrq(irq: IrqLine): void;
  /** What carries an interrupt that {@link checkIrq} found good. */
  protected abstract carrierOf(interrupt: LineInterrupt): IrqCarrier;
  /**
   * Sets an input of the guest's interrupt controller. For a carrier that is a message only `true` comes, for each.
   *
   * @throws {VmError} HYPERVISOR
   */
  protected abstract setIrq(irq: IrqLine, level: boolean, carrier: IrqCarrier): void;
  /**
   * Sees to it that accesses of the guest reach nothing here any more, and serves those that are under
   * way while their windows are still there. Called once, before everything is given back; must not throw.
   */
  protected quiesce(): void {}
  /** Gives everything back; wirings and interrupts are closed already. Called once, must not throw. */
  protected abstract release(): void;

  /** @throws {VmError} CLOSED */
  protected checkLive(action: string): void {
    if (this.#live) return;
    throw new VmError('CLOSED', `Cannot ${action}: ${this.name} is closed`, { vm: this.name });
  }

  /**
   * @param action - for the message: `map ...`
   * @throws {VmError} NOT_SUPPORTED
   */
  protected busOf(space: AddressSpace, action: string): Bus {
    const bus = this.buses[space];
    if (bus !== undefined) return bus;
    const text = `Cannot ${action}: ${this.name} has no ${SPACES[space].whole} for devices`;
    throw new VmError('NOT_SUPPORTED', text, { vm: this.name, space });
  }

  close(): void {
    if (!this.#live) return;
    this.#live = false;
    this.quiesce();
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
