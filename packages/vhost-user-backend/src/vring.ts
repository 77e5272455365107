import {
  type ChainBatch,
  createVirtqueue,
  type DescriptorChain,
  isWaiting,
  VirtioQueueError,
  type Virtqueue,
  type VirtqueueConfig,
} from '@node-vmm/virtio-queue';
import type { GuestAddress, GuestMemory } from '@node-vmm/vm-memory';
import { asFd, EventFd, type Watch } from '@node-vmm/vmm-sys-util';
import type { DeviceQueue } from './device.ts';
import type { RingConfig, RingCounters, RingPlacement } from './worker-protocol.ts';

/**
 * Most chains that a device gets at once, and most batches that a ring is served before the other
 * rings of the worker have their turn: a busy driver must not starve them, whatever it offers.
 */
const BATCH_CHAINS = 256;
const TURN_BATCHES = 4;

/** What a ring needs of the memory that it is in: `LentMemory` is one. */
export interface RingMemory {
  readonly view: GuestMemory;
}

/** What a ring needs of the device that it belongs to. */
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
  /** The device neither completed nor detached chains of a batch, which ends it; they were returned. */
  chainsForgotten(ring: number): void;
}

/**
 * One vring in its worker. It exists for as long as its device; between `start` and `stop` it has a
 * queue, and takes chains from it while it is enabled. Descriptors stay the main thread's.
 */
