import type { ChainBatch } from '@node-vmm/virtio-queue';
import type { ChunkMapping } from '@node-vmm/vm-memory';
import {
  asFd,
  type EventFd,
  type EventLoop,
  type Logger,
  type Watch,
} from '@node-vmm/vmm-sys-util';
import type { HostErrorRecord } from '../between/host-protocol.ts';
import { shown } from '../between/invalid-field.ts';
import type { StateMemory } from '../between/state-memory.ts';
import type {
  CommandAnswer,
  DeviceDescription,
  InstanceEvent,
  RingConfig,
  RingFdKind,
  RingMove,
  StoppedRing,
} from '../between/worker-calls.ts';
import type { CreateDevice, DeviceContext, DeviceQueue, VhostUserDevice } from '../device.ts';
import { VhostUserBackendError } from '../errors.ts';
import type { RingCounters } from '../status.ts';
import type { Answer } from './answer.ts';
import { DeviceCode } from './device-code.ts';
import { runCommand } from './device-command.ts';
import { describeDevice } from './device-description.ts';
import { EventOutlet } from './event-outlet.ts';
import type { HostLinksEnvironment } from './host-links.ts';
import { InstanceMemory } from './instance-memory.ts';
import { InstanceState } from './instance-state.ts';
import type { LentParts } from './lent-memory.ts';
import { noCounters } from './ring-counters.ts';
import { RingStops } from './ring-stops.ts';
import { Vring, type VringOwner } from './vring.ts';
import type { WorkerPulse } from './worker-pulse.ts';
import type { WorkerViews } from './worker-views.ts';

/** What an instance needs of its worker. */
export interface DeviceInstanceOptions {
  readonly seat: number;
  readonly name: string;
  readonly instance: number;
  readonly instances: number;
  readonly shared: SharedArrayBuffer | undefined;
  /** See `EVENT_FLOW`. */
  readonly events: Int32Array;
  readonly state: StateMemory | undefined;
  readonly logger: Logger;
  readonly loop: EventLoop;
  readonly pulse: WorkerPulse;
  readonly views: WorkerViews;
  readonly connectHost: HostLinksEnvironment['connect'];
  readonly turn: HostLinksEnvironment['turn'];
  schedule(ring: Vring): void;
  /** Tells the main thread. */
  say(event: Exclude<InstanceEvent, { type: 'failed' }>): void;
  failed(error: unknown): void;
}

/** A device in this worker, or its instance here: the author's object, its rings and the memory lent to it. */
export class DeviceInstance implements VringOwner, Disposable {
  readonly description: DeviceDescription;
  readonly #options: DeviceInstanceOptions;
  readonly #code: DeviceCode;
  readonly #device: VhostUserDevice;
  readonly #rings = new Map<number, Vring>();
  readonly #stops: RingStops;
  readonly #counters: readonly RingCounters[];
  readonly #memory: InstanceMemory;
  /** The front-end's descriptors are not to be written to. */
  #muted = false;
  /** The device said that it wrote what it cannot have written, and the log has that. */
  #lengthSaid = false;
  /** Memory of the front-end's is not there, which has been said. */
  #memoryFault = false;
  /** Who is told of the end of its making; afterwards failures are the worker's. */
  #made: ((error?: unknown) => void) | undefined;

