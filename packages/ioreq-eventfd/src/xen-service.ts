import {
  type AddressRange,
  type BusHandler,
  type Held,
  type HeldAccesses,
  type IoeventfdMatch,
  type IrqCarrier,
  type IrqLine,
  type LineInterrupt,
  type ServedElsewhere,
  VmError,
} from '@node-vmm/vm-device';
import {
  type EventFd,
  errorMessage,
  type Logger,
  type Mapping,
  type Poller,
} from '@node-vmm/vmm-sys-util';
import type { DomId, EventChannelOps, Port } from '@node-vmm/xen-sys';
import type { AccessHost, AccessSeat } from './access-host.ts';
import type { AccessServer } from './access-request.ts';
import { countsOf } from './counts-of.ts';
import { DEFAULT_ANSWER_LIMIT, type IoreqCounters, IoreqDispatcher } from './ioreq-dispatcher.ts';
import { IoreqPage } from './ioreq-page.ts';
import type { XenEndsData } from './xen-ends.ts';
import { VcpuPorts } from './xen-vcpu-ports.ts';

/** What a {@link XenService} works with; the mapping becomes its own. */
export interface XenServiceComponents {
  readonly name: string;
  readonly domid: DomId;
  readonly vcpus: number;
  /** Of the ioreq page. */
  readonly mapping: Mapping;
  readonly server: AccessServer;
  readonly invalidate: (() => Held | undefined) | undefined;
  readonly poller: Poller;
  readonly logger: Logger;
  readonly host: AccessHost | undefined;
  readonly spaces: readonly 'port'[];
  readonly answerLimit: number | undefined;
  /** Another process served the guest until now. */
  readonly takenUp: boolean;
  /** Descriptors and numbers by which a host's thread reaches the guest. */
  readonly ends: Pick<XenEndsData, 'irqs' | 'privcmdFd'>;
  readonly carrierOf: (interrupt: LineInterrupt) => IrqCarrier;
  /** Sets an input of the guest's interrupt controller. */
  readonly setIrq: (irq: IrqLine, level: boolean) => void;
}

/** Who serves the ioreq page of a guest of Xen: a host's thread, or this one. */
export class XenService {
  readonly #components: XenServiceComponents;
  readonly #page: IoreqPage;
  /** Serves, unless there is a seat. */
  #dispatcher: IoreqDispatcher;
  #seat: AccessSeat | undefined;
  /** Whose thread has ended: what it counted counts. */
  #former: AccessSeat | undefined;
  #ports: VcpuPorts | undefined;
  #idle = 0;
  /** Wires that a device may have, and whether those of this thread want them high. */
  readonly #wires = new Map<IrqLine, boolean>();

  /** @throws {VmError} NOT_SUPPORTED when there are too many vCPUs */
  constructor(components: XenServiceComponents) {
    this.#components = components;
    this.#page = new IoreqPage(components.mapping.buffer(), components.vcpus);
    this.#dispatcher = this.#dispatch();
  }