export class Vring implements DeviceQueue {
  readonly index: number;
  /** On the worker's list of rings to be served. */
  scheduled = false;
  readonly #owner: VringOwner;
  readonly #past: RingCounters = {
    chains: 0,
    malformedChains: 0,
    notifications: 0,
    suppressedNotifications: 0,
    wakeups: 0,
    broken: 0,
  };
  #queue: Virtqueue | undefined;
  #config: RingConfig | undefined;
  #memory: RingMemory | undefined;
  #enabled = false;
  /** The driver kicked since the ring was started. */
  #kicked = false;
  /** The driver broke the ring while it was served: idle until it is started anew. */
  #broken = false;
  /** The ring could not be opened, which has been said. */
  #faulty = false;
  /** Memory that the ring waits for. */
  #awaited: GuestMemory | undefined;
  #kick: Watch | undefined;
  #call: EventFd | undefined;
  #err: EventFd | undefined;

  constructor(index: number, owner: VringOwner) {
    this.index = index;
    this.#owner = owner;
  }

  get started(): boolean {
    return this.#config !== undefined;
  }

  /**
   * From now on kicks are heard. Nothing in guest memory is looked at or written to before the ring
   * is first served: until then it may hold what firmware left behind.
   *
   * @throws {SysError} when the kick descriptor cannot be watched
   */
  start(config: RingConfig, memory: RingMemory): void {
    this.stop();
    this.#config = config;
    this.#memory = memory;
    try {
      this.setKick(config.kickFd);
    } catch (error) {
      this.stop();
      throw error;
    }
    this.setCall(config.callFd);
    this.setErr(config.errFd);
    this.setEnabled(config.enabled);
  }

  /** @returns where to go on, undefined when the ring did not run */
  stop(): number | undefined {
    const config = this.#config;
    if (config === undefined) return undefined;
    const queue = this.#queue;
    const nextAvail = queue === undefined ? config.nextAvail : queue.position;
    if (queue !== undefined) addCounters(this.#past, queue);
    this.#kick?.close();
    queue?.[Symbol.dispose]();
    this.#queue = undefined;
    this.#config = undefined;
    this.#memory = undefined;
    this.#kick = undefined;
    this.#call = undefined;
    this.#err = undefined;
    this.#enabled = false;
    this.#kicked = false;
    this.#broken = false;
    this.#faulty = false;
    return nextAvail;
  }

  /**
   * Goes on in other memory, perhaps at another place, with the chains that the device holds.
   *
   * @param onReleased - called when the last chain from the former memory was returned, if there is one
   * @returns true when the device holds chains from the former memory
   * @throws {VirtioQueueError} when a ring that is being served cannot be there; it is as it was then
   */
  move(placement: RingPlacement | undefined, memory: RingMemory, onReleased: () => void): boolean {
    if (this.#config === undefined) return false;
    const config = { ...this.#config, placement };
    let held = 0;
    if (this.#queue !== undefined) {
      if (placement === undefined) throw new Error(NO_PLACE);
      held = this.#queue.relocate(memory.view, queueConfig(config, placement), onReleased);
    }
    this.#config = config;
    this.#memory = memory;
    this.#faulty = false;
    if (this.#enabled) this.#owner.schedule(this);
    return held > 0;
  }

  /** A disabled ring takes no chains; those that the device holds may still be returned. */
  setEnabled(enabled: boolean): void {
    this.#enabled = enabled;
    // Whatever was kicked before counts: a ring that starts is always looked at.
    if (enabled) this.#owner.schedule(this);
  }

  /** Looks at the ring at once: a kick may have been given to the descriptor before. */
  setKick(fd: number | undefined): void {
    this.#kick?.close();
    this.#kick = undefined;
    if (fd === undefined || this.#broken) return;
    this.#kick = this.#owner.watchKick(fd, this.#onKick);
    this.#owner.schedule(this);
  }

  /** Signals at once: a notification may have been due between two descriptors. */
  setCall(fd: number | undefined): void {
    this.#call = fd === undefined ? undefined : EventFd.fromFd(asFd(fd));
    this.#notify();
  }

  setErr(fd: number | undefined): void {
    this.#err = fd === undefined ? undefined : EventFd.fromFd(asFd(fd));
    if (this.#broken || this.#faulty) this.#tellFault();
  }

  /** What was counted since the device was made. */
  counters(): RingCounters {
    const now = { ...this.#past };
    if (this.#queue !== undefined) addCounters(now, this.#queue);
    return now;
  }

  readonly #onKick = (): void => {
    this.#kicked = true;
    this.#owner.schedule(this);
  };

  /**
   * Hands what the driver made available to the device.
   *
   * @returns true when there is more, which no kick will announce
   */
  serve(): boolean {
    if (!this.#enabled || this.#broken) return false;
    const queue = this.#queue ?? this.#open();
    if (queue === undefined) return false;
    this.#past.wakeups++;
    queue.disableNotification();
    for (let i = 0; i < TURN_BATCHES; i++) {
      const batch = queue.popBatch(BATCH_CHAINS);
      if (batch.length > 0) {
        this.#owner.process(this, batch);
        // The device may have failed, which stops its rings.
        if (this.#queue !== queue) return false;
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
      // Only once nothing is left: a driver that is quick with its next request is spared the kick,
      // and this thread the sleep.
      if (batch.length === 0 && !queue.enableNotification()) return false;
    }
    return true;
  }

  complete(chain: DescriptorChain, written: number): void {
    this.#queue?.complete(chain, written);
  }

  flush(): void {
    if (this.#queue?.flush() === true) this.#notify();
  }

  #notify(): void {
    if (this.#call !== undefined && !this.#owner.notify(this.#call)) this.#call = undefined;
  }

  #tellFault(): void {
    if (this.#err !== undefined && !this.#owner.notify(this.#err)) this.#err = undefined;
  }

  /**
   * Takes the ring into service. Without a kick that is right only for a ring that plainly waits for
   * us, because its kick went to a predecessor; a kick is the driver's word that the ring is ready.
   *
   * @returns undefined when it is not, or cannot be: the next kick tries again
   */
  #open(): Virtqueue | undefined {
    const { view } = this.#memory ?? {};
    const config = this.#config;
    if (config === undefined || view === undefined) return undefined;
    try {
      const { placement, nextAvail } = config;
      if (placement === undefined) throw new Error(NO_PLACE);
      const place = queueConfig(config, placement);
      if (!this.#kicked && !isWaiting(view, place, nextAvail)) return undefined;
      const queue = createVirtqueue(view, place, nextAvail);
      queue.onReady = () => this.#owner.schedule(this);
      this.#queue = queue;
      this.#faulty = false;
      return queue;
    } catch (error) {
      if (VirtioQueueError.is(error) && error.code === 'RING_NOT_READY') {
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
      this.#owner.schedule(this);
    });
  }

  #break(reason: Error): void {
    this.#broken = true;
    this.#kick?.close();
    this.#kick = undefined;
    this.#fault(reason);
  }

  #fault(reason: Error): void {
    this.#past.broken++;
    this.#tellFault();
    this.#owner.ringBroken(this.index, reason);
  }
}

const NO_PLACE = 'its addresses are not within one memory region';

function addCounters(sum: RingCounters, queue: Virtqueue): void {
  const { counters } = queue;
  sum.chains += counters.chains;
  sum.malformedChains += counters.malformedChains;
  sum.notifications += counters.notifications;
  sum.suppressedNotifications += counters.suppressedNotifications;
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
