import { type GuestPlatform, VmError } from '@node-vmm/vm-device';
import { GuestMemoryMmap, guestAddress } from '@node-vmm/vm-memory';
import {
  asFd,
  dupFd,
  EPOLLIN,
  Epoll,
  EventFd,
  type Fd,
  hex,
  Mapping,
  PAGE_SIZE,
} from '@node-vmm/vmm-sys-util';
import { IOREQ_TYPE_COPY, STATE_IORESP_READY } from './ioreq-layout.ts';
import { emptyRequest, IoreqPage } from './ioreq-page.ts';
import type { SimulatedMachine } from './simulated-machine.ts';

/** How a guest waits. */
export interface SimulatedGuestOptions {
  /** vCPU whose accesses these are, default 0. One thread for each vCPU. */
  readonly vcpu?: number;
  /** Milliseconds that an access may take, default 30 s. */
  readonly timeout?: number;
}

class Line implements Disposable {
  readonly eventfd: EventFd;
  readonly #epoll = new Epoll(1);

  constructor(fd: Fd) {
    this.eventfd = EventFd.fromFd(dupFd(fd));
    this.#epoll.add(this.eventfd.fd, EPOLLIN, 0);
  }

  /** @returns false when the time, in milliseconds, has passed */
  wait(timeout: number): boolean {
    const deadline = Date.now() + timeout;
    for (;;) {
      if (this.eventfd.drain()) return true;
      const left = deadline - Date.now();
      if (left <= 0 || this.#epoll.wait(Math.ceil(left)) === 0) return this.eventfd.drain();
    }
  }

  [Symbol.dispose](): void {
    this.#epoll.close();
    this.eventfd.close();
  }
}

/**
 * The guest of a simulated machine, in a process or thread of its own: maps the machine's memory and
 * does register accesses that **block the thread**, as a CPU does, until the device model answers.
 */
export class SimulatedGuest implements GuestPlatform, Disposable {
  readonly memory: GuestMemoryMmap;
  readonly machine: SimulatedMachine;
  readonly #vcpu: number;
  readonly #timeout: number;
  readonly #mapping: Mapping;
  readonly #page: IoreqPage;
  readonly #request: EventFd;
  readonly #answer: Line;
  readonly #lines = new Map<number, Line>();
  readonly #owned: Disposable[] = [];
  /** The page holds an access whose answer was not collected: it was given up. */
  #unanswered = false;
  readonly #access = { ...emptyRequest(), count: 1, type: IOREQ_TYPE_COPY };

  /**
   * Maps a machine.
   *
   * @param machine - description from `SimulatedVm.guestResources`
   * @param fds - the descriptors that came with it, in order; they are duplicated, not taken
   * @throws {SysError}, {VmMemoryError}
   */
  constructor(
    machine: SimulatedMachine,
    fds: readonly number[],
    options: SimulatedGuestOptions = {},
  ) {
    const fd = (place: number): Fd => asFd(fds[place] ?? -1);
    const own = <T extends Disposable>(resource: T): T => {
      this.#owned.push(resource);
      return resource;
    };
    this.machine = machine;
    this.#vcpu = options.vcpu ?? 0;
    this.#timeout = options.timeout ?? 30_000;
    const vcpu = machine.vcpus[this.#vcpu];
    if (vcpu === undefined) throw new RangeError(`"vcpu" expected an existing one: ${this.#vcpu}`);
    try {
      this.memory = own(
        GuestMemoryMmap.fromRegions(
          machine.ram.map(({ guestAddr, length, memoryFd, fdOffset }) => ({
            guestAddr: guestAddress(BigInt(guestAddr)),
            length,
            fd: fd(memoryFd),
            fdOffset,
          })),
        ),
      );
      this.#mapping = own(Mapping.create({ length: PAGE_SIZE, fd: fd(machine.ioreqPageFd) }));
      this.#page = new IoreqPage(this.#mapping.buffer(), machine.vcpus.length);
      this.#request = own(EventFd.fromFd(dupFd(fd(vcpu.requestFd))));
      this.#answer = own(new Line(fd(vcpu.answerFd)));
      for (const { irq, lineFd } of machine.irqs) this.#lines.set(irq, own(new Line(fd(lineFd))));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * Maps the machine in a process that was spawned with
   * `spawn(node, [script, JSON.stringify(machine)], { stdio: [0, 1, 2, ...fds] })`.
   *
   * @param description - the JSON text
   * @param firstFd - where the machine's descriptors begin, default 3
   */
  static attach(
    description: string,
    firstFd = 3,
    options: SimulatedGuestOptions = {},
  ): SimulatedGuest {
    const machine = JSON.parse(description) as SimulatedMachine;
    const count = 1 + machine.ram.length + 2 * machine.vcpus.length + machine.irqs.length;
    const fds = Array.from({ length: count }, (_, place) => firstFd + place);
    return new SimulatedGuest(machine, fds, options);
  }

  read(guestAddr: bigint, size: number): bigint {
    const access = this.#access;
    access.isRead = true;
    access.dataLow = 0;
    access.dataHigh = 0;
    return BigInt.asUintN(8 * size, this.#do(guestAddr, size));
  }

  write(guestAddr: bigint, size: number, value: bigint): void {
    const access = this.#access;
    access.isRead = false;
    access.dataLow = Number(value & 0xffff_ffffn);
    access.dataHigh = Number((value >> 32n) & 0xffff_ffffn);
    this.#do(guestAddr, size);
  }

  #do(guestAddr: bigint, size: number): bigint {
    const access = this.#access;
    access.addrLow = Number(guestAddr & 0xffff_ffffn);
    access.addrHigh = Number(guestAddr >> 32n);
    access.size = size;
    // The answer of an access that was given up comes first, and is nobody's.
    if (this.#unanswered) this.#collect(guestAddr);
    this.#page.submit(this.#vcpu, access);
    this.#unanswered = true;
    this.#request.signal();
    return this.#collect(guestAddr);
  }

  #collect(guestAddr: bigint): bigint {
    while (this.#page.state(this.#vcpu) !== STATE_IORESP_READY) {
      if (this.#answer.wait(this.#timeout)) continue;
      throw new VmError(
        'TIMEOUT',
        `Cannot access ${hex(guestAddr)}: the device model has not answered for ` +
          `${this.#timeout} ms`,
        { guestAddr },
      );
    }
    this.#unanswered = false;
    return this.#page.collect(this.#vcpu);
  }

  waitInterrupt(irq: number, timeout: number): boolean {
    const line = this.#lines.get(irq);
    if (line === undefined) throw new RangeError(`"irq" expected a line of the machine: ${irq}`);
    return line.wait(timeout);
  }

  close(): void {
    while (this.#owned.length > 0) this.#owned.pop()?.[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
