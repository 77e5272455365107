import {
  type ChainBatch,
  createVirtqueue,
  type DescriptorChain,
  freshPosition,
  type InflightRegion,
  isWaiting,
  VirtioQueueError,
  type Virtqueue,
  type VirtqueueConfig,
} from '@node-vmm/virtio-queue';
import { type GuestAddress, type GuestMemory, VmMemoryError } from '@node-vmm/vm-memory';
import {
  type EventFd,
  FaultWatch,
  type HostPointer,
  viewOf,
  type Watch,
} from '@node-vmm/vmm-sys-util';
import type { RingConfig, RingFdKind, RingPlacement } from '../between/worker-calls.ts';
import type { DeviceQueue } from '../device.ts';
import type { RingCounters } from '../status.ts';
import { addCounters } from './ring-counters.ts';
import { RingSignals } from './ring-signals.ts';

/**
 * Most chains that a device gets at once, and most batches that a ring is served before the other
 * rings of the worker have their turn: a busy driver must not starve them, whatever it offers.
 */
const BATCH_CHAINS = 256;
const TURN_BATCHES = 4;

/** What a ring needs of the memory that it is in: `LentMemory` is one. */
export interface RingMemory {
  readonly view: GuestMemory;
  /** One more user of it. */
  retain(): void;
  release(): void;
}

/** What a ring needs of the device instance that it belongs to. */
export interface VringOwner {
  /** Device code that serves a batch; must not throw. */
  process(queue: DeviceQueue, batch: ChainBatch): void;
  /** Watches a kick eventfd. */
  watchKick(fd: number, callback: () => void): Watch;
  /** Signals an eventfd of the front-end's. @returns false when that must not be tried again */
  notify(event: EventFd): boolean;
  /** Puts the ring on the list of those to be served in this turn. */
  schedule(ring: Vring): void;
  ringBroken(ring: number, reason: Error): void;
  /**
   * The device completed a chain with a length that cannot be.
   *
   * @param written - what it said
   * @param room - bytes that it could write
   */
  lengthWrong(ring: number, written: unknown, room: number): void;
  /** Some of the memory that the front-end shares is not there. */
  memoryFaulted(): void;
  /** The device neither completed nor detached chains of a batch, which ends it; they were returned. */
  chainsForgotten(ring: number): void;
}

/**
 * One vring from its start to its stop. It takes chains while it is enabled; nothing in guest memory is
 * looked at or written to before it is first served: until then it may hold what firmware left behind.
 * Descriptors stay the main thread's.
 */
export class Vring implements DeviceQueue {
  readonly index: number;
  readonly resumed: boolean;
  /** On the worker's list of rings to be served. */
  scheduled = false;
  readonly #owner: VringOwner;
  readonly #counters: RingCounters;
  readonly #signals: RingSignals;
  #config: RingConfig;
  #memory: RingMemory;
  /** Where the ring records its requests in flight. */
  readonly #inflight: InflightRegion | undefined;
  readonly #inflightFaults: FaultWatch | undefined;
  #queue: Virtqueue | undefined;
  /** Memories that the ring has left, from which the device still holds chains. */
  readonly #older = new Set<RingMemory>();
  #enabled = false;
  /** The driver kicked. */
  #kicked = false;
  /** The driver broke the ring while it was served: idle until it is started anew. */
  #broken = false;
  /** The ring could not be opened, which has been said. */
  #faulty = false;
  /** Some of the front-end's memory is not there: nothing is served, and nothing returned. */
  #memoryFault = false;
  /** Where the ring is still, on its way to other memory, or to the same that is mapped anew. */
  #left: RingMemory | undefined;
  /** Memory that the ring waits for. */
  #awaited: GuestMemory | undefined;
  /** Takes no more chains; those that the device holds may still be returned. */
  #stopping = false;
  #stopped = false;
  #kick: Watch | undefined;

  /**
   * From now on kicks are heard.
   *
   * @param counters - what the ring counted before; goes on being counted there
   * @throws {SysError} when a descriptor cannot be used; nothing is held then
   */
  constructor(
    index: number,
    config: RingConfig,
    memory: RingMemory,
    counters: RingCounters,
    owner: VringOwner,
  ) {
    this.index = index;
    this.resumed = config.position !== freshPosition(config.features);
    this.#owner = owner;
    this.#counters = counters;
    this.#signals = new RingSignals((event) => owner.notify(event));
    this.#config = config;
    this.#inflight = regionOf(config);
    const { fault } = config.inflight ?? {};
    this.#inflightFaults = fault === undefined ? undefined : new FaultWatch([fault]);
    this.#memory = memory;
    try {
      this.#setKick(config.kickFd);
      this.setFd('call', config.callFd);
      this.setFd('err', config.errFd);
    } catch (error) {
      this.#kick?.close();
      throw error;
    }
    memory.retain();
    this.setEnabled(config.enabled);
  }

  /** Takes no more chains. */
  stopping(): void {
    this.#stopping = true;
    this.#kick?.close();
    this.#kick = undefined;
  }

