import type { InflightArea as AreaDescription } from '@node-vmm/vhost-user';
import { VIRTQUEUE_MAX_SIZE } from '@node-vmm/virtio-bindings';
import { inflightSize } from '@node-vmm/virtio-queue';
import { GuestMemoryMmap, guestAddress } from '@node-vmm/vm-memory';
import {
  F_SEAL_SHRINK,
  type FaultGuard,
  type Fd,
  fileSeals,
  fileSize,
  memfdCreate,
} from '@node-vmm/vmm-sys-util';
import type { InflightMapping } from '../between/inflight-mapping.ts';
import { VhostUserBackendError } from '../errors.ts';

/** What vhost-user can name; an area of a front-end may be for more queues than the device has. */
const MAX_QUEUES = 256;

/**
 * An area in which rings record their requests in flight, mapped. The front-end keeps its file while
 * back-ends come and go, and gives it to each: a region for each queue, one after the other.
 */
export class InflightArea implements Disposable {
  readonly #memory: GuestMemoryMmap;
  readonly #start: number;
  readonly #length: number;
  readonly #queues: number;
  readonly #queueSize: number;

  private constructor(memory: GuestMemoryMmap, queues: number, queueSize: number, length: number) {
    this.#memory = memory;
    this.#start = memory.regions[0]?.hostAddress as number;
    this.#length = length;
    this.#queues = queues;
    this.#queueSize = queueSize;
  }

  /**
   * Makes an area, of which the front-end becomes the owner: zeros, which say that nothing is in it.
   *
   * @param queues - that the device has
   * @throws {VhostUserBackendError} INVALID_REQUEST for more than the device can have
   * @throws {SysError} of `memfd_create` and `ftruncate`
   */
  static make(
    { numQueues, queueSize }: AreaDescription,
    features: bigint,
    queues: number,
  ): { fd: Fd; area: AreaDescription } {
    const length = regionLength(numQueues, queueSize, features, queues) * numQueues;
    const fd = memfdCreate('vhost-inflight', length);
    return { fd, area: { mmapSize: BigInt(length), mmapOffset: 0n, numQueues, queueSize } };
  }

  /**
   * Maps an area that a front-end gives. What is in it is looked at by those who go on with it.
   *
   * @param fd - stays the caller's
   * @param guard - against a file that has no room for what it is long
   * @throws {VhostUserBackendError} INVALID_REQUEST
   */
  static map(area: AreaDescription, features: bigint, fd: Fd, guard?: FaultGuard): InflightArea {
    const { mmapSize, mmapOffset, numQueues, queueSize } = area;
    const length = regionLength(numQueues, queueSize, features, MAX_QUEUES);
    const bytes = BigInt(length * numQueues);
    if (mmapSize < bytes) {
      throw refuse(`it has ${mmapSize} bytes, ${numQueues} queues of ${queueSize} take ${bytes}`);
    }
    if (mmapOffset + mmapSize > BigInt(fileSize(fd))) {
      throw refuse(`${mmapOffset} and ${mmapSize} bytes exceed the file's ${fileSize(fd)}`);
    }
    if (mmapOffset % 8n !== 0n) throw refuse(`it begins at ${mmapOffset}, no multiple of 8`);
    // Else whoever has the file could kill this process by SIGBUS. All who make areas seal them.
    if ((fileSeals(fd) & F_SEAL_SHRINK) === 0)
      throw refuse('its file is not sealed and may shrink');
    try {
      // Mapped as memory of a guest is, for the same care; where in one does not matter.
      const region = { guestAddr: guestAddress(0), length: bytes, fd, fdOffset: mmapOffset };
      const memory = GuestMemoryMmap.fromRegions([region], { guard });
      return new InflightArea(memory, numQueues, queueSize, length);
    } catch (cause) {
      throw refuse(cause instanceof Error ? cause.message : String(cause), cause);
    }
  }

  /** Where a ring has its record, undefined where the area is for fewer queues. */
  region(ring: number): InflightMapping | undefined {
    if (ring >= this.#queues) return undefined;
    const length = this.#length;
    const hostAddress = this.#start + ring * length;
    const fault = this.#memory.regions[0]?.fault;
    return { hostAddress, length, queueSize: this.#queueSize, fault };
  }

  /** Bytes, from its start, that so many queues of a device have. */
  bytesOf(queues: number): number {
    return this.#length * Math.min(queues, this.#queues);
  }

  /** Unmaps: no ring uses it any more. Idempotent. */
  close(): void {
    this.#memory[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Bytes of each queue's region, of numbers that make sense. */
function regionLength(
  numQueues: number,
  queueSize: number,
  features: bigint,
  maxQueues: number,
): number {
  if (numQueues < 1 || numQueues > maxQueues) {
    throw refuse(`it is for ${numQueues} queues, expected 1..${maxQueues}`);
  }
  if (queueSize < 1 || queueSize > VIRTQUEUE_MAX_SIZE) {
    throw refuse(`it is for queues of ${queueSize} entries, expected 1..${VIRTQUEUE_MAX_SIZE}`);
  }
  return inflightSize({ size: queueSize, features });
}

function refuse(why: string, cause?: unknown): VhostUserBackendError {
  return new VhostUserBackendError(
    'INVALID_REQUEST',
    `Cannot use the area for requests in flight: ${why}`,
    {},
    { cause },
  );
}
