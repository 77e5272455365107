import type { ChainBatch, DescriptorChain } from '@node-vmm/virtio-queue';
import type { RegionMapping } from '@node-vmm/vm-memory';
import {
  asFd,
  type EventFd,
  type EventLoop,
  type Fd,
  type Interest,
  type Logger,
  type Poller,
  type Readiness,
  type Watch,
} from '@node-vmm/vmm-sys-util';
import type { CreateDevice, DeviceContext, DeviceQueue, VhostUserDevice } from './device.ts';
import { describeDevice } from './device-description.ts';
import { VhostUserBackendError } from './errors.ts';
import { HostLinks, type HostLinksEnvironment } from './host-links.ts';
import type { HostErrorRecord } from './host-protocol.ts';
import { LentMemory } from './lent-memory.ts';
import type { DeviceCall, WorkerPulse } from './pulse.ts';
import { Vring, type VringOwner } from './vring.ts';
import type {
  DeviceDescription,
  RingConfig,
  RingCounters,
  RingMove,
  StoppedRing,
} from './worker-protocol.ts';

/**
 * Most memories that chains in the hands of the device may keep alive. A front-end that exchanges
 * memory over and over without letting chains finish meets an error instead of our limits.
 */
const MAX_RETIRING = 16;

/** What a hosted device needs of its worker. */
export interface DeviceEnvironment {
  readonly id: number;
  readonly name: string;
  readonly logger: Logger;
  readonly loop: EventLoop;
  readonly pulse: WorkerPulse;
  schedule(ring: Vring): void;
  configChanged(): void;
  readonly connectHost: HostLinksEnvironment['connect'];
  readonly turn: HostLinksEnvironment['turn'];
  memoryReleased(generation: number): void;
  /** The front-end's eventfd blocked this thread. */
  notifyStalled(): void;
  failed(error: unknown): void;
}

/** One device in its worker thread: the device object, its rings and the memory lent to it. */
export class HostedDevice implements VringOwner {
  readonly description: DeviceDescription;
  readonly #environment: DeviceEnvironment;
  readonly #watches = new Set<Watch>();
  readonly #hosts: HostLinks;
  readonly #device: VhostUserDevice;
  readonly #rings: readonly Vring[];
  #memory = new LentMemory(0, []);
  #retiring: LentMemory[] = [];
  #failed = false;
  #muted = false;
  /** Who is told of the end of its making; afterwards failures are the environment's. */
  #made: ((error?: unknown) => void) | undefined;

