import { cloneError } from '../between/clone-error.ts';
import { countEvent, createEventFlow, EVENT_FLOW } from '../between/event-flow.ts';
import type { StateMemory } from '../between/state-memory.ts';
import type {
  CommandAnswer,
  DemandRange,
  DeviceDescription,
  LentMapping,
  RingConfig,
  RingFdKind,
  RingMove,
  StoppedRing,
} from '../between/worker-calls.ts';
import type { DeviceSpec } from '../device-spec.ts';
import { VhostUserBackendError } from '../errors.ts';
import type { RingCounters } from '../status.ts';
import type { DeviceLink, MemorySeat, MemoryWish } from './device-link.ts';
import type { WorkerPool, WorkerTenant } from './worker-pool.ts';
import type { WorkerSeat } from './worker-seat.ts';

/**
 * How long a device may take to let go of a ring whose front-end has gone, milliseconds: what it still
 * completes helps nobody, and the next front-end waits.
 */
const GONE_TIMEOUT_MS = 1_000;

/** What a device's instances need. */
export interface DeviceInstancesOptions {
  readonly spec: DeviceSpec;
  readonly pool: WorkerPool;
  /** Milliseconds that a device has to let go of a ring. */
  readonly stopTimeout: number;
  /** The file of the device's state. */
  readonly state: StateMemory | undefined;
  /** Told what the device, or a worker, says. */
  readonly tenant: Omit<WorkerTenant, 'memoryWanted'>;
  /** An instance needs memory that is mapped on demand. */
  onMemoryWanted(wish: MemoryWish): void;
}

/**
 * A device in its workers: an instance in each, that owns every n-th queue. Says to all what concerns
 * the device, and to one what concerns a ring.
 */
export class DeviceInstances implements DeviceLink {
  readonly #options: DeviceInstancesOptions;
  readonly #seats: WorkerSeat[] = [];
  /** How the events of each flow. */
  readonly #flows: Int32Array[] = [];
  #listening = false;
  #closing = false;
  /** How many instances have let go of a generation of memory, where some have not. */
  readonly #released = new Map<number, number>();
  #stopTimeout: number;
  /** The front-end that asks for something has gone some time ago. */
  #hasty = false;

  /**
   * Takes a place in a worker; `make` makes the device there.
   *
   * @throws {SysError} EMFILE ... when it takes a new thread and there can be none
   */
  constructor(options: DeviceInstancesOptions) {
    this.#options = options;
    this.#stopTimeout = options.stopTimeout;
    this.#takeSeat();
  }

  /** Makes the device. @throws {VhostUserBackendError} */
  async make(): Promise<DeviceDescription> {
    const { spec, pool } = this.#options;
    const instances = Math.min(spec.queueWorkers ?? 1, pool.max);
    const first = await this.#makeOne(0, instances, undefined);
    const wanted = Math.min(instances, first.queueMaxSizes.length);
    for (let i = 1; i < wanted; i++) {
      this.#takeSeat();
      const next = await this.#makeOne(i, instances, first.shared);
      if (!sameDevice(first, next)) throw notAlike(spec.name, i);
    }
    return first;
  }

  /** The device is about to be disposed of: a front-end that goes now resets nothing. */
  closing(): void {
    this.#closing = true;
  }

  command(words: readonly string[]): Promise<CommandAnswer> {
    return this.#seat(0).call('command', { words });
  }

