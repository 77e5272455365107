import { closeFd, EventFd, type Fd, memfdCreate, PAGE_SIZE } from '@node-vmm/vmm-sys-util';

/** Where a guest's registers are, as in `bench/c/dispatch.h`. */
export const BASE = 0x200_0000n;

/** What the guests of the benchmark are, for whoever serves them: as descriptors from 3 on. */
export interface GuestFds {
  /** A page for each. */
  readonly pages: Fd;
  readonly vcpus: readonly { readonly requestFd: Fd; readonly answerFd: Fd }[];
  /** Of the first guest. */
  readonly line: Fd;
  readonly kick: Fd;
  readonly call: Fd;
}

/** Gives the descriptors in the order in which every program has them. */
export function inOrder({ pages, vcpus, line, kick, call }: GuestFds): Fd[] {
  return [
    pages,
    ...vcpus.flatMap(({ requestFd, answerFd }) => [requestFd, answerFd]),
    line,
    kick,
    call,
  ];
}

/** {@link inOrder}, the other way round. */
export function fromOrder(guests: number, fd: (place: number) => Fd): GuestFds {
  const after = 1 + 2 * guests;
  return {
    pages: fd(0),
    vcpus: Array.from({ length: guests }, (_, n) => ({
      requestFd: fd(1 + 2 * n),
      answerFd: fd(2 + 2 * n),
    })),
    line: fd(after),
    kick: fd(after + 1),
    call: fd(after + 2),
  };
}

/** The guests' pages and eventfds: the same for every dispatcher of a run. */
export class Guests implements Disposable {
  readonly fds: readonly Fd[];
  readonly #eventfds: readonly EventFd[];
  readonly #pages: Fd;

  constructor(count: number) {
    this.#pages = memfdCreate('bench-ioreq-pages', count * PAGE_SIZE);
    this.#eventfds = Array.from({ length: 2 * count + 3 }, () => EventFd.create());
    const all = [this.#pages, ...this.#eventfds.map(({ fd }) => fd)];
    this.fds = inOrder(fromOrder(count, (place) => all[place] as Fd));
  }

  [Symbol.dispose](): void {
    for (const eventfd of this.#eventfds) eventfd.close();
    closeFd(this.#pages);
  }
}