  /** @throws {VhostUserBackendError} INVALID_DEVICE; and whatever the device's constructor throws */
  constructor(create: CreateDevice<unknown>, options: unknown, environment: DeviceEnvironment) {
    this.#environment = environment;
    const { logger } = environment;
    const poller: Poller = { watch: (...args) => this.#watch(...args) };
    const { connectHost: connect, turn } = environment;
    const hosts = new HostLinks({ poller, connect, turn });
    this.#hosts = hosts;
    const context: DeviceContext = {
      logger,
      poller,
      configChanged: () => environment.configChanged(),
      hostThread: (host) => hosts.open(host),
    };
    let device: VhostUserDevice | undefined;
    try {
      device = this.#run('createDevice', () => create(options, context));
      this.description = describeDevice(environment.name, device);
    } catch (error) {
      device?.[Symbol.dispose]?.();
      hosts.close();
      this.#closeWatches();
      throw error;
    }
    this.#device = device;
    this.#rings = this.description.queueMaxSizes.map((_, index) => new Vring(index, this));
  }

  /** Calls back, perhaps at once, when the host threads of its making are there, or one is not. */
  whenReady(made: (error?: unknown) => void): void {
    this.#made = made;
    this.#hosts.whenReady(() => {
      this.#made = undefined;
      made();
    });
  }

  hostLost(link: number, record: HostErrorRecord): void {
    const error = this.#hosts.lost(link, record);
    if (error !== undefined) this.#fail(error);
  }

  get retiring(): boolean {
    return this.#retiring.length > 0;
  }

  negotiated(features: bigint): void {
    this.#guard('negotiated', () => this.#device.negotiated?.(features));
  }

  /** All rings stop, the memory goes, the device is as after power-on. */
  reset(): void {
    for (const ring of this.#rings) this.stopRing(ring.index);
    this.#muted = false;
    this.#guard('reset', () => this.#device.reset?.());
  }

  readConfig(offset: number, length: number): Uint8Array {
    const read = (): Uint8Array | undefined => this.#device.config?.slice(offset, offset + length);
    return this.#guard('config', read) ?? new Uint8Array(0);
  }

  writeConfig(offset: number, data: Uint8Array): void {
    this.#guard('writeConfig', () => this.#device.writeConfig?.(offset, data));
  }

  /**
   * Puts new memory in place of the old, between two batches. Rings go on where they are told to be;
   * those without a place, or whose place is none, stop.
   *
   * @throws {VhostUserBackendError} INVALID_STATE, with everything as it was
   * @throws {VmMemoryError} likewise
   */
  setMemory(
    generation: number,
    mappings: readonly RegionMapping[],
    moves: readonly RingMove[],
  ): StoppedRing[] {
    this.#checkAlive();
    if (this.#retiring.length >= MAX_RETIRING) {
      throw new VhostUserBackendError(
        'INVALID_STATE',
        `Cannot exchange memory of ${this.#environment.name}: requests in ${MAX_RETIRING} earlier memory tables are unfinished`,
      );
    }
    const memory = new LentMemory(generation, mappings, this.#memory);
    const stopped: StoppedRing[] = [];
    for (const { ring: index, placement } of moves) {
      const ring = this.#ring(index);
      if (!ring.started) continue;
      try {
        ring.move(placement, memory);
      } catch (error) {
        this.#environment.logger.warn({ ring: index, err: error }, 'ring stops: not in new memory');
        const nextAvail = this.stopRing(index);
        if (nextAvail !== undefined) stopped.push({ ring: index, nextAvail });
      }
    }
    this.#retire(memory);
    return stopped;
  }

  startRing(index: number, config: RingConfig): void {
    this.#checkAlive();
    this.#ring(index).start(config, this.#memory);
  }

  stopRing(index: number): number | undefined {
    const ring = this.#ring(index);
    if (!ring.started) return undefined;
    this.#guard('queueStopping', () => this.#device.queueStopping?.(ring));
    const nextAvail = ring.stop();
    // The device lets go of the chains that it holds before anybody may unmap what they point at.
    this.#guard('queueStopped', () => this.#device.queueStopped?.(index));
    if (this.#rings.every((other) => !other.started)) this.#releaseRetiring(() => true);
    return nextAvail;
  }

  enableRing(index: number, enabled: boolean): void {
    this.#ring(index).setEnabled(enabled);
  }

  setKick(index: number, fd: number | undefined): void {
    this.#ring(index).setKick(fd);
  }

  setCall(index: number, fd: number | undefined): void {
    this.#ring(index).setCall(fd);
  }

  setErr(index: number, fd: number | undefined): void {
    this.#ring(index).setErr(fd);
  }

  counters(): RingCounters[] {
    return this.#rings.map((ring) => ring.counters());
  }

  process(queue: DeviceQueue, batch: ChainBatch): void {
    const { id, pulse } = this.#environment;
    pulse.enter(id, 'process');
    try {
      this.#device.process(queue, batch);
    } catch (error) {
      this.#fail(error);
    } finally {
      pulse.leave();
    }
  }

  watchKick(fd: number, callback: () => void): Watch {
    return this.#environment.loop.watchSignals(asFd(fd), callback);
  }

  notify(event: EventFd): boolean {
    if (this.#muted) return false;
    if (this.#environment.pulse.notify(event)) return true;
    // The front-end's connection is being closed; until then none of its descriptors is trusted.
    this.#muted = true;
    this.#environment.notifyStalled();
    return false;
  }

  schedule(ring: Vring): void {
    this.#environment.schedule(ring);
  }

  chainReturned(chain: DescriptorChain): void {
    const old = this.#retiring.find((memory) => memory.owns(chain));
    if (old === undefined) return;
    old.held--;
    this.#releaseRetiring((memory) => memory.held === 0);
  }

  ringBroken(ring: number, reason: Error): void {
    this.#environment.logger.error(
      { ring, err: reason },
      'the ring cannot be served until the driver mends it',
    );
  }

  chainsForgotten(ring: number): void {
    this.#fail(
      new VhostUserBackendError(
        'INVALID_DEVICE',
        `Cannot go on with ring ${ring} of ${this.#environment.name}: the device neither completed nor detached every chain of a batch`,
        { device: this.#environment.name, ring },
      ),
    );
  }

  close(): void {
    for (const ring of this.#rings) ring.stop();
    try {
      this.#run('Symbol.dispose', () => this.#device[Symbol.dispose]());
    } finally {
      this.#hosts.close();
      this.#closeWatches();
      this.#forgetMemory();
    }
  }

  #ring(index: number): Vring {
    const ring = this.#rings[index];
    if (ring === undefined) throw new RangeError(`"ring" expected 0..${this.#rings.length - 1}`);
    return ring;
  }

  #watch(fd: Fd, interest: Interest, callback: (ready: Readiness) => void): Watch {
    const guarded = (ready: Readiness): void => {
      try {
        this.#run('a callback of its poller', () => callback(ready));
      } catch (error) {
        this.#fail(error);
      }
    };
    const watch = this.#environment.loop.watch(fd, interest, guarded);
    this.#watches.add(watch);
    const close = (): void => {
      this.#watches.delete(watch);
      watch.close();
    };
    return { update: (next) => watch.update(next), close, [Symbol.dispose]: close };
  }

  #closeWatches(): void {
    for (const watch of this.#watches) watch.close();
    this.#watches.clear();
  }

  #retire(next: LentMemory): void {
    const last = this.#memory;
    this.#memory = next;
    const older = this.#retiring.reduce((sum, memory) => sum + memory.held, 0);
    last.held = this.#rings.reduce((sum, ring) => sum + ring.held, 0) - older;
    this.#retiring.push(last);
    this.#releaseRetiring((memory) => memory.held <= 0);
  }

  #forgetMemory(): void {
    this.#retire(new LentMemory(-1, []));
    this.#releaseRetiring(() => true);
  }

  #releaseRetiring(done: (memory: LentMemory) => boolean): void {
    this.#retiring = this.#retiring.filter((memory) => {
      if (!done(memory)) return true;
      memory.view.close();
      this.#environment.memoryReleased(memory.generation);
      return false;
    });
  }

  #checkAlive(): void {
    if (!this.#failed) return;
    throw new VhostUserBackendError(
      'DEVICE_FAILED',
      `Cannot use device ${this.#environment.name}: it has failed`,
      { device: this.#environment.name },
    );
  }

  #run<T>(call: DeviceCall, body: () => T): T {
    return this.#environment.pulse.run(this.#environment.id, call, body);
  }

  #guard<T>(call: DeviceCall, body: () => T): T {
    this.#checkAlive();
    try {
      return this.#run(call, body);
    } catch (error) {
      this.#fail(error);
      throw error;
    }
  }

  /** Device code threw: nobody knows its state any more, so it serves nothing from now on. */
  #fail(error: unknown): void {
    if (this.#failed) return;
    this.#failed = true;
    for (const ring of this.#rings) ring.stop();
    this.#hosts.close();
    this.#closeWatches();
    // The main thread unmaps it when it hears: whatever the device still does then, as in its
    // disposal, must find it closed and not gone.
    this.#forgetMemory();
    const made = this.#made;
    this.#made = undefined;
    if (made === undefined) this.#environment.failed(error);
    else made(error);
  }
}