  /**
   * The driver sees nothing of the ring any more. Memory in which the device holds chains is not given
   * back before `letGo`. To be called once.
   *
   * @returns where to go on
   */
  stop(): number {
    const queue = this.#queue;
    const position = queue === undefined ? this.#config.position : queue.position;
    this.stopping();
    this.#stopped = true;
    if (queue !== undefined) addCounters(this.#counters, queue);
    queue?.[Symbol.dispose]();
    this.#signals.clear();
    return position;
  }

  /** After `stop`: the device touches no chain of the ring any more. To be called once. */
  letGo(): void {
    for (const memory of this.#older) memory.release();
    this.#older.clear();
    this.#left?.release();
    this.#left = undefined;
    this.#memory.release();
  }

  /**
   * Goes on in other memory, perhaps at another place, with the chains that the device holds.
   *
   * @throws {VirtioQueueError} when a ring that is being served cannot be there; it is as it was then
   */
  move(placement: RingPlacement | undefined, memory: RingMemory): void {
    const former = { config: this.#config, memory: this.#memory, left: this.#left };
    this.#config = { ...this.#config, placement };
    this.#memory = memory;
    this.#left ??= former.memory;
    try {
      this.#follow();
    } catch (error) {
      this.#config = former.config;
      this.#memory = former.memory;
      this.#left = former.left;
      throw error;
    }
    memory.retain();
    // What it was about to go to and never was in.
    if (former.left !== undefined) former.memory.release();
    this.#faulty = false;
    if (this.#enabled) this.#owner.schedule(this);
  }

  /** Some of the memory is mapped anew: the ring goes on where that is there. */
  renew(memory: RingMemory): void {
    if (this.#stopped || this.#queue === undefined || memory !== this.#memory) return;
    if (this.#left !== undefined) return;
    this.#left = memory;
    // It is left and gone to.
    memory.retain();
    this.#goOn();
  }

  #goOn(): void {
    try {
      this.#follow();
    } catch (error) {
      this.#lose(error as Error);
    }
    if (this.#left === undefined && this.#enabled) this.#owner.schedule(this);
  }

  /**
   * Goes to the memory that is the ring's now, from where it was; waits where some of it is not mapped yet.
   *
   * @throws {VirtioQueueError} when the ring cannot be there
   */
  #follow(): void {
    const old = this.#left;
    if (old === undefined) return;
    const memory = this.#memory;
    let held = 0;
    if (this.#queue !== undefined) {
      const { placement } = this.#config;
      if (placement === undefined) throw new Error(NO_PLACE);
      try {
        held = this.#queue.relocate(memory.view, queueConfig(this.#config, placement), () => {
          if (this.#older.delete(old)) old.release();
        });
      } catch (error) {
        if (!VirtioQueueError.is(error, 'RING_NOT_READY')) throw error;
        this.#await(memory.view);
        return;
      }
    }
    this.#left = undefined;
    if (held > 0 && old !== memory) this.#older.add(old);
    else old.release();
  }

  /** It cannot go where it is to be. */
  #lose(reason: Error): void {
    // Nothing of where it was is kept.
    this.#queue?.[Symbol.dispose]();
    this.#left?.release();
    this.#left = undefined;
    this.#break(reason);
  }

  /** A disabled ring takes no chains; those that the device holds may still be returned. */
  setEnabled(enabled: boolean): void {
    this.#enabled = enabled;
    // Whatever was kicked before counts: a ring that starts is always looked at.
    if (enabled) this.#owner.schedule(this);
  }

  /**
   * A new kick is answered with a look at the ring at once, a new call descriptor is signalled: what was
   * due between two descriptors would be lost.
   */
  setFd(kind: RingFdKind, fd: number | undefined): void {
    if (kind === 'kick') {
      this.#setKick(fd);
      return;
    }
    this.#signals.set(kind, fd);
    if (kind === 'call') this.#signals.used();
    else if (this.#broken || this.#faulty) this.#signals.fault();
  }

  /** What was counted, this time and before. */
  counters(): RingCounters {
    const now = { ...this.#counters };
    if (this.#queue !== undefined && !this.#stopped) addCounters(now, this.#queue);
    return now;
  }

  /**
   * Hands what the driver made available to the device.
   *
   * @returns true when there is more, which no kick will announce
   */
  serve(): boolean {
    if (!this.#enabled || this.#broken || this.#stopping || this.#memoryFault) return false;
    // On its way: it is looked at when it is there.
    if (this.#left !== undefined) return false;
    const queue = this.#queue ?? this.#open();
    if (queue === undefined) {
      this.#lost();
      return false;
    }
    this.#counters.wakeups++;
    queue.disableNotification();
    for (let i = 0; i < TURN_BATCHES; i++) {
      const batch = queue.popBatch(BATCH_CHAINS);
      // What stands for memory that is not there looks like a ring, but nobody has asked for anything.
      if (this.#lost()) return false;
      if (batch.length > 0) {
        this.#owner.process(this, batch);
        // The device may have failed, which stops its rings, now or in a moment.
        if (this.#stopped || this.#stopping || this.#lost()) return false;
        if (queue.completeRest() > 0) {
          this.#owner.chainsForgotten(this.index);
          return false;
        }
      }
      // Malformed chains are returned without the device seeing them, so flush even without a batch.
      this.flush();
      if (queue.broken !== undefined) {
        this.#break(queue.broken);
        return false;
      }
      // A driver that is quick with its next request is spared the kick, and this thread the sleep.
      if (!queue.enableNotification()) {
        this.#lost();
        return false;
      }
      queue.disableNotification();
    }
    return true;
  }

  complete(chain: DescriptorChain, written: number): void {
    const queue = this.#queue;
    // What was written may have gone nowhere: a request that is not returned may be served again.
    if (this.#stopped || queue === undefined || this.#lost(chain)) return;
    const { wrongLengths } = queue.counters;
    queue.complete(chain, written);
    if (queue.counters.wrongLengths === wrongLengths) return;
    this.#owner.lengthWrong(this.index, written, chain.writableLength);
  }

  flush(): void {
    if (!this.#stopped && !this.#lost() && this.#queue?.flush() === true) this.#signals.used();
  }

  /** Some of the front-end's memory is not there: from now on the ring is idle. */
  memoryFaulted(): void {
    this.#memoryFault = true;
    this.#kick?.close();
    this.#kick = undefined;
  }

  /** Looks at the marks of the memory, of that which a chain was taken from, and of its record. */
  #lost(chain?: DescriptorChain): boolean {
    if (this.#memoryFault) return true;
    const lost = this.#memory.view.faulted || chain?.faulted === true;
    if (!lost && this.#inflightFaults?.faulted !== true) return false;
    this.memoryFaulted();
    this.#owner.memoryFaulted();
    return true;
  }

  readonly #onKick = (): void => {
    this.#kicked = true;
    this.#owner.schedule(this);
  };

  #setKick(fd: number | undefined): void {
    this.#kick?.close();
    this.#kick = undefined;
    if (fd === undefined || this.#broken || this.#stopping || this.#memoryFault) return;
    this.#kick = this.#owner.watchKick(fd, this.#onKick);
    this.#owner.schedule(this);
  }

  /**
   * Takes the ring into service. Without a kick that is right only for a ring that plainly waits for
   * us, because its kick went to a predecessor; a kick is the driver's word that the ring is ready.
   *
   * @returns undefined when it is not, or cannot be: the next kick tries again
   */
  #open(): Virtqueue | undefined {
    const { view } = this.#memory;
    const config = this.#config;
    try {
      const { placement, position } = config;
      if (placement === undefined) throw new Error(NO_PLACE);
      const place = queueConfig(config, placement);
      if (!this.#kicked && !isWaiting(view, place, position, this.#inflight)) return undefined;
      const queue = createVirtqueue(view, place, position, this.#inflight);
      queue.onReady = () => this.#owner.schedule(this);
      this.#queue = queue;
      this.#faulty = false;
      return queue;
    } catch (error) {
      if (VirtioQueueError.is(error, 'RING_NOT_READY') || VmMemoryError.is(error, 'NOT_YET')) {
        this.#await(view);
        return undefined;
      }
      if (this.#kicked && !this.#faulty) {
        this.#faulty = true;
        this.#fault(error as Error);
      }
      return undefined;
    }
  }

  /** The ring is in memory that is not mapped yet: it is looked at again when that is. */
  #await(view: GuestMemory): void {
    // Once for each memory, however often the driver kicks.
    if (this.#awaited === view) return;
    this.#awaited = view;
    view.whenReady(() => {
      if (this.#awaited !== view) return;
      this.#awaited = undefined;
      if (this.#left !== undefined && !this.#stopped) this.#goOn();
      else this.#owner.schedule(this);
    });
  }

  #break(reason: Error): void {
    this.#broken = true;
    this.#kick?.close();
    this.#kick = undefined;
    this.#fault(reason);
  }

  #fault(reason: Error): void {
    this.#counters.broken++;
    this.#signals.fault();
    this.#owner.ringBroken(this.index, reason);
  }
}

const NO_PLACE = 'its addresses are not within one memory region';

function regionOf({ inflight }: RingConfig): InflightRegion | undefined {
  if (inflight === undefined) return undefined;
  const { hostAddress, length, queueSize } = inflight;
  // SAFETY: the main thread keeps it mapped until this ring has stopped, and its queue with it.
  const bytes = new Uint8Array(viewOf(BigInt(hostAddress) as HostPointer, length));
  return { bytes, queueSize };
}

function queueConfig(config: RingConfig, placement: RingPlacement): VirtqueueConfig {
  return {
    size: config.size,
    features: config.features,
    descTable: placement.descTable as GuestAddress,
    availRing: placement.availRing as GuestAddress,
    usedRing: placement.usedRing as GuestAddress,
  };
}
