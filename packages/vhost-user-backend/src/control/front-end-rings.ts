import type { VringAddr } from '@node-vmm/vhost-user';
import { VIRTQUEUE_MAX_SIZE } from '@node-vmm/virtio-bindings';
import { freshPosition, isPosition, ringSizes } from '@node-vmm/virtio-queue';
import { type EventFd, isPowerOfTwo, type Logger } from '@node-vmm/vmm-sys-util';
import type {
  RingConfig,
  RingFdKind,
  RingMove,
  RingPlacement,
  StoppedRing,
} from '../between/worker-calls.ts';
import { VhostUserBackendError } from '../errors.ts';
import type { DeviceLink } from './device-link.ts';
import type { InflightArea } from './inflight-area.ts';
import type { MemoryTable } from './memory-table.ts';
import { RingState } from './ring-state.ts';

/**
 * The rings of one connection: what the front-end said about each, and whether the worker serves it.
 *
 * A ring starts once it has addresses and a kick descriptor, and takes chains while it is enabled.
 * Only messages that are wrong by themselves are refused here; whether what the guest chose (size,
 * addresses, indices) makes a ring, the worker finds out when it serves it.
 */
export class FrontEndRings {
  readonly #rings: readonly RingState[];
  readonly #device: DeviceLink;
  readonly #logger: Logger;
  readonly #memory: { readonly table: MemoryTable };
  #features = 0n;
  /** Where rings record their requests in flight, if the front-end keeps that. */
  #inflight: InflightArea | undefined;

  /** @param memory - says where guest memory is at any time */
  constructor(
    queueMaxSizes: readonly number[],
    device: DeviceLink,
    memory: { readonly table: MemoryTable },
    logger: Logger,
  ) {
    this.#rings = queueMaxSizes.map((size) => new RingState(size));
    this.#device = device;
    this.#memory = memory;
    this.#logger = logger;
  }

  /** Feature word that rings use. */
  get features(): bigint {
    return this.#features;
  }

