import {
  type AccessHost,
  AccessRequest,
  type AccessSeat,
  countsOf,
  type IoreqCounters,
  IoreqDispatcher,
  IoreqPage,
  ioreqCounters,
} from '@node-vmm/ioreq-eventfd';
import type { KvmVm } from '@node-vmm/kvm-sys';
import {
  type AddressRange,
  type Buses,
  type BusHandler,
  type HeldAccesses,
  HeldTimes,
  type IoeventfdMatch,
  type ServedElsewhere,
} from '@node-vmm/vm-device';
import type { GuestMemory } from '@node-vmm/vm-memory';
import type { EventFd, Logger, Poller, Watch } from '@node-vmm/vmm-sys-util';
import { AccessLink } from './access-link.ts';
import { HostLines } from './host-lines.ts';
import { hypervisor } from './hypervisor.ts';
import type { AccessChannel } from './thread/thread-data.ts';

/** What {@link Accesses} work with. */
export interface AccessParts {
  /** Of the machine, for messages. */
  readonly name: string;
  readonly vcpus: number;
  readonly buses: Buses;
  readonly memory: () => GuestMemory;
  readonly poller: Poller;
  readonly logger: Logger;
  /** Milliseconds that a deferred answer may take. */
  readonly answerLimit: number;
  readonly vm: KvmVm;
  /** Serves on another thread, and interrupts by lines that are irqfds; default: this thread does, by the poller. */
  readonly host: AccessHost | undefined;
}

/** The accesses of a machine's vCPUs that the kernel does not take, and who serves them. */
export class Accesses {
  /** Ends when whoever served them uses nothing of it any more, after {@link end}. */
  readonly released: Promise<void>;
  readonly #parts: AccessParts;
  readonly #link: AccessLink;
  readonly #page: IoreqPage;
  readonly #server: AccessRequest;
  readonly #lines: HostLines | undefined;
  readonly #seat: AccessSeat | undefined;
  /** Unless the seat serves. */
  #dispatcher: IoreqDispatcher | undefined;
  #watches: Watch[] = [];
  #ended = false;
  #released: () => void = () => undefined;

  /** @throws {SysError} @throws {VmError} CLOSED when the host is gone, HYPERVISOR */
  constructor(parts: AccessParts) {
    this.#parts = parts;
    this.#server = new AccessRequest(parts.buses, parts.memory);
    this.released = new Promise((resolve) => {
      this.#released = resolve;
    });
    this.#link = new AccessLink(parts.vcpus);
    try {
      this.#page = new IoreqPage(this.#link.page.buffer(), parts.vcpus);
      const { name, vm, host } = parts;
      if (host === undefined) {
        this.#serve();
        return;
      }
      const action = `have another thread interrupt ${name}`;
      this.#lines = hypervisor(action, { vm: name }, () => new HostLines(vm));
      this.#seat = this.#takeSeat(host, this.#lines.eventfds);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #takeSeat(host: AccessHost, lines: HostLines['eventfds']): AccessSeat {
    const { name, answerLimit } = this.#parts;
    return host.seat({
      name,
      page: this.#link.page,
      vcpus: this.#link.vcpus.length,
      ends: {
        kind: 'eventfds',
        vcpus: this.#link.vcpus.map(({ request, answer }) => ({
          requestFd: request.fd,
          answerFd: answer.fd,
        })),
        lines: Array.from(lines, ([irq, { fd }]) => ({ irq, fd })),
      },
      // Each signal of an irqfd is an interrupt.
      carrierOf: () => 'message',
      spaces: ['port'],
      answerLimit,
      server: this.#server,
      gone: () => this.#serveAfterHost(),
    });
  }

  /** Serves on this thread. @param before - who did until now: its counts go on */
  #serve(before?: AccessSeat): void {
    const { logger, answerLimit, poller } = this.#parts;
    const dispatcher = new IoreqDispatcher(
      {
        page: this.#page,
        server: this.#server,
        notify: (vcpu) => this.#link.notify(vcpu),
        logger,
        ...countsOf(before),
      },
      { answerLimit },
    );
    this.#dispatcher = dispatcher;
    this.#link.vcpus.forEach(({ request }, vcpu) => {
      const watch = poller.watch(request.fd, { readable: true }, () => {
        request.drain();
        dispatcher.service(vcpu);
      });
      this.#watches.push(watch);
    });
  }

  /** What the thread that is gone had taken is taken anew. */
  #serveAfterHost(): void {
    if (this.#ended) return;
    this.#page.takeOver((vcpu) => this.#link.notify(vcpu));
    this.#serve(this.#seat);
    this.#dispatcher?.serviceAll();
  }

  get counters(): Readonly<IoreqCounters> {
    return this.#dispatcher?.counters ?? this.#seat?.counters ?? ioreqCounters();
  }

  /** What a host's thread counts. */
  get elsewhere(): ServedElsewhere | undefined {
    return this.#seat;
  }

  /** How long they were held. */
  get held(): HeldAccesses {
    return (
      this.#dispatcher?.heldTimes.accesses ??
      this.#seat?.heldTimes.accesses ??
      new HeldTimes().accesses
    );
  }

  /** For the thread of a vCPU. */
  channel(vcpu: number): AccessChannel {
    return this.#link.channel(vcpu);
  }

  /** Tells a host of a window. @returns takes it back; undefined where there is no host */
  map(range: AddressRange, handler: BusHandler): (() => void) | undefined {
    return this.#seat?.map(range, handler);
  }

  /** Tells a host of an ioeventfd. @returns undoes it; undefined where there is no host */
  ioeventfd(match: IoeventfdMatch, eventfd: EventFd): (() => void) | undefined {
    return this.#seat?.ioeventfd(match, eventfd);
  }

  /** Answers what is there and takes nothing more: vCPUs that have been asked to stop wait for nothing. Idempotent. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const watch of this.#watches.splice(0)) watch.close();
    this.#dispatcher?.close();
    if (this.#seat === undefined) this.#released();
    else this.#seat.close(this.#released);
    this.#link.notifyAll();
  }

  /** When the threads are gone, and {@link released} has ended. Idempotent. */
  close(): void {
    this.#ended = true;
    for (const watch of this.#watches.splice(0)) watch.close();
    this.#dispatcher?.close();
    this.#link.close();
    this.#lines?.close();
  }
}
