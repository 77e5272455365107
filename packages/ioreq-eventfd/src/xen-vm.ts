import {
  type AddressRange,
  type BusHandler,
  describeRange,
  type Held,
  type HeldAccesses,
  type IoeventfdMatch,
  type IrqCarrier,
  type IrqLine,
  type LineInterrupt,
  type NotificationMode,
  type ServedElsewhere,
  UserSpaceVm,
  VmError,
  type Wiring,
} from '@node-vmm/vm-device';
import type { GuestMemory } from '@node-vmm/vm-memory';
import {
  type EventFd,
  errorMessage,
  type Logger,
  type Mapping,
  type Poller,
  silentLogger,
} from '@node-vmm/vmm-sys-util';
import {
  asIoServId,
  type DeviceModelOps,
  type DomId,
  GUEST_LAYOUTS,
  type IoRange,
  type IoServId,
  type XenOps,
} from '@node-vmm/xen-sys';
import type { AccessHost } from './access-host.ts';
import { AccessRequest } from './access-request.ts';
import type { IoreqCounters } from './ioreq-dispatcher.ts';
import { checkXenIrq, type IrqKind, setXenIrq, xenCarrierOf } from './xen-interrupts.ts';
import { KernelAssist } from './xen-kernel-assist.ts';
import { hasOtherServers } from './xen-other-servers.ts';
import { checkPorts } from './xen-port-check.ts';
import { XenService } from './xen-service.ts';
import { checkWindow } from './xen-window-check.ts';

/** What a {@link XenVm} works with. All but the memory stay the caller's and outlive it. */
export interface XenVmComponents<M extends GuestMemory> {
  /** `XenHost.open()`, or the fake of `@node-vmm/xen-sys/testing`. */
  readonly xen: XenOps;
  /** Gets hold of guest memory; called once, when it is first used. Closed with the VM. */
  readonly memory: () => M;
  /** On Node's own event loop: deferred answers need promises. */
  readonly poller: Poller;
  readonly logger?: Logger;
  /** The guest gave pages back: what is mapped may be stale. It waits for what is returned, for a while. */
  readonly invalidate?: () => Held | undefined;
  /** Serves the guest's accesses on another thread; default: this one does, as where the host has ended. */
  readonly host?: AccessHost | undefined;
}

/** What one process left of a guest for the next to take up, as plain data. */
export interface KeptXenVm {
  /** Of the IOREQ server that is there still. */
  readonly server: number;
  readonly vcpus: number;
  /** Windows that it has. */
  readonly windows: readonly AddressRange[];
}

/** How a guest is served. */
export interface XenVmOptions {
  readonly domid: DomId;
  /**
   * Default `auto`: what the kernel cannot do is done in user space, with one log line saying why.
   * `kernel` is refused for ISA lines, which the kernel cannot serve without losing interrupts.
   */
  readonly notification?: NotificationMode;
  /** Which interrupts the guest has, and with them its layout; default by this machine's. */
  readonly irqs?: IrqKind;
  /** Milliseconds that a deferred answer may take. */
  readonly answerLimit?: number;
  /**
   * Takes up what {@link XenVm.keep} of another process left: its windows are to be mapped again, in one
   * turn of the event loop, and what vCPUs asked for meanwhile is answered after that.
   */
  readonly takeUp?: KeptXenVm;
}

/**
 * A guest of Xen whose devices live in this process: one IOREQ server, one ioreq page, one event
 * channel for each vCPU. Does not need to be the guest's only device model.
 */
export class XenVm<M extends GuestMemory = GuestMemory> extends UserSpaceVm<M> {
  readonly domid: DomId;
  readonly vcpus: number;
  readonly #xen: XenOps;
  readonly #model: DeviceModelOps;
  readonly #server: IoServId;
  readonly #service: XenService;
  readonly #assist: KernelAssist;
  readonly #irqs: IrqKind;
  /** Windows that the server has. */
  readonly #windows = new Set<AddressRange>();
  /** Windows that it had before and that nobody has mapped again. */
  readonly #left: AddressRange[];
  /** Notifications that the kernel takes. */
  #assisted = 0;
  #kernelKicks = 0;
  /** Vain announcements when it began to. */
  #idleBefore = 0;
  #keeping = false;

