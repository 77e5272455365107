import type { VringAddr } from '@node-vmm/vhost-user';
import { closeFd, type Fd } from '@node-vmm/vmm-sys-util';
import { VhostSupervisorError } from './errors.ts';
import type { SharedMemory } from './shared-memory.ts';

/** A descriptor of a ring: the driver kicks, chains are used, the ring is broken. */
export type RingFd = 'kick' | 'call' | 'err';

/** Offset of `idx` in both rings, bytes: VIRTIO 1.3 §2.7.6, §2.7.8. */
const IDX_OFFSET = 2n;
const INDICES = 0x1_0000;

/** What a front-end has said of a ring. */
export class RecordedRing {
  readonly index: number;
  size: number | undefined;
  addr: VringAddr | undefined;
  /** What it was told to begin at, or where it stopped. */
  base = 0;
  enabled: boolean | undefined;
  readonly #fds = new Map<RingFd, Fd>();
  /** The used index when the ring was started: while it is that, nothing was returned. */
  #first: number | undefined;

  constructor(index: number) {
    this.index = index;
  }

  get fds(): ReadonlyMap<RingFd, Fd> {
    return this.#fds;
  }

  /** A ring runs from its kick descriptor to GET_VRING_BASE. */
  get running(): boolean {
    return this.#fds.has('kick');
  }

  /** @param fd - becomes this object's; undefined for none */
  setFd(kind: RingFd, fd: Fd | undefined, memory: SharedMemory): void {
    const starts = kind === 'kick' && fd !== undefined && !this.running;
    if (starts) this.#first = this.#used(memory);
    const old = this.#fds.get(kind);
    if (old !== undefined) closeFd(old);
    if (fd === undefined) this.#fds.delete(kind);
    else this.#fds.set(kind, fd);
  }

  /** The ring has stopped. @param base - where to go on */
  stopped(base: number): void {
    this.base = base;
    for (const kind of ['kick', 'call'] as const) this.#drop(kind);
  }

  close(): void {
    for (const kind of [...this.#fds.keys()]) this.#drop(kind);
  }

  /**
   * Where the next serving process goes on: behind the last request that was returned. Those that the old
   * one took and did not return are served again, which is right where requests are returned in order.
   *
   * @throws {VhostSupervisorError} CANNOT_REPLAY
   */
  resume(memory: SharedMemory): number {
    if (!this.running || this.addr === undefined || this.size === undefined) return this.base;
    const used = this.#used(memory);
    const avail = memory.readU16(this.addr.availRing + IDX_OFFSET);
    // What a front-end or guest gave a ring that is none has: the serving process finds that out.
    if (used === undefined || avail === undefined || used === this.#first) return this.base;
    if ((avail - used + INDICES) % INDICES > this.size) {
      throw new VhostSupervisorError(
        'CANNOT_REPLAY',
        `Cannot go on with ring ${this.index}: its used index is ${used} and its available index ` +
          `${avail}, with ${this.size} entries; the driver must reset the device`,
        { ring: this.index },
      );
    }
    return used;
  }

  #used(memory: SharedMemory): number | undefined {
    return this.addr === undefined ? undefined : memory.readU16(this.addr.usedRing + IDX_OFFSET);
  }

  #drop(kind: RingFd): void {
    const fd = this.#fds.get(kind);
    this.#fds.delete(kind);
    if (fd !== undefined) closeFd(fd);
  }
}
