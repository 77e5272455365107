import {
  AccessRequest,
  type IoreqCounters,
  IoreqDispatcher,
  IoreqPage,
} from '@node-vmm/ioreq-eventfd';
import { SLOT_SIZE } from '@node-vmm/ioreq-eventfd/page';
import type { Buses } from '@node-vmm/vm-device';
import type { GuestMemory } from '@node-vmm/vm-memory';
import { EventFd, type Logger, type Poller, type Watch } from '@node-vmm/vmm-sys-util';
import type { AccessChannel } from './thread/thread-data.ts';

/** What {@link ServeAccesses} works with. */
export interface AccessParts {
  /** The accesses that vCPUs have posted. */
  readonly page: IoreqPage;
  /** Signalled when there is one. */
  readonly wake: EventFd;
  /** Tells a vCPU that its access is answered. */
  readonly notify: (vcpu: number) => void;
  readonly buses: Buses;
  readonly memory: () => GuestMemory;
  readonly poller: Poller;
  readonly logger: Logger;
  /** Milliseconds that a deferred answer may take. */
  readonly answerLimit: number | undefined;
}

/** Who serves the accesses that the kernel does not take. */
export interface AccessServer {
  readonly counters: Readonly<IoreqCounters>;
  /** Answers everything that is there, and takes nothing more. Idempotent. */
  close(): void;
}

/** Has somebody serve a machine's accesses, from now on. */
export type ServeAccesses = (parts: AccessParts) => AccessServer;

/** Serves them on the thread that has the machine, by its poller. */
export const serveOnThisThread: ServeAccesses = (parts) => {
  const { page, wake, notify, buses, memory, poller, logger, answerLimit } = parts;
  const dispatcher = new IoreqDispatcher(
    { page, server: new AccessRequest(buses, memory), notify, logger },
    answerLimit === undefined ? {} : { answerLimit },
  );
  let watch: Watch | undefined;
  try {
    watch = poller.watch(wake.fd, { readable: true }, () => {
      wake.drain();
      dispatcher.serviceAll();
    });
  } catch (error) {
    dispatcher.close();
    throw error;
  }
  return {
    counters: dispatcher.counters,
    close: () => {
      watch?.close();
      dispatcher.close();
    },
  };
};

/** The accesses of a machine's vCPUs: shared memory, an eventfd, and who serves them. */
export class Accesses {
  readonly channel: AccessChannel;
  readonly #wake = EventFd.create();
  readonly #turns: Int32Array;
  readonly #server: AccessServer;

  /** @throws {SysError} */
  constructor(
    vcpus: number,
    parts: Omit<AccessParts, 'page' | 'wake' | 'notify'>,
    serve: ServeAccesses,
  ) {
    const page = new SharedArrayBuffer(vcpus * SLOT_SIZE);
    const turns = new SharedArrayBuffer(vcpus * Int32Array.BYTES_PER_ELEMENT);
    this.#turns = new Int32Array(turns);
    this.channel = { page, turns, vcpus, wakeFd: this.#wake.fd };
    const wake = this.#wake;
    try {
      const notify = (vcpu: number): void => this.#turn(vcpu);
      this.#server = serve({ ...parts, page: new IoreqPage(page, vcpus), wake, notify });
    } catch (error) {
      wake.close();
      throw error;
    }
  }

  get counters(): Readonly<IoreqCounters> {
    return this.#server.counters;
  }

  #turn(vcpu: number): void {
    Atomics.add(this.#turns, vcpu, 1);
    Atomics.notify(this.#turns, vcpu);
  }

  /** Answers what is there and takes nothing more: vCPUs that have been asked to stop wait for nothing. Idempotent. */
  end(): void {
    this.#server.close();
    for (let vcpu = 0; vcpu < this.channel.vcpus; vcpu++) this.#turn(vcpu);
  }

  /** When the threads are gone. Idempotent. */
  close(): void {
    this.end();
    this.#wake.close();
  }
}
