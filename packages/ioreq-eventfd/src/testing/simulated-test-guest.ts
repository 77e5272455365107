import type { AddressSpace, IrqLine } from '@node-vmm/vm-device';
import type { AccessPlace, GuestUnderTest } from '@node-vmm/vm-device/testing';
import { dupFd, EventFd, type Fd, MainPoller, Mapping, PAGE_SIZE } from '@node-vmm/vmm-sys-util';
import {
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_PCI_CONFIG,
  IOREQ_TYPE_PIO,
  STATE_IORESP_READY,
} from '../ioreq-layout.ts';
import { emptyRequest, IoreqPage, type IoreqRequest } from '../ioreq-page.ts';
import type { SimulatedMachine } from '../simulated-machine.ts';

const TYPES: Readonly<Record<AddressSpace, number>> = {
  memory: IOREQ_TYPE_COPY,
  port: IOREQ_TYPE_PIO,
  'pci-config': IOREQ_TYPE_PCI_CONFIG,
};

/**
 * The guest of a simulated machine, in the same thread as the machine: accesses are promises. For
 * tests; a real guest blocks in another thread or process.
 */
export class SimulatedTestGuest implements GuestUnderTest, Disposable {
  readonly #poller = new MainPoller();
  readonly #mapping: Mapping;
  readonly #page: IoreqPage;
  readonly #vcpus: readonly { readonly request: EventFd; readonly answer: EventFd }[];
  readonly #lines: ReadonlyMap<IrqLine, EventFd>;

  /** @param resources - of `SimulatedVm.guestResources`; the descriptors are duplicated */
  constructor(resources: { readonly machine: SimulatedMachine; readonly fds: readonly Fd[] }) {
    const { machine, fds } = resources;
    const eventfd = (place: number): EventFd => EventFd.fromFd(dupFd(fds[place] as Fd));
    this.#mapping = Mapping.create({ length: PAGE_SIZE, fd: fds[machine.ioreqPageFd] as Fd });
    this.#page = new IoreqPage(this.#mapping.buffer(), machine.vcpus.length);
    this.#vcpus = machine.vcpus.map(({ requestFd, answerFd }) => ({
      request: eventfd(requestFd),
      answer: eventfd(answerFd),
    }));
    this.#lines = new Map(machine.irqs.map(({ irq, lineFd }) => [irq, eventfd(lineFd)]));
  }

  read(address: bigint, size: number, place: AccessPlace = {}): Promise<bigint> {
    return this.access({ ...requestOf(address, size, 0n, place), isRead: true }, place.vcpu);
  }

  async write(
    address: bigint,
    size: number,
    value: bigint,
    place: AccessPlace = {},
  ): Promise<void> {
    await this.access(requestOf(address, size, value, place), place.vcpu);
  }

  /** Any request, hostile ones included. */
  async access(request: IoreqRequest, vcpu = 0): Promise<bigint> {
    const { request: kick, answer } = this.#vcpus[vcpu] as { request: EventFd; answer: EventFd };
    this.#page.submit(vcpu, request);
    kick.signal();
    do await this.#signal(answer);
    while (this.#page.state(vcpu) !== STATE_IORESP_READY);
    return this.#page.collect(vcpu);
  }

  interrupt(irq: IrqLine): Promise<void> {
    return this.#signal(this.#lines.get(irq) as EventFd);
  }

  takeInterrupt(irq: IrqLine): boolean {
    return this.#lines.get(irq)?.drain() === true;
  }

  #signal(eventfd: EventFd): Promise<void> {
    return new Promise((resolve) => {
      const watch = this.#poller.watch(eventfd.fd, { readable: true }, () => {
        if (!eventfd.drain()) return;
        watch.close();
        resolve();
      });
    });
  }

  close(): void {
    this.#poller.close();
    for (const { request, answer } of this.#vcpus) {
      request.close();
      answer.close();
    }
    for (const line of this.#lines.values()) line.close();
    this.#mapping.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function requestOf(
  address: bigint,
  size: number,
  value: bigint,
  { space = 'memory' }: AccessPlace,
): IoreqRequest {
  return {
    ...emptyRequest(),
    addrLow: Number(address & 0xffff_ffffn),
    addrHigh: Number(address >> 32n),
    dataLow: Number(value & 0xffff_ffffn),
    dataHigh: Number(value >> 32n),
    count: 1,
    size,
    type: TYPES[space],
  };
}
