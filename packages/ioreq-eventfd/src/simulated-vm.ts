import {
  type AddressRange,
  type BusHandler,
  type HeldAccesses,
  HeldTimes,
  type IoeventfdMatch,
  type IrqCarrier,
  type IrqLine,
  type NotificationMode,
  type ServedElsewhere,
  UserSpaceVm,
  VmError,
  type Wiring,
} from '@node-vmm/vm-device';
import { GuestMemoryMmap, type GuestRange, guestAddress } from '@node-vmm/vm-memory';
import {
  closeFd,
  EventFd,
  type Fd,
  hex,
  type Logger,
  Mapping,
  memfdCreate,
  PAGE_SIZE,
  type Poller,
  silentLogger,
} from '@node-vmm/vmm-sys-util';
import type { AccessHost, AccessSeat } from './access-host.ts';
import { AccessRequest } from './access-request.ts';
import { countsOf } from './counts-of.ts';
import {
  DEFAULT_ANSWER_LIMIT,
  type IoreqCounters,
  IoreqDispatcher,
  ioreqCounters,
} from './ioreq-dispatcher.ts';
import { IoreqPage } from './ioreq-page.ts';
import type { SimulatedMachine } from './simulated-machine.ts';

/** How a simulated machine is built; everything has a default. */
export interface SimulatedVmOptions {
  /** Default 16 MiB at 0x4000_0000. */
  readonly ram?: Iterable<GuestRange>;
  /** Default 1. */
  readonly vcpus?: number;
  /** Interrupt lines, default 33 to 43, as Xen on arm gives them to virtio devices. */
  readonly irqs?: readonly IrqLine[];
  /** `kernel` is refused: there is no hypervisor that could do it. */
  readonly notification?: NotificationMode;
  /** Milliseconds that a deferred answer may take. */
  readonly answerLimit?: number;
}

/** What a {@link SimulatedVm} works with. */
export interface SimulatedVmComponents {
  /** On Node's own event loop: deferred answers need promises. */
  readonly poller: Poller;
  readonly logger?: Logger;
  /** Serves the guest's accesses on another thread; default: this one does. */
  readonly host?: AccessHost;
}

interface SimulatedVcpu {
  readonly request: EventFd;
  readonly answer: EventFd;
}

const DEFAULT_RAM: readonly GuestRange[] = [
  { guestAddr: guestAddress(0x4000_0000n), length: 16 * 1024 * 1024 },
];
const DEFAULT_IRQS: readonly IrqLine[] = Array.from({ length: 11 }, (_, i) => 33 + i);

/**
 * A virtual machine without a hypervisor: guest memory in a memfd, an ioreq page in another, event
 * channels and interrupt lines that are eventfds. Its guest is any process or thread that is given
 * the descriptors of {@link SimulatedVm.guestResources}; the way of its accesses through ioreq page
 * and dispatcher is the one that a Xen guest's take.
 */
export class SimulatedVm extends UserSpaceVm<GuestMemoryMmap> {
  readonly #page: IoreqPage;
  readonly #server: AccessRequest;
  readonly #answerLimit: number;
  readonly #seat: AccessSeat | undefined;
  /** Unless the seat serves. */
  #dispatcher: IoreqDispatcher | undefined;
  readonly #pageFd: Fd;
  readonly #vcpus: readonly SimulatedVcpu[];
  readonly #lines: ReadonlyMap<IrqLine, EventFd>;
  // In order of making; undone in reverse.
  readonly #undo: (() => void)[];

  /**
   * @throws {VmError} NOT_SUPPORTED for notification `kernel`, or more than 128 vCPUs
   * @throws {SysError}
   */
  static create(components: SimulatedVmComponents, options: SimulatedVmOptions = {}): SimulatedVm {
    if (options.notification === 'kernel') {
      throw new VmError(
        'NOT_SUPPORTED',
        'Cannot use kernel-assisted notification: a simulated machine has no hypervisor',
      );
    }
    const undo: (() => void)[] = [];
    try {
      return new SimulatedVm(components, options, undo);
    } catch (error) {
      for (const step of undo.reverse()) step();
      throw error;
    }
  }

