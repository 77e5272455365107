import {
  type AddressRange,
  describeRange,
  type Held,
  type HeldAccesses,
  type IoeventfdMatch,
  type IrqCarrier,
  type IrqLine,
  type LineInterrupt,
  type NotificationMode,
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
import { AccessRequest } from './access-request.ts';
import { type IoreqCounters, IoreqDispatcher } from './ioreq-dispatcher.ts';
import { IoreqPage } from './ioreq-page.ts';
import { checkXenIrq, type IrqKind, xenCarrierOf } from './xen-interrupts.ts';
import { KernelAssist } from './xen-kernel-assist.ts';
import { hasOtherServers } from './xen-other-servers.ts';
import { checkPorts } from './xen-port-check.ts';
import { VcpuPorts } from './xen-vcpu-ports.ts';
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
  readonly #mapping: Mapping;
  readonly #page: IoreqPage;
  readonly #dispatcher: IoreqDispatcher;
  readonly #assist: KernelAssist;
  readonly #irqs: IrqKind;
  /** Windows that the server has. */
  readonly #windows = new Set<AddressRange>();
  /** Windows that it had before and that nobody has mapped again. */
  readonly #left: AddressRange[];
  #ports: VcpuPorts | undefined;
  /** Notifications that the kernel takes. */
  #assisted = 0;
  #kernelKicks = 0;
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
    const { memory, poller, xen, invalidate } = components;
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
    this.#mapping = parts.mapping;
    this.#page = new IoreqPage(parts.mapping.buffer(), parts.vcpus);
    this.#irqs = irqs;
    this.#left = [...(options.takeUp?.windows ?? [])];
    if (options.takeUp !== undefined) {
      // Whoever took a request and is gone answers it no more.
      for (let vcpu = 0; vcpu < parts.vcpus; vcpu++) this.#page.putBack(vcpu);
    }
    this.#dispatcher = new IoreqDispatcher(
      {
        page: this.#page,
        server: new AccessRequest(this.buses, () => this.memory),
        notify: (vcpu) => this.#ports?.notify(vcpu),
        logger,
        ...(invalidate === undefined ? {} : { invalidate }),
      },
      answerLimit === undefined ? {} : { answerLimit },
    );
    this.#assist = new KernelAssist(
      { notifier: xen.notifier, logger },
      { domid, irqs: this.#irqs, mode: options.notification ?? 'auto' },
    );
  }

  /** What the ioreq path counted. */
  get counters(): Readonly<IoreqCounters> {
    return this.#dispatcher.counters;
  }

  /**
   * Notifications that the kernel took, as far as this process saw: an event of a vCPU without a request.
   * What comes at once is one event.
   */
  get kernelKicks(): number {
    return this.#kernelKicks;
  }

  /** How long its accesses were held. */
  get held(): HeldAccesses {
    return this.#dispatcher.heldTimes.accesses;
  }

  /** Whether somebody else serves devices of this guest, too: QEMU, or another process like this one. */
  get shared(): boolean {
    this.checkLive('ask who serves the guest');
    return hypervisor(`ask who serves domain ${this.domid}`, this.domid, () =>
      hasOtherServers(this.#model, this.#server),
    );
  }

  override ioeventfd(match: IoeventfdMatch, eventfd: EventFd): Wiring {
    // Matched on the bus as well: what reaches this process all the same signals the same eventfd.
    const user = super.ioeventfd(match, eventfd);
    try {
      const bus = this.busOf(match.space ?? 'memory', 'wire a register');
      const window = bus.windowOf(match.guestAddr, match.length);
      const ports = this.#ports?.local ?? [];
      const kernel = this.#assist.ioeventfd(match, window, { page: this.#mapping, ports }, eventfd);
      if (kernel === undefined) return user;
      this.#assisted++;
      return this.wirings.add(true, () => {
        this.#assisted--;
        this.#quietly('end an ioeventfd', () => kernel.close());
        user.close();
        // A request that the kernel was looking at has nobody else to serve it.
        this.#dispatcher.serviceAll();
      });
    } catch (error) {
      user.close();
      throw error;
    }
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

  protected setIrq(irq: IrqLine, level: boolean): void {
    hypervisor(`set interrupt ${irq} of ${this.name}`, this.domid, () => {
      if (this.#irqs === 'isa') this.#model.setIsaIrqLevel(irq, level);
      else this.#model.setIrqLevel(irq, level);
    });
  }

  protected checkIrq(irq: IrqLine): void {
    checkXenIrq(this.#irqs, irq, this.domid);
  }

  protected claim(range: AddressRange): () => void {
    const { space, base, length } = range;
    const type = space === 'port' ? 'port' : 'memory';
    const io: IoRange = { type, start: base, end: base + BigInt(length) - 1n };
    const left = this.#left.findIndex((window) => sameRange(window, range));
    const withdraw = (): void => {
      this.#windows.delete(range);
      if (this.#keeping) return;
      this.#quietly('unmap a window', () =>
        this.#model.unmapIoRangeFromIoreqServer(this.#server, io),
      );
    };
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
    this.#windows.add(range);
    return withdraw;
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
    await new Promise<void>((paused) => this.#dispatcher.pause(paused));
    return { server: this.#server, vcpus: this.vcpus, windows };
  }

  /** Goes on serving after all; `close` gives everything back. */
  unkeep(): void {
    this.#keeping = false;
    this.#dispatcher.resume();
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
    if (this.#ports !== undefined) return;
    this.#model.setIoreqServerState(this.#server, true);
    try {
      this.#ports = VcpuPorts.bind(
        { channels: this.#xen.openEventChannels(), page: this.#page, poller: this.poller },
        this.domid,
        (vcpu) => {
          const served = this.#dispatcher.service(vcpu);
          if (!served && this.#assisted > 0) this.#kernelKicks++;
        },
      );
    } catch (error) {
      this.#model.setIoreqServerState(this.#server, false);
      throw error;
    }
    if (this.#left.length === 0) this.#dispatcher.serviceAll();
    // The other windows are being mapped.
    else setImmediate(() => this.#dispatcher.serviceAll());
  }

  /**
   * Xen forgets what vCPUs wait for when a server is destroyed, and they wait for ever. It disables a
   * server while the domain is paused: what was posted until then is all that there will be.
   */
  protected override quiesce(): void {
    // Of a guest that is left to another process nothing is taken, nor answered that nobody took.
    if (this.#keeping) return;
    this.#quietly('disable the IOREQ server', () => {
      if (this.#ports !== undefined) this.#model.setIoreqServerState(this.#server, false);
    });
    this.#dispatcher.serviceAll();
  }

  protected release(): void {
    // Once more: the kernel may have been looking at a request until its help ended.
    this.#dispatcher.close();
    const ports = this.#ports;
    this.#ports = undefined;
    this.#quietly('close event channels', () => ports?.close());
    this.#quietly('unmap the ioreq page', () => this.#mapping.close());
    if (this.#keeping) return;
    this.#quietly('destroy the IOREQ server', () => this.#model.destroyIoreqServer(this.#server));
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
