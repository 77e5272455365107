import type { ChainBatch } from '@node-vmm/virtio-queue';
import type { RegionMapping } from '@node-vmm/vm-memory';
import {
  asFd,
  type EventFd,
  type EventLoop,
  type Logger,
  type Watch,
} from '@node-vmm/vmm-sys-util';
import type {
  DeviceDescription,
  InstanceEvent,
  RingConfig,
  RingCounters,
  RingFdKind,
  RingMove,
  StoppedRing,
} from '../between/worker-calls.ts';
import type { CreateDevice, DeviceQueue, VhostUserDevice } from '../device.ts';
import { VhostUserBackendError } from '../errors.ts';
import type { Answer } from './answer.ts';
import { DeviceCode } from './device-code.ts';
import { describeDevice } from './device-description.ts';
import { LentMemory } from './lent-memory.ts';
import { RingStops } from './ring-stops.ts';
import { Vring, type VringOwner } from './vring.ts';
import type { WorkerPulse } from './worker-pulse.ts';

/**
 * Most memories that chains in the hands of the device may keep alive. A front-end that exchanges
 * memory over and over without letting chains finish meets an error instead of our limits.
 */
const MAX_RETIRING = 16;

/** What an instance needs of its worker. */
export interface DeviceInstanceOptions {
  readonly seat: number;
  readonly name: string;
  readonly instance: number;
  readonly instances: number;
  readonly shared: SharedArrayBuffer | undefined;
  readonly logger: Logger;
  readonly loop: EventLoop;
  readonly pulse: WorkerPulse;
  schedule(ring: Vring): void;
  /** Tells the main thread. */
  say(event: Exclude<InstanceEvent, { type: 'failed' }>): void;
  failed(error: unknown): void;
}

/** A device in this worker, or its instance here: the author's object, its rings and the memory lent to it. */
export class DeviceInstance implements VringOwner {
  readonly description: DeviceDescription;
  readonly #options: DeviceInstanceOptions;
  readonly #code: DeviceCode;
  readonly #device: VhostUserDevice;
  readonly #rings = new Map<number, Vring>();
  readonly #stops: RingStops;
  readonly #counters: readonly RingCounters[];
  /** Generations that somebody here still uses. */
  readonly #lent = new Set<number>();
  #memory: LentMemory;
  #attached: LentMemory | undefined;
  /** The front-end's descriptors are not to be written to. */
  #muted = false;

  /** @throws {VhostUserBackendError} INVALID_DEVICE; and whatever the author's code throws */
  constructor(create: CreateDevice<unknown>, options: unknown, own: DeviceInstanceOptions) {
    this.#options = own;
    const { seat, name, loop, pulse, logger, instance, instances, shared } = own;
    const onFailed = (error: unknown): void => this.#onFailed(error);
    this.#code = new DeviceCode({ seat, name, loop, pulse, onFailed });
    const configChanged = (): void => own.say({ type: 'configChanged' });
    const { poller } = this.#code;
    const context = { logger, poller, instance, instances, shared, configChanged };
    let device: VhostUserDevice | undefined;
    try {
      device = this.#code.run('createDevice', () => create(options, context));
      this.description = describeDevice(name, device);
    } catch (error) {
      device?.[Symbol.dispose]?.();
      this.#code.closeWatches();
      throw error;
    }
    this.#device = device;
    this.#stops = new RingStops(device, this.#code);
    this.#counters = this.description.queueMaxSizes.map(noCounters);
    this.#memory = this.#lend(0, []);
  }

  negotiated(features: bigint): void {
    this.#code.guard('negotiated', () => this.#device.negotiated?.(features));
  }

