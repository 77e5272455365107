import type { IrqLine } from '@node-vmm/vm-device';
import { EventFd, type EventLoop, type Fd, type Watch } from '@node-vmm/vmm-sys-util';
import type { GuestEnds } from './guest-ends.ts';

/** Ends that are eventfds. */
export interface EventfdEndsData {
  readonly kind: 'eventfds';
  /** A vCPU signals the one when it has posted an access, and is told of the answer by the other. */
  readonly vcpus: readonly { readonly requestFd: Fd; readonly answerFd: Fd }[];
  readonly lines: readonly { readonly irq: IrqLine; readonly fd: Fd }[];
}

class EventfdEnds implements GuestEnds {
  readonly #vcpus: readonly { readonly request: EventFd; readonly answer: EventFd }[];
  readonly #lines: ReadonlyMap<IrqLine, EventFd>;
  readonly #watches: Watch[] = [];

  constructor(data: EventfdEndsData) {
    this.#vcpus = data.vcpus.map(({ requestFd, answerFd }) => ({
      request: EventFd.fromFd(requestFd),
      answer: EventFd.fromFd(answerFd),
    }));
    this.#lines = new Map(data.lines.map(({ irq, fd }) => [irq, EventFd.fromFd(fd)]));
  }

  serve(loop: EventLoop, onRequest: (vcpu: number) => void): void {
    this.#vcpus.forEach(({ request }, vcpu) => {
      // Never read: that costs a system call for each access, and a guest that shares the descriptor could block it.
      const watch = loop.watchSignals(request.fd, () => onRequest(vcpu));
      this.#watches.push(watch);
    });
  }

  notify(vcpu: number): void {
    this.#vcpus[vcpu]?.answer.signal();
  }

  /** Each signal is an interrupt. */
  setIrq(irq: IrqLine): void {
    this.#lines.get(irq)?.signal();
  }

  close(): void {
    for (const watch of this.#watches.splice(0)) watch.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** The ends of a machine without a hypervisor. */
export function openEventfdEnds(data: EventfdEndsData): GuestEnds {
  return new EventfdEnds(data);
}
