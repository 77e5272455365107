import { SLOT_SIZE } from '@node-vmm/ioreq-eventfd/page';
import { EPOLLIN, Epoll, EventFd, Mapping, PAGE_SIZE } from '@node-vmm/vmm-sys-util';
import type { AccessChannel } from './thread/thread-data.ts';

/** A vCPU's part of it. */
interface VcpuLink {
  /** Signalled when the vCPU has posted an access. */
  readonly request: EventFd;
  /** Signalled when it is answered. */
  readonly answer: EventFd;
  /** What the vCPU waits by: made here, as a thread that is terminated closes nothing. */
  readonly wait: Epoll;
}

/** How vCPUs and whoever serves their accesses reach each other: memory of the shape of an ioreq page, and eventfds. */
export class AccessLink {
  readonly page: Mapping;
  readonly vcpus: readonly VcpuLink[];
  readonly #owned: Disposable[] = [];

  /** @throws {SysError} */
  constructor(vcpus: number) {
    const own = <T extends Disposable>(resource: T): T => {
      this.#owned.push(resource);
      return resource;
    };
    try {
      const pages = Math.ceil((vcpus * SLOT_SIZE) / PAGE_SIZE);
      this.page = own(Mapping.create({ length: pages * PAGE_SIZE, subject: 'accesses of vCPUs' }));
      this.vcpus = Array.from({ length: vcpus }, () => {
        const request = own(EventFd.create());
        const answer = own(EventFd.create());
        const wait = own(new Epoll(1));
        wait.add(answer.fd, EPOLLIN, 0);
        return { request, answer, wait };
      });
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** What the thread of a vCPU is given of it. */
  channel(vcpu: number): AccessChannel {
    const { request, answer, wait } = this.vcpus[vcpu] as VcpuLink;
    return {
      page: { address: this.page.pointer, length: this.page.length },
      vcpus: this.vcpus.length,
      requestFd: request.fd,
      answerFd: answer.fd,
      waitFd: wait.fd,
    };
  }

  /** Has the vCPU look whether its access is answered. */
  notify(vcpu: number): void {
    this.vcpus[vcpu]?.answer.signal();
  }

  /** Has all of them look, also whether they are to stop. */
  notifyAll(): void {
    for (const { answer } of this.vcpus) answer.signal();
  }

  /** When nobody uses it any more. Idempotent. */
  close(): void {
    for (const resource of this.#owned.splice(0).reverse()) resource[Symbol.dispose]();
  }
}