  /** @throws {VhostUserBackendError} INVALID_DEVICE; and whatever the author's code throws */
  constructor(create: CreateDevice<unknown>, options: unknown, own: DeviceInstanceOptions) {
    this.#options = own;
    const { name, logger, instance, instances, shared } = own;
    const code = new DeviceCode({
      ...own,
      onFailing: () => this.#onFailing(),
      onFailed: (error) => this.#onFailed(error),
      onMemoryFault: () => this.memoryFaulted(),
    });
    const state = new InstanceState(own.state);
    const events = new EventOutlet(own.events, (text) => own.say({ type: 'emitted', text }));
    const context: DeviceContext = {
      logger,
      poller: code.poller,
      instance,
      instances,
      shared,
      configChanged: () => own.say({ type: 'configChanged' }),
      hostThread: (host) => code.hosts.open(host),
      state: (layout, size) => state.get(layout, size),
      emit: (event) => events.emit(event),
    };
    let device: VhostUserDevice | undefined;
    try {
      const made = code.run('createDevice', () => create(options, context));
      device = made;
      // Its fields may be code, too.
      const described = code.run('createDevice', () => describeDevice(name, made));
      this.description = { ...described, freshState: state.fresh };
    } catch (error) {
      device?.[Symbol.dispose]?.();
      code.close();
      throw error;
    }
    this.#code = code;
    this.#device = device;
    this.#stops = new RingStops(device, this.#code);
    this.#counters = this.description.queueMaxSizes.map(noCounters);
    this.#memory = new InstanceMemory(name, own.views, {
      released: (generation) => own.say({ type: 'memoryReleased', generation }),
      wanted: (generation, chunks) => own.say({ type: 'memoryWanted', generation, chunks }),
      idle: (memory) => own.say({ type: 'memoryIdle', memory }),
    });
  }

  /** Calls back, perhaps at once, when the host threads of its making are there, or one is not. */
  whenReady(made: (error?: unknown) => void): void {
    this.#made = made;
    this.#code.hosts.whenReady(() => {
      this.#made = undefined;
      made();
    });
  }

  hostLost(link: number, record: HostErrorRecord): void {
    const error = this.#code.hosts.lost(link, record);
    if (error !== undefined) this.#code.fail(error);
  }

  /** As `DeviceCode.failing`. */
  get failing(): Promise<void> | undefined {
    return this.#code.failing;
  }

  negotiated(features: bigint): void {
    this.#code.guard('negotiated', () => this.#device.negotiated?.(features));
  }

  reset(closing: boolean, answer: Answer<void>): void {
    this.#code.checkAlive();
    this.#stop([...this.#rings.values()], answer, () => {
      this.#muted = false;
      this.#memoryFault = false;
      // One that is closed keeps what it has of state for the next process.
      if (!closing) this.#code.guard('reset', () => this.#device.reset?.());
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

  command(words: readonly string[]): CommandAnswer {
    return runCommand(this.#options.name, this.#device, this.#code, words);
  }

  /**
   * @throws {VhostUserBackendError} INVALID_STATE, with everything as it was
   * @throws {VmMemoryError} likewise
   */
  attachMemory(generation: number, parts: LentParts): void {
    this.#code.checkAlive();
    this.#memory.attach(generation, parts);
  }

  memoryArrived(generation: number, chunks: readonly ChunkMapping[]): void {
    this.#memory.arrived(generation, chunks);
  }

  /** Rings that are in such memory go to what is mapped in its place. */
  memoryEnded(generation: number, memories: readonly number[]): void {
    const memory = this.#memory.ended(generation, memories);
    if (memory === undefined) return;
    for (const ring of this.#rings.values()) ring.renew(memory);
    this.#stops.renew(memory);
  }

  dropMemory(generation: number): void {
    this.#memory.drop(generation);
  }

  /** Rings go on where they are told to be; those without a place, or whose place is none, stop. */
  useMemory(generation: number, moves: readonly RingMove[], answer: Answer<StoppedRing[]>): void {
    this.#code.checkAlive();
    const memory = this.#memory.use(generation);
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
    this.#rings.set(index, new Vring(index, config, this.#memory.current, counters, this));
  }

  stopRing(index: number, answer: Answer<number | undefined>): void {
    const ring = this.#rings.get(index);
    const rings = ring === undefined ? [] : [ring];
    this.#stop(rings, answer, ([stopped]) => answer.resolve(stopped?.position));
  }

  abandon(): void {
    // Said before the answers that it leads to: who has one finds the reason in the log.
    for (const ring of this.#stops.waiting) {
      this.#options.logger.warn(
        { ring },
        'ring stopped without the device: it did not say that it is done with its requests',
      );
    }
    this.#stops.abandon();
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

  [Symbol.dispose](): void {
    this.#stopAll();
    try {
      this.#code.run('Symbol.dispose', () => this.#device[Symbol.dispose]());
    } finally {
      this.#code.close();
      this.#stops.deviceEnded(undefined);
      this.#memory.forget();
    }
  }

  process(queue: DeviceQueue, batch: ChainBatch): void {
    const { seat, pulse } = this.#options;
    pulse.enter(seat, 'process');
    try {
      const returned: unknown = this.#device.process(queue, batch);
      if (returned !== undefined) this.#code.checkReturned('process', returned);
    } catch (error) {
      this.#code.caught(error);
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

  lengthWrong(ring: number, written: unknown, room: number): void {
    if (this.#lengthSaid) return;
    this.#lengthSaid = true;
    this.#options.logger.warn(
      { ring, written: shown(written), room },
      `device ${this.#options.name} completed a chain with a length that cannot be: "written" expected an integer of 0..${room}, got ${shown(written)}; this is said once, wrongLengths counts all`,
    );
  }

  memoryFaulted(): void {
    if (this.#memoryFault) return;
    this.#memoryFault = true;
    // The front-end's connection is being closed; until then nothing of it is served.
    for (const ring of this.#rings.values()) ring.memoryFaulted();
    this.#options.say({ type: 'memoryFault' });
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

  /** Whatever the device holds of them. */
  #stopAll(): void {
    for (const ring of this.#rings.values()) {
      ring.stop();
      ring.letGo();
    }
    this.#rings.clear();
  }

  #onFailing(): void {
    for (const ring of this.#rings.values()) ring.stopping();
  }

  #onFailed(error: unknown): void {
    this.#stopAll();
    // The main thread unmaps it when it hears: whatever the device still does then, as in its
    // disposal, must find it closed and not gone.
    this.#stops.deviceEnded(error);
    this.#memory.forget();
    const made = this.#made;
    this.#made = undefined;
    if (made === undefined) this.#options.failed(error);
    else made(error);
  }
}