  /** Feature word that rings use from now on; running ones start anew when it concerns them. */
  async setFeatures(features: bigint, ringBits: bigint): Promise<void> {
    const changed = ((features ^ this.#features) & ringBits) !== 0n;
    this.#features = features;
    if (!changed) return;
    for (const index of this.#rings.keys()) await this.#change(index, () => undefined);
  }

  async setNum(index: number, size: number): Promise<void> {
    const ring = this.#ring(index);
    if (ring.size !== size) {
      await this.#change(index, () => {
        ring.size = size;
      });
    }
    if (isPowerOfTwo(size) && size <= VIRTQUEUE_MAX_SIZE) return;
    throw ringFault(index, `size ${size} is no power of two up to ${VIRTQUEUE_MAX_SIZE}`);
  }

  async setAddr(addr: VringAddr): Promise<void> {
    const ring = this.#ring(addr.index);
    const { addr: old } = ring;
    if (
      old !== undefined &&
      old.descTable === addr.descTable &&
      old.availRing === addr.availRing &&
      old.usedRing === addr.usedRing
    ) {
      return;
    }
    await this.#change(addr.index, () => {
      ring.addr = addr;
    });
    if (this.#memory.table.entries.length > 0 && this.#place(ring, addr) === undefined) {
      throw ringFault(addr.index, 'its addresses are not within one memory region');
    }
  }

  async setBase(index: number, base: number): Promise<void> {
    const ring = this.#ring(index);
    if (!isPosition(this.#features, base)) throw invalid(index, `it cannot be at base ${base}`);
    await this.#change(index, () => {
      ring.position = base;
    });
  }

  /** Stops the ring. @returns where to go on with it */
  async getBase(index: number): Promise<number> {
    const ring = this.#ring(index);
    await this.#stop(index);
    ring.closeFds(['kick', 'call']);
    return this.#positionOf(ring);
  }

  /** Takes over the descriptor, undefined for none. */
  async setFd(index: number, kind: RingFdKind, fd: EventFd | undefined): Promise<void> {
    let old: EventFd | undefined = fd;
    try {
      const ring = this.#ring(index);
      if (kind === 'kick' && fd === undefined) throw noKick(index);
      old = ring.fds[kind];
      ring.fds[kind] = fd;
      if (ring.running) await this.#device.setRingFd(index, kind, fd?.fd);
      else await this.#start(index);
    } finally {
      old?.close();
    }
  }

  async setEnable(index: number, enabled: boolean): Promise<void> {
    const ring = this.#ring(index);
    ring.enabled = enabled;
    if (ring.running) await this.#device.enableRing(index, enabled);
    else await this.#start(index);
  }

  async setEnableAll(enabled: boolean): Promise<void> {
    for (const index of this.#rings.keys()) await this.setEnable(index, enabled);
  }

  /** Takes over an area for requests in flight; rings that run go on with what it says of them. */
  async setInflight(area: InflightArea): Promise<void> {
    const running = [...this.#rings.keys()].filter((index) => this.#ring(index).running);
    try {
      for (const index of running) await this.#stop(index);
    } catch (error) {
      area.close();
      throw error;
    }
    this.#inflight?.close();
    this.#inflight = area;
    for (const index of running) await this.#start(index);
  }

  /**
   * After the worker has stopped all rings: everything as at the start of a connection. What is recorded
   * stays as it is: it is the front-end's, who knows whether the rings are the same next time, and gives
   * it again then.
   */
  forget(): void {
    this.#inflight?.close();
    this.#inflight = undefined;
    for (const ring of this.#rings) {
      ring.closeFds(['kick', 'call', 'err']);
      ring.size = ring.usualSize;
      ring.addr = undefined;
      ring.position = undefined;
      ring.enabled = false;
      ring.running = false;
    }
  }

  /** Where the running rings are in the memory table as it is now. */
  moves(): RingMove[] {
    const moves: RingMove[] = [];
    this.#rings.forEach((ring, index) => {
      if (!ring.running || ring.addr === undefined) return;
      moves.push({ ring: index, placement: this.#place(ring, ring.addr) });
    });
    return moves;
  }

  /** The workers have changed over to the memory table, in which some rings could not go on. */
  async moved(stopped: readonly StoppedRing[]): Promise<void> {
    for (const { ring: index, position } of stopped) {
      const ring = this.#ring(index);
      ring.running = false;
      ring.position = position;
    }
    for (const [index, ring] of this.#rings.entries()) {
      if (ring.running) continue;
      try {
        await this.#start(index);
      } catch (error) {
        this.#logger.warn({ ring: index, err: error }, 'ring cannot start in the new memory');
      }
    }
  }

  /** Changes what a running ring cannot change under way. */
  async #change(index: number, mutate: () => void): Promise<void> {
    await this.#stop(index);
    mutate();
    await this.#start(index);
  }

  async #stop(index: number): Promise<void> {
    const ring = this.#ring(index);
    if (!ring.running) return;
    const position = await this.#device.stopRing(index);
    ring.running = false;
    if (position !== undefined) ring.position = position;
  }

  /** Starts the ring if the front-end has said all that it takes. */
  async #start(index: number): Promise<void> {
    const ring = this.#ring(index);
    const { kick, call, err } = ring.fds;
    if (ring.running || kick === undefined || ring.addr === undefined) return;
    const config: RingConfig = {
      placement: this.#place(ring, ring.addr),
      size: ring.size,
      features: this.#features,
      position: this.#positionOf(ring),
      inflight: this.#inflight?.region(index),
      enabled: ring.enabled,
      kickFd: kick.fd,
      callFd: call?.fd,
      errFd: err?.fd,
    };
    await this.#device.startRing(index, config);
    ring.running = true;
  }

  #place(ring: RingState, addr: VringAddr): RingPlacement | undefined {
    const { table } = this.#memory;
    const bytes = ringSizes({ size: ring.size, features: this.#features });
    const descTable = table.translate(addr.descTable, bytes.desc);
    const availRing = table.translate(addr.availRing, bytes.avail);
    const usedRing = table.translate(addr.usedRing, bytes.used);
    if (descTable === undefined || availRing === undefined || usedRing === undefined) {
      return undefined;
    }
    return { descTable, availRing, usedRing };
  }

  #positionOf({ position }: RingState): number {
    return position ?? freshPosition(this.#features);
  }

  #ring(index: number): RingState {
    const ring = this.#rings[index];
    if (ring === undefined) {
      throw invalid(index, `the device has ${this.#rings.length} queues`);
    }
    return ring;
  }
}

function invalid(ring: number, why: string): VhostUserBackendError {
  return new VhostUserBackendError('INVALID_REQUEST', `Cannot use ring ${ring}: ${why}`, { ring });
}

/**
 * What the guest chose for its ring cannot be. That is the ring's own fault: where the front-end does
 * not wait for an answer, the worker says so when the driver kicks, and everything else goes on.
 */
function ringFault(ring: number, why: string): VhostUserBackendError {
  return new VhostUserBackendError('RING_FAULT', `Cannot use ring ${ring}: ${why}`, { ring });
}

function noKick(ring: number): VhostUserBackendError {
  return new VhostUserBackendError(
    'UNSUPPORTED',
    `Cannot poll ring ${ring}: the front-end must give it a kick descriptor`,
    { ring },
  );
}
