import { type ChainBatch, type DescriptorChain, SplitVirtqueue } from '@node-vmm/virtio-queue';
import type { GuestAddress } from '@node-vmm/vm-memory';
import { asFd, EventFd, type Watch } from '@node-vmm/vmm-sys-util';
import type { DeviceQueue } from './device.ts';
import type { LentMemory } from './lent-memory.ts';
import type { RingConfig, RingCounters, RingPlacement } from './worker-protocol.ts';

/**
 * Most chains that a device gets at once, and most batches that a ring is served before the other
 * rings of the worker have their turn: a busy driver must not starve them, whatever it offers.
 */
const BATCH_CHAINS = 256;
const TURN_BATCHES = 4;

/** What a ring needs of the device that it belongs to. */
export interface VringOwner {
  /** Device code that serves a batch; must not throw. */
  process(queue: DeviceQueue, batch: ChainBatch): void;
  /** Watches a kick eventfd. */
  watchKick(fd: number, callback: () => void): Watch;
  /** Puts the ring on the list of those to be served in this turn. */
  schedule(ring: Vring): void;
  /** A chain was returned while an older memory is still on loan. */
  chainReturned(chain: DescriptorChain): void;
  /** True while an older memory is still on loan. */
  readonly retiring: boolean;
  ringBroken(ring: number, reason: Error): void;
  /** The device neither completed nor detached chains of a batch; they were returned unused. */
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
  #queue: SplitVirtqueue | undefined;
  #config: RingConfig | undefined;
  #enabled = false;
  #broken = false;
  #kick: Watch | undefined;
  #call: EventFd | undefined;
  #err: EventFd | undefined;

  constructor(index: number, owner: VringOwner) {
    this.index = index;
    this.#owner = owner;
  }

  get started(): boolean {
    return this.#queue !== undefined;
  }

  /** Chains that the device holds. */
  get held(): number {
    return this.#queue?.inflight ?? 0;
  }

  /**
   * @throws {VirtioQueueError} when the ring cannot be where the front-end put it
   * @throws {SysError} when the kick descriptor cannot be watched
   */
  start(config: RingConfig, memory: LentMemory): void {
    this.stop();
    this.#broken = false;
    const { view } = memory;
    const queue = SplitVirtqueue.create(view, queueConfig(config), {
      nextAvail: config.nextAvail,
      // The used ring itself says how far the device has come: vhost-user does not carry it.
      nextUsed: SplitVirtqueue.usedIndex(view, config.usedRing as GuestAddress),
    });
    try {
      this.setKick(config.kickFd);
    } catch (error) {
      queue[Symbol.dispose]();
      throw error;
    }
    this.#queue = queue;
    this.#config = config;
    this.setCall(config.callFd);
    this.setErr(config.errFd);
    this.setEnabled(config.enabled);
  }

  /** @returns where to go on, undefined when the ring did not run */
  stop(): number | undefined {
    const queue = this.#queue;
    if (queue === undefined) return undefined;
    const { nextAvail } = queue.saveState();
    this.#keepCounters(queue);
    this.#kick?.close();
    queue[Symbol.dispose]();
    this.#queue = undefined;
    this.#config = undefined;
    this.#kick = undefined;
    this.#call = undefined;
    this.#err = undefined;
    this.#enabled = false;
    return nextAvail;
  }

  /**
   * Goes on in other memory, perhaps at another place, with the chains that the device holds.
   *
   * @throws {VirtioQueueError} when the ring cannot be there; it is as it was then
   */
  move(placement: RingPlacement, memory: LentMemory): void {
    if (this.#queue === undefined || this.#config === undefined) return;
    const config = { ...this.#config, ...placement };
    this.#queue.relocate(memory.view, queueConfig(config));
    this.#config = config;
    if (this.#enabled) this.#owner.schedule(this);
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
    this.#call?.signal();
  }

  setErr(fd: number | undefined): void {
    this.#err = fd === undefined ? undefined : EventFd.fromFd(asFd(fd));
    if (this.#broken) this.#err?.signal();
  }

  /** What was counted since the device was made. */
  counters(): RingCounters {
    const now = { ...this.#past };
    if (this.#queue !== undefined) addCounters(now, this.#queue);
    return now;
  }

  readonly #onKick = (): void => {
    this.#owner.schedule(this);
  };

  /**
   * Hands what the driver made available to the device.
   *
   * @returns true when there is more, which no kick will announce
   */
  serve(): boolean {
    const queue = this.#queue;
    if (queue === undefined || !this.#enabled || this.#broken) return false;
    this.#past.wakeups++;
    queue.disableNotification();
    for (let i = 0; i < TURN_BATCHES; i++) {
      const batch = queue.popBatch(BATCH_CHAINS);
      if (batch.length > 0) {
        this.#owner.process(this, batch);
        // The device may have failed, which stops its rings.
        if (this.#queue !== queue) return false;
        if (queue.completeRest() > 0) this.#owner.chainsForgotten(this.index);
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
    const queue = this.#queue;
    if (queue === undefined) return;
    queue.complete(chain, written);
    if (this.#owner.retiring) this.#owner.chainReturned(chain);
  }

  flush(): void {
    if (this.#queue?.flush() === true) this.#call?.signal();
  }

  #break(reason: Error): void {
    this.#broken = true;
    this.#past.broken++;
    this.#kick?.close();
    this.#kick = undefined;
    this.#err?.signal();
    this.#owner.ringBroken(this.index, reason);
  }

  #keepCounters(queue: SplitVirtqueue): void {
    addCounters(this.#past, queue);
  }
}

function addCounters(sum: RingCounters, queue: SplitVirtqueue): void {
  const { counters } = queue;
  sum.chains += counters.chains;
  sum.malformedChains += counters.malformedChains;
  sum.notifications += counters.notifications;
  sum.suppressedNotifications += counters.suppressedNotifications;
}

function queueConfig(config: RingConfig): {
  size: number;
  features: bigint;
  descTable: GuestAddress;
  availRing: GuestAddress;
  usedRing: GuestAddress;
} {
  return {
    size: config.size,
    features: config.features,
    descTable: config.descTable as GuestAddress,
    availRing: config.availRing as GuestAddress,
    usedRing: config.usedRing as GuestAddress,
  };
}