  /** @param before - who served until now: its counts go on */
  #dispatch(before?: AccessSeat): IoreqDispatcher {
    const { server, invalidate, logger, answerLimit } = this.#components;
    return new IoreqDispatcher(
      {
        page: this.#page,
        server,
        notify: (vcpu) => this.#ports?.notify(vcpu),
        logger,
        ...(invalidate === undefined ? {} : { invalidate }),
        ...countsOf(before),
      },
      answerLimit === undefined ? {} : { answerLimit },
    );
  }

  /** True while a host's thread serves. */
  get seated(): boolean {
    return this.#seat !== undefined;
  }

  /** True once vCPUs are heard. */
  get begun(): boolean {
    return this.#ports !== undefined;
  }

  get mapping(): Mapping {
    return this.#components.mapping;
  }

  /** Local ports, in the order of vCPUs. */
  get ports(): readonly Port[] {
    return this.#ports?.local ?? [];
  }

  /** What a host's thread counts, or has counted. */
  get elsewhere(): ServedElsewhere | undefined {
    return this.#seat ?? this.#former;
  }

  get counters(): Readonly<IoreqCounters> {
    return this.#seat?.counters ?? this.#dispatcher.counters;
  }

  get held(): HeldAccesses {
    return this.#seat?.heldTimes.accesses ?? this.#dispatcher.heldTimes.accesses;
  }

  /** Times that a vCPU was said to have posted a request, and had not. */
  get idle(): number {
    return this.#idle + (this.#seat?.idle ?? 0);
  }

  /**
   * Hears vCPUs from now on; a seat takes nothing before {@link resume}. Xen allots ports when a server is
   * enabled: not before that.
   *
   * @param channels - become its own
   * @throws {XenSysError}
   */
  begin(channels: EventChannelOps): void {
    const { domid, host, takenUp } = this.#components;
    const ports = VcpuPorts.bind(channels, this.#page, domid);
    try {
      if (takenUp) this.#takeOver(ports);
      this.#seat = host === undefined ? undefined : this.#takeSeat(host, ports);
      this.#ports = ports;
      if (this.#seat === undefined) this.#listen();
    } catch (error) {
      this.#ports = undefined;
      ports.close();
      throw error;
    }
  }

  #takeOver(ports: VcpuPorts): void {
    this.#page.takeOver((vcpu) => {
      try {
        ports.notify(vcpu);
      } catch (error) {
        const text = 'could not tell a vCPU of an answer, the guest may be gone';
        this.#components.logger.error({ vcpu, error: errorMessage(error) }, text);
      }
    });
  }

  #takeSeat(host: AccessHost, ports: VcpuPorts): AccessSeat | undefined {
    const { name, domid, mapping, vcpus, ends, spaces, answerLimit, server, invalidate, logger } =
      this.#components;
    try {
      return host.seat({
        name,
        page: mapping,
        vcpus,
        ends: { kind: 'xen', domid, ...ends, channelsFd: ports.fd, ports: ports.local },
        spaces,
        answerLimit: answerLimit ?? DEFAULT_ANSWER_LIMIT,
        paused: true,
        carrierOf: (interrupt) => this.#carrierOf(interrupt),
        server,
        invalidate,
        gone: () => this.#goOnHere(),
      });
    } catch (error) {
      if (!VmError.is(error, 'CLOSED')) throw error;
      logger.warn({ reason: errorMessage(error) }, 'guest is served by the main thread');
      return undefined;
    }
  }

  #carrierOf(interrupt: LineInterrupt): IrqCarrier {
    const carrier = this.#components.carrierOf(interrupt);
    if (carrier !== 'message' && !this.#wires.has(interrupt.irq)) {
      this.#wires.set(interrupt.irq, false);
    }
    return carrier;
  }

  #listen(): void {
    const { poller, logger } = this.#components;
    this.#ports?.serve(
      poller,
      (vcpu) => {
        if (!this.#dispatcher.service(vcpu)) this.#idle++;
      },
      (error) => {
        const text = 'event channels cannot be read, the guest is answered no more';
        logger.error({ error: errorMessage(error) }, text);
      },
    );
  }

  /** What the thread that is gone had taken is taken anew; wires are as devices of this thread have them. */
  #goOnHere(): void {
    const { logger } = this.#components;
    const seat = this.#seat;
    if (seat === undefined || this.#ports === undefined) return;
    this.#idle += seat.idle;
    this.#former = seat;
    this.#seat = undefined;
    this.#dispatcher = this.#dispatch(seat);
    this.#takeOver(this.#ports);
    try {
      this.#listen();
      for (const [irq, level] of this.#wires) this.#components.setIrq(irq, level);
    } catch (error) {
      logger.error({ error: errorMessage(error) }, 'could not take a guest from a dead thread');
    }
    this.#dispatcher.serviceAll();
  }

  /** A window, before the guest can reach it. @returns takes it back; undefined where this thread has it */
  map(range: AddressRange, handler: BusHandler): (() => void) | undefined {
    return this.#seat?.map(range, handler);
  }

  /** As {@link map}. */
  ioeventfd(match: IoeventfdMatch, eventfd: EventFd): (() => void) | undefined {
    return this.#seat?.ioeventfd(match, eventfd);
  }

  /** Sets an input of the guest's interrupt controller; a wire may have devices on both threads. */
  setIrq(irq: IrqLine, level: boolean, carrier: IrqCarrier): void {
    if (carrier !== 'message') this.#wires.set(irq, level);
    if (carrier === 'message' || this.#seat === undefined) this.#components.setIrq(irq, level);
    else this.#seat.setIrq(irq, level, carrier);
  }

  /** Serves what was asked for and may have been announced to nobody; a seat does so by itself. */
  serviceAll(): void {
    if (this.#seat === undefined) this.#dispatcher.serviceAll();
  }

  /** As `IoreqDispatcher.pause`. */
  async pause(): Promise<void> {
    if (this.#seat !== undefined) await this.#seat.pause();
    else await new Promise<void>((paused) => this.#dispatcher.pause(paused));
  }

  resume(): void {
    if (this.#seat === undefined) this.#dispatcher.resume();
    else this.#seat.resume();
  }

  /**
   * Answers what is under way, and lets go of the guest.
   *
   * @param released - called when nothing of it is used any more, as a rule before this returns
   */
  close(released: () => void): void {
    const ports = this.#ports;
    const seat = this.#seat;
    const release = (): void => {
      this.#attempt('close event channels', () => ports?.close());
      this.#attempt('unmap the ioreq page', () => this.#components.mapping.close());
      released();
    };
    if (seat !== undefined) {
      seat.close(release);
      return;
    }
    this.#dispatcher.close();
    this.#ports = undefined;
    release();
  }

  #attempt(action: string, run: () => void): void {
    try {
      run();
    } catch (error) {
      const text = `could not ${action}, going on`;
      this.#components.logger.debug({ error: errorMessage(error) }, text);
    }
  }
}
