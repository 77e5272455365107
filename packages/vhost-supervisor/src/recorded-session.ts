import type { FRONTEND_REQUESTS, Request } from '@node-vmm/vhost-user';
import { closeFds, type Fd } from '@node-vmm/vmm-sys-util';
import { RecordedRing, type RingFd } from './recorded-ring.ts';
import { SharedMemory } from './shared-memory.ts';

export type FrontendRequest = Request<typeof FRONTEND_REQUESTS>;

const RING_FDS = {
  VHOST_USER_SET_VRING_KICK: 'kick',
  VHOST_USER_SET_VRING_CALL: 'call',
  VHOST_USER_SET_VRING_ERR: 'err',
} as const satisfies Record<string, RingFd>;

/** What a front-end has set up on its connection: all that another serving process must be told. */
export class RecordedSession {
  /** Accepted feature word with bit 30 as the front-end sent it. */
  features: bigint | undefined;
  status: bigint | undefined;
  readonly memory: SharedMemory = new SharedMemory();
  readonly #rings = new Map<number, RecordedRing>();

  get rings(): Iterable<RecordedRing> {
    return this.#rings.values();
  }

  ring(index: number): RecordedRing {
    const ring = this.#rings.get(index) ?? new RecordedRing(index);
    this.#rings.set(index, ring);
    return ring;
  }

  /** Keeps what a request has set up, once it has been served. @param fds - become the session's */
  record(request: FrontendRequest, fds: readonly Fd[]): void {
    switch (request.name) {
      case 'VHOST_USER_SET_FEATURES':
        this.features = request.payload;
        return;
      case 'VHOST_USER_SET_STATUS':
        if (request.payload === 0n) this.#reset();
        this.status = request.payload;
        return;
      case 'VHOST_USER_RESET_DEVICE':
        this.#reset();
        this.status = 0n;
        return;
      case 'VHOST_USER_RESET_OWNER':
        for (const ring of this.#rings.values()) ring.enabled = false;
        return;
      case 'VHOST_USER_SET_MEM_TABLE':
        this.memory.set(request.payload, fds);
        return;
      case 'VHOST_USER_ADD_MEM_REG':
        this.memory.add(request.payload, fds[0] as Fd);
        return;
      case 'VHOST_USER_REM_MEM_REG':
        // A front-end may send the region's descriptor, which nobody needs.
        closeFds(fds);
        this.memory.remove(request.payload);
        return;
      case 'VHOST_USER_SET_VRING_NUM':
        this.ring(request.payload.index).size = request.payload.num;
        return;
      case 'VHOST_USER_SET_VRING_ADDR':
        this.ring(request.payload.index).addr = request.payload;
        return;
      case 'VHOST_USER_SET_VRING_BASE':
        this.ring(request.payload.index).base = request.payload.num;
        return;
      case 'VHOST_USER_SET_VRING_ENABLE':
        this.ring(request.payload.index).enabled = request.payload.num === 1;
        return;
      case 'VHOST_USER_SET_VRING_KICK':
      case 'VHOST_USER_SET_VRING_CALL':
      case 'VHOST_USER_SET_VRING_ERR':
        this.ring(request.payload.index).setFd(RING_FDS[request.name], fds[0], this.memory);
        return;
      default:
        closeFds(fds);
    }
  }

  /** Lets go of everything. */
  close(): void {
    this.#reset();
    this.memory.clear();
  }

  #reset(): void {
    for (const ring of this.#rings.values()) ring.close();
    this.#rings.clear();
  }
}