  /**
   * Creates the IOREQ server, disabled: the guest does not notice before the first window is mapped.
   * One that is taken up is not created, and where that fails nothing is done to it.
   *
   * @throws {VmError} HYPERVISOR: no such domain, no permission, a hypervisor without IOREQ
   * servers, more than 128 vCPUs, nothing that could be taken up; `cause` says which. NOT_SUPPORTED
   * for notification `kernel` on x86
   */
  static create<M extends GuestMemory>(
    components: XenVmComponents<M>,
    options: XenVmOptions,
  ): XenVm<M> {
    const { domid, takeUp } = options;
    const { xen } = components;
    return hypervisor(`serve domain ${domid}`, domid, () => {
      const model = xen.deviceModel(domid);
      const vcpus = model.nrVcpus();
      if (takeUp !== undefined && takeUp.vcpus !== vcpus) {
        throw new RangeError(`it has ${vcpus} vCPUs, and had ${takeUp.vcpus}`);
      }
      const server = takeUp === undefined ? model.createIoreqServer() : asIoServId(takeUp.server);
      let mapping: Mapping | undefined;
      try {
        mapping = xen.mapIoreqPage(domid, server, vcpus);
        return new XenVm(components, options, { model, vcpus, server, mapping });
      } catch (error) {
        mapping?.close();
        if (takeUp === undefined) model.destroyIoreqServer(server);
        throw error;
      }
    });
  }