  reset(answer: Answer<void>): void {
    this.#code.checkAlive();
    this.#stop([...this.#rings.values()], answer, () => {
      this.#muted = false;
      this.#code.guard('reset', () => this.#device.reset?.());
      answer.resolve();
    });
  }

  readConfig(offset: number, length: number): Uint8Array {
    const read = (): Uint8Array | undefined => this.#device.config?.slice(offset, offset + length);
    return this.#code.guard('config', read) ?? new Uint8Array(0);
  }

  writeConfig(offset: number, data: Uint8Array): void {
    this.#code.guard('writeConfig', () => this.#device.writeConfig?.(offset, data));
  }

  /**
   * @throws {VhostUserBackendError} INVALID_STATE, with everything as it was
   * @throws {VmMemoryError} likewise
   */
  attachMemory(generation: number, mappings: readonly RegionMapping[]): void {
    this.#code.checkAlive();
    if (this.#lent.size > MAX_RETIRING) {
      const { name: device } = this.#options;
      const text = `Cannot exchange memory of ${device}: requests in ${MAX_RETIRING} earlier memory tables are unfinished`;
      throw new VhostUserBackendError('INVALID_STATE', text, { device });
    }
    this.#attached = this.#lend(generation, mappings);
  }

  dropMemory(generation: number): void {
    if (this.#attached?.generation !== generation) return;
    this.#attached.release();
    this.#attached = undefined;
  }

  /** Rings go on where they are told to be; those without a place, or whose place is none, stop. */
  useMemory(generation: number, moves: readonly RingMove[], answer: Answer<StoppedRing[]>): void {
    this.#code.checkAlive();
    const memory = this.#attached;
    if (memory?.generation !== generation) {
      throw new VhostUserBackendError('INVALID_STATE', 'Cannot use memory that is not attached');
    }
    this.#attached = undefined;
    this.#memory.release();
    this.#memory = memory;
    const lost: Vring[] = [];
    for (const { ring: index, placement } of moves) {
      const ring = this.#rings.get(index);
      if (ring === undefined) continue;
      try {
        ring.move(placement, memory);
      } catch (error) {
        this.#options.logger.warn({ ring: index, err: error }, 'ring stops: not in new memory');
        lost.push(ring);
      }
    }
    this.#stop(lost, answer, (stopped) => answer.resolve(stopped));
  }

  /** @throws {SysError} when the kick descriptor cannot be watched */
  startRing(index: number, config: RingConfig): void {
    this.#code.checkAlive();
    const counters = this.#counters[index];
    if (counters === undefined) throw new RangeError(`"ring" expected 0..${this.#counters.length}`);
    this.#rings.set(index, new Vring(index, config, this.#memory, counters, this));
  }

  stopRing(index: number, answer: Answer<number | undefined>): void {
    const ring = this.#rings.get(index);
    const rings = ring === undefined ? [] : [ring];
    this.#stop(rings, answer, ([stopped]) => answer.resolve(stopped?.position));
  }

  abandon(): void {
    for (const ring of this.#stops.abandon()) {
      this.#options.logger.warn(
        { ring },
        'ring stopped without the device: it did not say that it is done with its requests',
      );
    }
  }

  enableRing(index: number, enabled: boolean): void {
    this.#rings.get(index)?.setEnabled(enabled);
  }

  setRingFd(index: number, kind: RingFdKind, fd: number | undefined): void {
    this.#rings.get(index)?.setFd(kind, fd);
  }

  counters(): RingCounters[] {
    return this.#counters.map((past, index) => this.#rings.get(index)?.counters() ?? past);
  }

  dispose(): void {
    this.#stopAll();
    try {
      this.#code.run('Symbol.dispose', () => this.#device[Symbol.dispose]());
    } finally {
      this.#code.closeWatches();
      this.#forgetMemory(undefined);
    }
  }

  process(queue: DeviceQueue, batch: ChainBatch): void {
    const { seat, pulse } = this.#options;
    pulse.enter(seat, 'process');
    try {
      this.#device.process(queue, batch);
    } catch (error) {
      this.#code.fail(error);
    } finally {
      pulse.leave();
    }
  }

  watchKick(fd: number, callback: () => void): Watch {
    return this.#options.loop.watchSignals(asFd(fd), callback);
  }

  notify(event: EventFd): boolean {
    if (this.#muted) return false;
    if (this.#options.pulse.notify(event)) return true;
    // The front-end's connection is being closed; until then none of its descriptors is trusted.
    this.#muted = true;
    this.#options.say({ type: 'notifyStalled' });
    return false;
  }

  schedule(ring: Vring): void {
    this.#options.schedule(ring);
  }

  ringBroken(ring: number, reason: Error): void {
    this.#options.logger.error(
      { ring, err: reason },
      'the ring cannot be served until the driver mends it',
    );
  }

  chainsForgotten(ring: number): void {
    const { name: device } = this.#options;
    const text = `Cannot go on with ring ${ring} of ${device}: the device neither completed nor detached every chain of a batch`;
    this.#code.fail(new VhostUserBackendError('INVALID_DEVICE', text, { device, ring }));
  }

  #stop<T>(
    rings: readonly Vring[],
    answer: Answer<T>,
    then: (stopped: StoppedRing[]) => void,
  ): void {
    for (const { index } of rings) this.#rings.delete(index);
    this.#stops.stop(rings, then, (error) => answer.reject(error));
  }

  #lend(generation: number, mappings: readonly RegionMapping[]): LentMemory {
    const memory = new LentMemory(generation, mappings, this.#memory, () => {
      this.#lent.delete(generation);
      this.#options.say({ type: 'memoryReleased', generation });
    });
    this.#lent.add(generation);
    return memory;
  }

  /** Whatever the device holds of them. */
  #stopAll(): void {
    for (const ring of this.#rings.values()) {
      ring.stop();
      ring.letGo();
    }
    this.#rings.clear();
  }

  #forgetMemory(error: unknown): void {
    this.#stops.deviceEnded(error);
    if (this.#attached !== undefined) this.dropMemory(this.#attached.generation);
    this.#memory.release();
    this.#memory = this.#lend(0, []);
  }

  #onFailed(error: unknown): void {
    this.#stopAll();
    // The main thread unmaps it when it hears: whatever the device still does then, as in its
    // disposal, must find it closed and not gone.
    this.#forgetMemory(error);
    this.#options.failed(error);
  }
}

function noCounters(): RingCounters {
  return {
    chains: 0,
    malformedChains: 0,
    notifications: 0,
    suppressedNotifications: 0,
    wakeups: 0,
    broken: 0,
  };
}