  /** Somebody outside wants to hear events, or nobody any more. */
  listen(on: boolean): void {
    this.#listening = on;
    for (const flow of this.#flows) Atomics.store(flow, EVENT_FLOW.LISTENING, on ? 1 : 0);
  }

  async negotiated(features: bigint): Promise<void> {
    await this.#each((seat) => seat.call('negotiated', { features }));
  }

  async reset(): Promise<void> {
    await this.#each((seat) => this.#patiently(seat, seat.call('reset', { closing: false })));
  }

  readConfig(offset: number, length: number): Promise<Uint8Array> {
    return this.#seat(0).call('readConfig', { offset, length });
  }

  async writeConfig(offset: number, data: Uint8Array): Promise<void> {
    await this.#each((seat) => seat.call('writeConfig', { offset, data }));
  }

  async attachMemory(
    generation: number,
    mappings: readonly LentMapping[],
    onDemand: readonly DemandRange[],
  ): Promise<void> {
    try {
      await this.#each((seat) => seat.call('attachMemory', { generation, mappings, onDemand }));
    } catch (error) {
      // Those that it worked in forget it, and say so before they answer.
      await Promise.allSettled(this.#seats.map((seat) => seat.call('dropMemory', { generation })));
      this.#released.delete(generation);
      throw error;
    }
  }

  async useMemory(generation: number, moves: readonly RingMove[]): Promise<StoppedRing[]> {
    const stopped = await this.#each((seat) => {
      const own = moves.filter(({ ring }) => this.#seatOf(ring) === seat);
      return this.#patiently(seat, seat.call('useMemory', { generation, moves: own }));
    });
    return stopped.flat();
  }

  startRing(ring: number, config: RingConfig): Promise<void> {
    return this.#seatOf(ring).call('startRing', { ring, config });
  }

  stopRing(ring: number): Promise<number | undefined> {
    const seat = this.#seatOf(ring);
    return this.#patiently(seat, seat.call('stopRing', { ring }));
  }

  enableRing(ring: number, enabled: boolean): Promise<void> {
    return this.#seatOf(ring).call('enableRing', { ring, enabled });
  }

  setRingFd(ring: number, kind: RingFdKind, fd: number | undefined): Promise<void> {
    return this.#seatOf(ring).call('setRingFd', { ring, kind, fd });
  }

  hasten(): () => void {
    const timer = setTimeout(() => {
      this.#hasty = true;
      for (const seat of this.#seats) abandon(seat);
    }, GONE_TIMEOUT_MS);
    return () => {
      clearTimeout(timer);
      this.#hasty = false;
    };
  }

  async release(generation: number): Promise<void> {
    // An instance that cannot be asked has failed or is gone, and has let go of everything.
    await Promise.allSettled(
      this.#seats.map(async (seat) => {
        const reset = seat.call('reset', { closing: this.#closing });
        await this.#patiently(seat, reset, GONE_TIMEOUT_MS);
        await seat.call('attachMemory', { generation, mappings: [], onDemand: [] });
        await seat.call('useMemory', { generation, moves: [] });
      }),
    );
  }

  /** By ring. */
  async counters(): Promise<RingCounters[]> {
    const all = await this.#each((seat) => seat.call('counters', {}));
    return (all[0] ?? []).map((first, ring) => all[ring % all.length]?.[ring] ?? first);
  }

  /** Waits for no request of the device's any more. */
  hurry(): void {
    this.#stopTimeout = 0;
    for (const seat of this.#seats) abandon(seat);
  }

  /**
   * Disposes of the instances and gives up their places.
   *
   * @throws {VhostUserBackendError} when one of them had gone with its worker
   */
  async dispose(): Promise<void> {
    try {
      await this.#each((seat) => seat.call('dispose', {}));
    } finally {
      for (const seat of this.#seats) seat.leave();
    }
  }

  async #makeOne(
    instance: number,
    instances: number,
    shared: SharedArrayBuffer | undefined,
  ): Promise<DeviceDescription> {
    const { name, module, options } = this.#options.spec;
    const state = instance === 0 ? this.#options.state : undefined;
    const events = this.#flows[instance] as Int32Array;
    const params = { name, module: module.href, options, instance, instances, shared };
    try {
      return await this.#seat(instance).call('make', { ...params, events, state });
    } catch (error) {
      throw notMade(name, cloneError(name, 'options', options, error));
    }
  }

  #takeSeat(): void {
    const { pool, tenant } = this.#options;
    const flow = createEventFlow();
    this.#flows.push(flow);
    this.listen(this.#listening);
    const own: WorkerTenant = {
      name: tenant.name,
      configChanged: () => tenant.configChanged(),
      memoryReleased: (generation) => this.#onReleased(generation),
      emitted: (text) => {
        countEvent(flow, text, -1);
        tenant.emitted(text);
      },
      notifyStalled: () => tenant.notifyStalled(),
      memoryFault: () => tenant.memoryFault(),
      memoryWanted: (generation, chunks) =>
        this.#options.onMemoryWanted({ seat: borrower, generation, chunks }),
      memoryIdle: (memory) => tenant.memoryIdle(memory),
      waits: (call) => tenant.waits(call),
      failed: (record) => tenant.failed(record),
      workerLost: (error, guilty) => tenant.workerLost(error, guilty),
    };
    const seat = pool.seat(own, this.#seats);
    const borrower: MemorySeat = {
      arrived: (generation, chunks) => seat.call('memoryArrived', { generation, chunks }),
      ended: (generation, memories) => {
        // One that cannot be asked borrows nothing.
        seat.call('memoryEnded', { generation, memories }).catch(() => undefined);
      },
    };
    this.#seats.push(seat);
  }

  #onReleased(generation: number): void {
    const count = (this.#released.get(generation) ?? 0) + 1;
    if (count < this.#seats.length) {
      this.#released.set(generation, count);
      return;
    }
    this.#released.delete(generation);
    this.#options.tenant.memoryReleased(generation);
  }

  #seat(instance: number): WorkerSeat {
    return this.#seats[instance] as WorkerSeat;
  }

  #seatOf(ring: number): WorkerSeat {
    return this.#seat(ring % this.#seats.length);
  }

  /** Asks all and waits for all, whatever one of them says. @throws the first refusal */
  async #each<T>(ask: (seat: WorkerSeat) => Promise<T>): Promise<T[]> {
    const answers = await Promise.allSettled(this.#seats.map(ask));
    return answers.map((answer) => {
      if (answer.status === 'rejected') throw answer.reason;
      return answer.value;
    });
  }

  /** Waits for a call that stops rings; not for ever for the device. */
  async #patiently<T>(seat: WorkerSeat, answer: Promise<T>, most = Infinity): Promise<T> {
    const timeout = this.#hasty ? 0 : Math.min(this.#stopTimeout, most);
    const timer = setTimeout(() => abandon(seat), timeout);
    try {
      return await answer;
    } finally {
      clearTimeout(timer);
    }
  }
}

function abandon(seat: WorkerSeat): void {
  // One that cannot be asked holds nothing.
  seat.call('abandon', {}).catch(() => undefined);
}

function sameDevice(a: DeviceDescription, b: DeviceDescription): boolean {
  return (
    a.features === b.features &&
    a.configSize === b.configSize &&
    a.queueMaxSizes.join() === b.queueMaxSizes.join()
  );
}

/** An error of a device's making knows the device, whoever threw it. */
function notMade(device: string, error: unknown): unknown {
  if (!VhostUserBackendError.is(error) || error.context.device !== undefined) return error;
  const { code, message, cause, context } = error;
  return new VhostUserBackendError(code, message, { ...context, device }, { cause });
}

function notAlike(device: string, instance: number): VhostUserBackendError {
  const text = `Cannot serve device ${device}: features, queues or configuration space of its instance ${instance} are not those of instance 0`;
  return new VhostUserBackendError('INVALID_DEVICE', text, { device });
}