  private constructor(
    components: XenVmComponents<M>,
    options: XenVmOptions,
    parts: {
      readonly model: DeviceModelOps;
      readonly vcpus: number;
      readonly server: IoServId;
      readonly mapping: Mapping;
    },
  ) {
    const { domid, answerLimit } = options;
    const { memory, poller, xen, invalidate, host } = components;
    const logger = (components.logger ?? silentLogger).child({ domid });
    const irqs = options.irqs ?? (process.arch === 'x64' ? 'isa' : 'spi');
    // Guests of Arm have no port instructions.
    const spaces = irqs === 'isa' ? (['port'] as const) : [];
    super({ name: `xen:${domid}`, spaces, memory, poller, logger });
    this.domid = domid;
    this.vcpus = parts.vcpus;
    this.#xen = xen;
    this.#model = parts.model;
    this.#server = parts.server;
    this.#irqs = irqs;
    this.#left = [...(options.takeUp?.windows ?? [])];
    this.#service = new XenService({
      name: this.name,
      domid,
      vcpus: parts.vcpus,
      mapping: parts.mapping,
      server: new AccessRequest(this.buses, () => this.memory),
      invalidate,
      poller,
      logger,
      host,
      spaces,
      answerLimit,
      ends: { irqs, privcmdFd: xen.fd },
      carrierOf: (interrupt) => this.carrierOf(interrupt),
      setIrq: (irq, level) => this.#setIrq(irq, level),
    });
    if (options.takeUp !== undefined) this.#service.putBack();
    this.#assist = new KernelAssist(
      { notifier: xen.notifier, logger },
      { domid, irqs: this.#irqs, mode: options.notification ?? 'auto' },
    );
  }

  /** What the ioreq path counted. */
  get counters(): Readonly<IoreqCounters> {
    return this.#service.counters;
  }

  /**
   * Notifications that the kernel took, as far as this process saw: an event of a vCPU without a request.
   * What comes at once is one event.
   */
  get kernelKicks(): number {
    const now = this.#assisted === 0 ? 0 : this.#service.idle - this.#idleBefore;
    return this.#kernelKicks + now;
  }

  /** True while a host's thread serves the guest: once there is a window, and until that thread ends. */
  get seated(): boolean {
    return this.#service.seated;
  }

  protected override get elsewhere(): ServedElsewhere | undefined {
    return this.#service.elsewhere;
  }

  /** How long its accesses were held. */
  get held(): HeldAccesses {
    return this.#service.held;
  }

  /** Whether somebody else serves devices of this guest, too: QEMU, or another process like this one. */
  get shared(): boolean {
    this.checkLive('ask who serves the guest');
    return hypervisor(`ask who serves domain ${this.domid}`, this.domid, () =>
      hasOtherServers(this.#model, this.#server),
    );
  }

  override ioeventfd(match: IoeventfdMatch, eventfd: EventFd): Wiring {
    const user = this.#userIoeventfd(match, eventfd);
    try {
      const bus = this.busOf(match.space ?? 'memory', 'wire a register');
      const window = bus.windowOf(match.guestAddr, match.length);
      const { mapping: page, ports } = this.#service;
      const kernel = this.#assist.ioeventfd(match, window, { page, ports }, eventfd);
      if (kernel === undefined) return user;
      if (this.#assisted++ === 0) this.#idleBefore = this.#service.idle;
      return this.wirings.add(true, () => {
        if (this.#assisted === 1) this.#kernelKicks = this.kernelKicks;
        this.#assisted--;
        this.#quietly('end an ioeventfd', () => kernel.close());
        // A seat does the same when it hears of it: a request that the kernel was looking at has nobody else.
        user.close();
        this.#service.serviceAll();
      });
    } catch (error) {
      user.close();
      throw error;
    }
  }

  /** Matched on the bus as well: what reaches this process all the same signals the same eventfd. */
  #userIoeventfd(match: IoeventfdMatch, eventfd: EventFd): Wiring {
    const wiring = super.ioeventfd(match, eventfd);
    const unwire = this.#service.ioeventfd(match, eventfd);
    if (unwire === undefined) return wiring;
    return this.wirings.add(false, () => {
      unwire();
      wiring.close();
    });
  }

  protected override makeIrqfd(
    interrupt: LineInterrupt,
    eventfd: EventFd,
    act: () => void,
  ): { readonly kernelAssisted: boolean; readonly undo: () => void } {
    const kernel = this.#assist.irqfd(interrupt.irq, eventfd);
    if (kernel === undefined) return super.makeIrqfd(interrupt, eventfd, act);
    const undo = (): void => this.#quietly('end an irqfd', () => kernel.close());
    return { kernelAssisted: true, undo };
  }

  protected carrierOf(interrupt: LineInterrupt): IrqCarrier {
    return xenCarrierOf(this.#irqs, interrupt);
  }

  protected setIrq(irq: IrqLine, level: boolean, carrier: IrqCarrier): void {
    this.#service.setIrq(irq, level, carrier);
  }

  #setIrq(irq: IrqLine, level: boolean): void {
    hypervisor(`set interrupt ${irq} of ${this.name}`, this.domid, () =>
      setXenIrq(this.#model, this.#irqs, irq, level),
    );
  }

  protected checkIrq(irq: IrqLine): void {
    checkXenIrq(this.#irqs, irq, this.domid);
  }

  protected claim(range: AddressRange, handler: BusHandler): () => void {
    const { space, base, length } = range;
    const type = space === 'port' ? 'port' : 'memory';
    const io: IoRange = { type, start: base, end: base + BigInt(length) - 1n };
    const left = this.#left.findIndex((window) => sameRange(window, range));
    // Before the guest can reach it.
    let unseat = this.#service.map(range, handler);
    const withdraw = (): void => {
      this.#windows.delete(range);
      if (!this.#keeping) {
        this.#quietly('unmap a window', () =>
          this.#model.unmapIoRangeFromIoreqServer(this.#server, io),
        );
      }
      unseat?.();
    };
    const first = !this.#service.begun;
    const later = this.#left.length > 0;
    try {
      hypervisor(`map ${describeRange(range)} of ${this.name}`, this.domid, () => {
        if (left >= 0) {
          this.#enable();
          this.#left.splice(left, 1);
          return;
        }
        this.#check(range);
        this.#model.mapIoRangeToIoreqServer(this.#server, io);
        try {
          this.#enable();
        } catch (error) {
          this.#model.unmapIoRangeFromIoreqServer(this.#server, io);
          throw error;
        }
      });
    } catch (error) {
      unseat?.();
      throw error;
    }
    this.#windows.add(range);
    if (first) {
      unseat = this.#service.map(range, handler);
      this.#begin(later);
    }
    return withdraw;
  }

  /** @param later - the other windows are being mapped */
  #begin(later: boolean): void {
    const begin = (): void => {
      if (!this.live || this.#keeping) return;
      if (this.#service.seated) this.#service.resume();
      else this.#service.serviceAll();
    };
    if (later) setImmediate(begin);
    else begin();
  }

  /**
   * Leaves the guest as it is to another process, which takes it up by what this returns: accesses are not
   * taken any more, so that vCPUs wait, and `close` gives back what this process has and leaves the
   * IOREQ server and its windows. Ends when everything that was taken is answered, or given back as it was.
   *
   * @throws {VmError} CLOSED
   */
  async keep(): Promise<KeptXenVm> {
    this.checkLive('leave the guest to another process');
    const windows = [...this.#windows, ...this.#left].map((range) => ({ ...range }));
    this.#keeping = true;
    await this.#service.pause();
    return { server: this.#server, vcpus: this.vcpus, windows };
  }

  /** Goes on serving after all; `close` gives everything back. */
  unkeep(): void {
    this.#keeping = false;
    this.#service.resume();
  }

  #check(range: AddressRange): void {
    const { domid, logger } = this;
    if (range.space === 'port') {
      checkPorts(range, this.name);
    } else {
      const { reserved } = GUEST_LAYOUTS[this.#irqs === 'isa' ? 'x86_64' : 'arm64'];
      checkWindow({ domid, memory: this.#xen.memory, reserved, logger }, range);
    }
  }

  /** Xen allots event channel ports when the server is enabled, so they are bound after that. */
  #enable(): void {
    if (this.#service.begun) return;
    this.#model.setIoreqServerState(this.#server, true);
    try {
      this.#service.begin(this.#xen.openEventChannels());
    } catch (error) {
      this.#model.setIoreqServerState(this.#server, false);
      throw error;
    }
  }

  /**
   * Xen forgets what vCPUs wait for when a server is destroyed, and they wait for ever. It disables a
   * server while the domain is paused: what was posted until then is all that there will be.
   */
  protected override quiesce(): void {
    // Of a guest that is left to another process nothing is taken, nor answered that nobody took.
    if (this.#keeping) return;
    this.#quietly('disable the IOREQ server', () => {
      if (this.#service.begun) this.#model.setIoreqServerState(this.#server, false);
    });
    this.#service.serviceAll();
  }

  protected release(): void {
    // Once more: the kernel may have been looking at a request until its help ended.
    this.#service.close(() => {
      if (this.#keeping) return;
      this.#quietly('destroy the IOREQ server', () => this.#model.destroyIoreqServer(this.#server));
    });
  }

  /** For giving back: a domain that is gone has nothing to take back, and must not stop the rest. */
  #quietly(action: string, run: () => void): void {
    try {
      run();
    } catch (error) {
      this.logger.debug({ error: errorMessage(error) }, `could not ${action}, going on`);
    }
  }
}

function sameRange(a: AddressRange, b: AddressRange): boolean {
  return a.space === b.space && a.base === b.base && a.length === b.length;
}

function hypervisor<T>(action: string, domid: DomId, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (VmError.is(error)) throw error;
    const text = `Cannot ${action}: ${errorMessage(error)}`;
    throw new VmError('HYPERVISOR', text, { vm: `xen:${domid}` }, { cause: error });
  }
}
