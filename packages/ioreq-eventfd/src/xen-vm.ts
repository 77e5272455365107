import {
  type AddressRange,
  type BusHandler,
  type HeldAccesses,
  type IoeventfdMatch,
  type IrqCarrier,
  type IrqLine,
  type LineInterrupt,
  type ServedElsewhere,
  UserSpaceVm,
  type Wiring,
} from '@node-vmm/vm-device';
import type { GuestMemory } from '@node-vmm/vm-memory';
import { type EventFd, errorMessage, silentLogger } from '@node-vmm/vmm-sys-util';
import type { DeviceModelOps, DomId, XenOps } from '@node-vmm/xen-sys';
import { AccessRequest } from './access-request.ts';
import type { IoreqCounters } from './ioreq-dispatcher.ts';
import { KernelKicks } from './kernel-kicks.ts';
import { hypervisor } from './xen-hypervisor.ts';
import { checkXenIrq, type IrqKind, setXenIrq, xenCarrierOf } from './xen-interrupts.ts';
import { IoreqServer } from './xen-ioreq-server.ts';
import { KernelAssist } from './xen-kernel-assist.ts';
import { XenService } from './xen-service.ts';
import type { KeptXenVm, XenVmComponents, XenVmOptions } from './xen-vm-options.ts';
import { XenWindows } from './xen-windows.ts';

/**
 * A guest of Xen whose devices live in this process: one IOREQ server, one ioreq page, one event
 * channel for each vCPU. Does not need to be the guest's only device model.
 */
export class XenVm<M extends GuestMemory = GuestMemory> extends UserSpaceVm<M> {
  readonly domid: DomId;
  readonly vcpus: number;
  readonly #xen: XenOps;
  readonly #model: DeviceModelOps;
  readonly #server: IoreqServer;
  readonly #service: XenService;
  readonly #windows: XenWindows;
  readonly #assist: KernelAssist;
  readonly #kicks = new KernelKicks(() => this.#service.idle);
  readonly #irqs: IrqKind;
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
      const server = IoreqServer.open(xen, model, domid, takeUp);
      try {
        return new XenVm(components, options, { model, server });
      } catch (error) {
        server.abandon();
        throw error;
      }
    });
  }

  private constructor(
    components: XenVmComponents<M>,
    options: XenVmOptions,
    parts: {
      readonly model: DeviceModelOps;
      readonly server: IoreqServer;
    },
  ) {
    const { domid, answerLimit } = options;
    const { memory, poller, xen, invalidate, host } = components;
    const { model, server } = parts;
    const logger = (components.logger ?? silentLogger).child({ domid });
    const irqs = options.irqs ?? (process.arch === 'x64' ? 'isa' : 'spi');
    // Guests of Arm have no port instructions.
    const spaces = irqs === 'isa' ? (['port'] as const) : [];
    super({ name: `xen:${domid}`, spaces, memory, poller, logger });
    this.domid = domid;
    this.vcpus = server.vcpus;
    this.#xen = xen;
    this.#model = model;
    this.#server = server;
    this.#irqs = irqs;
    this.#windows = new XenWindows(
      { domid, server, memory: xen.memory, irqs, logger },
      options.takeUp?.windows ?? [],
    );
    this.#service = new XenService({
      name: this.name,
      domid,
      vcpus: server.vcpus,
      mapping: server.mapping,
      server: new AccessRequest(this.buses, () => this.memory),
      invalidate,
      poller,
      logger,
      host,
      spaces,
      answerLimit,
      takenUp: options.takeUp !== undefined,
      ends: { irqs, privcmdFd: xen.fd },
      carrierOf: (interrupt) => this.carrierOf(interrupt),
      setIrq: (irq, level) => this.#setIrq(irq, level),
    });
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
    return this.#kicks.count;
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
    const action = `ask who serves domain ${this.domid}`;
    return hypervisor(action, this.domid, () => this.#server.hasOthers);
  }

  override ioeventfd(match: IoeventfdMatch, eventfd: EventFd): Wiring {
    const user = this.#userIoeventfd(match, eventfd);
    try {
      const bus = this.busOf(match.space ?? 'memory', 'wire a register');
      const window = bus.windowOf(match.guestAddr, match.length);
      const { mapping: page, ports } = this.#service;
      const kernel = this.#assist.ioeventfd(match, window, { page, ports }, eventfd);
      if (kernel === undefined) return user;
      this.#kicks.begin();
      return this.wirings.add(true, () => {
        this.#kicks.end();
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
    // Before the guest can reach it.
    let unseat = this.#service.map(range, handler);
    const withdraw = (): void => {
      if (this.#keeping) this.#windows.forget(range);
      else this.#quietly('unmap a window', () => this.#windows.withdraw(range));
      unseat?.();
    };
    const first = !this.#service.begun;
    const later = this.#windows.awaited;
    try {
      this.#windows.claim(range, () => this.#enable());
    } catch (error) {
      unseat?.();
      throw error;
    }
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
    const windows = this.#windows.all;
    this.#keeping = true;
    await this.#service.pause();
    return { server: this.#server.id, vcpus: this.vcpus, windows };
  }

  /** Goes on serving after all; `close` gives everything back. */
  unkeep(): void {
    this.#keeping = false;
    this.#service.resume();
  }

  /** Xen allots event channel ports when the server is enabled, so they are bound after that. */
  #enable(): void {
    if (this.#service.begun) return;
    this.#server.enable(true);
    try {
      this.#service.begin(this.#xen.openEventChannels());
    } catch (error) {
      this.#server.enable(false);
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
      if (this.#service.begun) this.#server.enable(false);
    });
    this.#service.serviceAll();
  }

  protected release(): void {
    // Once more: the kernel may have been looking at a request until its help ended.
    this.#service.close(() => {
      if (this.#keeping) return;
      this.#quietly('destroy the IOREQ server', () => this.#server.destroy());
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