  private constructor(
    components: SimulatedVmComponents,
    options: SimulatedVmOptions,
    undo: (() => void)[],
  ) {
    const logger = components.logger ?? silentLogger;
    const memory = GuestMemoryMmap.create(options.ram ?? DEFAULT_RAM, { name: 'simulated-ram' });
    undo.push(() => memory[Symbol.dispose]());
    const { poller } = components;
    const spaces = ['port'] as const;
    super({ name: 'simulated', spaces, memory: () => memory, poller, logger });
    this.#undo = undo;
    const own = <T extends Disposable>(resource: T): T => {
      undo.push(() => resource[Symbol.dispose]());
      return resource;
    };
    this.#pageFd = memfdCreate('ioreq-page', PAGE_SIZE);
    undo.push(() => closeFd(this.#pageFd));
    const mapping = own(Mapping.create({ length: PAGE_SIZE, fd: this.#pageFd }));
    this.#page = new IoreqPage(mapping.buffer(), options.vcpus ?? 1);
    this.#vcpus = Array.from({ length: this.#page.vcpus }, () => ({
      request: own(EventFd.create()),
      answer: own(EventFd.create()),
    }));
    this.#lines = new Map(
      (options.irqs ?? DEFAULT_IRQS).map((irq) => [irq, own(EventFd.create())]),
    );
    this.#server = new AccessRequest(this.buses, () => memory);
    this.#answerLimit = options.answerLimit ?? DEFAULT_ANSWER_LIMIT;
    this.#seat = components.host?.seat({
      name: this.name,
      page: mapping,
      vcpus: this.#vcpus.length,
      ends: {
        kind: 'eventfds',
        vcpus: this.#vcpus.map(({ request, answer }) => ({
          requestFd: request.fd,
          answerFd: answer.fd,
        })),
        lines: Array.from(this.#lines, ([irq, { fd }]) => ({ irq, fd })),
      },
      carrierOf: () => this.carrierOf(),
      spaces,
      answerLimit: this.#answerLimit,
      server: this.#server,
      gone: () => this.#serveAfterHost(),
    });
    if (this.#seat === undefined) this.#dispatcher = this.#serve();
  }

  /** Serves on this thread. @param before - who did until now: its counts go on */
  #serve(before?: AccessSeat): IoreqDispatcher {
    const { poller, logger } = this;
    const dispatcher = new IoreqDispatcher(
      {
        page: this.#page,
        server: this.#server,
        notify: (vcpu) => this.#vcpus[vcpu]?.answer.signal(),
        logger,
        ...countsOf(before),
      },
      { answerLimit: this.#answerLimit },
    );
    this.#undo.push(() => dispatcher.close());
    this.#vcpus.forEach(({ request }, vcpu) => {
      const watch = poller.watch(request.fd, { readable: true }, () => {
        request.drain();
        dispatcher.service(vcpu);
      });
      this.#undo.push(() => watch.close());
    });
    return dispatcher;
  }

  /** What the thread that is gone had taken is taken anew. */
  #serveAfterHost(): void {
    if (!this.live) return;
    this.#page.takeOver((vcpu) => this.#vcpus[vcpu]?.answer.signal());
    this.#dispatcher = this.#serve(this.#seat);
    this.#dispatcher.serviceAll();
  }

  protected override get elsewhere(): ServedElsewhere | undefined {
    return this.#seat;
  }

  override map(range: AddressRange, handler: BusHandler): Wiring {
    const wiring = super.map(range, handler);
    if (this.#seat === undefined) return wiring;
    const unmap = this.#seat.map(range, handler);
    return this.wirings.add(false, () => {
      unmap();
      wiring.close();
    });
  }

  override ioeventfd(match: IoeventfdMatch, eventfd: EventFd): Wiring {
    // Matched here as well: where the host is gone, and in string instructions.
    const wiring = super.ioeventfd(match, eventfd);
    if (this.#seat === undefined) return wiring;
    const unwire = this.#seat.ioeventfd(match, eventfd);
    return this.wirings.add(false, () => {
      unwire();
      wiring.close();
    });
  }

  /**
   * Takes no more accesses, so that its devices can be taken away and others put in their place: vCPUs
   * wait. Ends when everything that was taken is answered, or given back as it was.
   *
   * @throws {VmError} CLOSED
   */
  async keep(): Promise<void> {
    this.checkLive('stop taking accesses');
    const dispatcher = this.#dispatcher;
    if (dispatcher === undefined) await this.#seat?.pause();
    else await new Promise<void>((paused) => dispatcher.pause(paused));
  }

  /** Serves again, after {@link SimulatedVm.keep}. */
  takeUp(): void {
    if (this.#dispatcher === undefined) this.#seat?.resume();
    else this.#dispatcher.resume();
  }

  /** What the ioreq path counted. */
  get counters(): Readonly<IoreqCounters> {
    return this.#dispatcher?.counters ?? this.#seat?.counters ?? ioreqCounters();
  }

  /** How long its accesses were held. */
  get held(): HeldAccesses {
    return (
      this.#dispatcher?.heldTimes.accesses ??
      this.#seat?.heldTimes.accesses ??
      new HeldTimes().accesses
    );
  }

  /**
   * What a guest needs: a description and the descriptors that it names by place. The descriptors
   * stay the machine's; a process is given them by `spawn(..., { stdio: [0, 1, 2, ...fds] })`.
   *
   * @param devices - what the guest is to find, as a device tree would say
   */
  guestResources(devices: readonly { readonly base: bigint; readonly irq: IrqLine }[] = []): {
    readonly machine: SimulatedMachine;
    readonly fds: readonly Fd[];
  } {
    this.checkLive('describe the machine');
    const fds: Fd[] = [];
    const place = (fd: Fd): number => fds.push(fd) - 1;
    const machine: SimulatedMachine = {
      ioreqPageFd: place(this.#pageFd),
      ram: this.memory.sharedRegions.map((region) => ({
        guestAddr: hex(region.guestAddr),
        length: Number(region.length),
        memoryFd: place(region.fd),
        fdOffset: Number(region.fdOffset),
      })),
      vcpus: this.#vcpus.map(({ request, answer }) => ({
        requestFd: place(request.fd),
        answerFd: place(answer.fd),
      })),
      irqs: Array.from(this.#lines, ([irq, line]) => ({ irq, lineFd: place(line.fd) })),
      devices: devices.map(({ base, irq }) => ({ base: hex(base), irq })),
    };
    return { machine, fds };
  }

  /** An eventfd's reader consumes each signal: lines are messages. */
  protected carrierOf(): IrqCarrier {
    return 'message';
  }

  protected setIrq(irq: IrqLine): void {
    this.#lines.get(irq)?.signal();
  }

  protected claim(): () => void {
    return () => undefined;
  }

  protected checkIrq(irq: IrqLine): void {
    if (this.#lines.has(irq)) return;
    throw new VmError('BAD_IRQ', `Cannot use interrupt ${irq}: ${this.name} has no such line`, {
      irq,
    });
  }

  protected override quiesce(): void {
    this.#dispatcher?.serviceAll();
  }

  protected release(): void {
    const undo = this.#undo.splice(0).reverse();
    const release = (): void => {
      for (const step of undo) step();
    };
    if (this.#seat === undefined) release();
    else this.#seat.close(release);
  }
}
