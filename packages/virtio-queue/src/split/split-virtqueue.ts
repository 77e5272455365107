import {
  hasFeature,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_USED_F_NO_NOTIFY,
  VRING_AVAIL,
  VRING_USED,
} from '@node-vmm/virtio-bindings';
import { type GuestAddress, type GuestMemory, SegmentTable } from '@node-vmm/vm-memory';
import type { ChainBatch } from './chain-batch.ts';
import { ChainReader, NO_ROOM, TAKEN } from './chain-reader.ts';
import type { DescriptorChain } from './descriptor-chain.ts';
import { VirtioQueueError } from './errors.ts';
import type { QueueState } from './queue-state.ts';
import { SplitBatch } from './split-batch.ts';
import { CHAIN_COMPLETED, CHAIN_OPEN, SplitChain } from './split-chain.ts';
import {
  AVAIL_RING_WORD,
  FLAGS_WORD,
  IDX_WORD,
  type SplitQueueConfig,
  SplitRing,
} from './split-ring.ts';
import type { QueueCounters, Virtqueue } from './virtqueue.ts';

/** The device side of a split virtqueue: VIRTIO 1.3 §2.7. */
export class SplitVirtqueue implements Virtqueue {
  readonly size: number;
  readonly counters: QueueCounters = {
    chains: 0,
    malformedChains: 0,
    notifications: 0,
    suppressedNotifications: 0,
  };
  #memory: GuestMemory;
  #ring: SplitRing;
  readonly #segments: SegmentTable;
  readonly #batch: SplitBatch;
  readonly #eventIdx: boolean;
  #reader: ChainReader;
  #nextAvail: number;
  #nextUsed: number;
  // `used.idx` when the last `flush` decided on a notification; undefined before the first one of a
  // restored queue, which cannot know what its predecessor announced.
  #announced: number | undefined;
  // Chains of the last batch that the device still owes.
  #open = 0;
  #inflight = 0;
  #live = true;
  #broken: VirtioQueueError | undefined;

  private constructor(
    memory: GuestMemory,
    config: SplitQueueConfig,
    state: QueueState | undefined,
  ) {
    const { size, features } = config;
    const { nextAvail, nextUsed } = state ?? { nextAvail: 0, nextUsed: 0 };
    if (((nextAvail - nextUsed) & 0xffff) > size) {
      throw new VirtioQueueError(
        'BAD_STATE',
        `Cannot restore a queue of ${size} entries: next available ${nextAvail} and next used ` +
          `${nextUsed} are further apart`,
        { size, nextAvail, nextUsed },
      );
    }
    this.size = size;
    this.#memory = memory;
    this.#ring = new SplitRing(memory, config, true);
    // One chain may be as long as the queue, and its buffers may cross region borders; 1024 is what
    // one readv takes (IOV_MAX), so that small queues with indirect tables still fill a system call.
    this.#segments = new SegmentTable(Math.max(2 * size, 1024));
    this.#batch = new SplitBatch(this, this.#segments);
    this.#eventIdx = hasFeature(features, VIRTIO_RING_F_EVENT_IDX);
    const indirect = hasFeature(features, VIRTIO_RING_F_INDIRECT_DESC);
    this.#reader = new ChainReader(memory, this.#ring.desc, this.#segments, indirect);
    this.#nextAvail = nextAvail & 0xffff;
    this.#nextUsed = nextUsed & 0xffff;
    this.#announced = state === undefined ? 0 : undefined;
    this.enableNotification();
  }

  /**
   * Takes over the device side of a queue and asks the driver for notifications. Chains that are
   * available already are announced by nobody: look once.
   *
   * @param memory - stays the caller's, and stays mapped until the queue is disposed of
   * @param state - where a predecessor stopped, default the start of a fresh ring
   * @throws {VirtioQueueError} BAD_SIZE, MISALIGNED, RING_NOT_IN_MEMORY, BAD_STATE
   */
  static create(memory: GuestMemory, config: SplitQueueConfig, state?: QueueState): SplitVirtqueue {
    return new SplitVirtqueue(memory, config, state);
  }

  /**
   * `used.idx` as it stands in guest memory: where a device that died without saving its state had
   * got to. Resuming with it as `nextAvail` and `nextUsed` serves again what was in flight, which is
   * right for devices that complete in order.
   *
   * @throws {VmMemoryError} OUT_OF_RANGE
   */
  static usedIndex(memory: GuestMemory, usedRing: GuestAddress): number {
    return memory.readU16((usedRing + BigInt(VRING_USED.OFFSETS.idx)) as GuestAddress);
  }

  /**
   * `avail.idx` as it stands in guest memory: how far the driver has come.
   *
   * @throws {VmMemoryError} OUT_OF_RANGE
   */
  static availIndex(memory: GuestMemory, availRing: GuestAddress): number {
    return memory.readU16((availRing + BigInt(VRING_AVAIL.OFFSETS.idx)) as GuestAddress);
  }

  get broken(): VirtioQueueError | undefined {
    return this.#broken;
  }

  /** Guest memory that the ring and the chains of the next batch are in. */
  get memory(): GuestMemory {
    return this.#memory;
  }

  get inflight(): number {
    return this.#inflight;
  }

  popBatch(max: number = this.size): ChainBatch {
    this.#checkSettled('take more chains');
    const batch = this.#batch;
    batch.length = 0;
    this.#segments.truncate(0);
    if (!this.#live || this.#broken !== undefined) return batch;
    const { avail } = this.#ring;
    const { size } = this;
    // Atomics order this load before those of the ring and the descriptors.
    const index = Atomics.load(avail, IDX_WORD);
    let next = this.#nextAvail;
    let waiting = (index - next) & 0xffff;
    // A driver has at most `size` chains out, counted from what was used; also bounds what detached
    // chains can pile up here.
    if (waiting > size || ((index - this.#nextUsed) & 0xffff) > size) {
      this.#break('BAD_AVAIL_INDEX', index);
      return batch;
    }
    const mask = size - 1;
    // Walking is bounded per call: a hostile driver can offer `size` chains of `size` empty
    // descriptors each, and other queues share the thread.
    const reader = this.#reader;
    reader.steps = 2 * this.#segments.capacity;
    for (; waiting > 0 && batch.length < max && reader.steps > 0; waiting--) {
      const head = avail[AVAIL_RING_WORD + (next & mask)] as number;
      if (head >= size) {
        this.#break('BAD_HEAD', head);
        break;
      }
      const chain = batch.next();
      const result = reader.take(chain, head);
      if (result === TAKEN) {
        batch.length++;
      } else {
        reader.undo(chain);
        if (result === NO_ROOM) break;
        this.counters.malformedChains++;
        this.#use(head, 0);
      }
      next = (next + 1) & 0xffff;
    }
    this.#nextAvail = next;
    const { length } = batch;
    this.#open = length;
    this.#inflight += length;
    this.counters.chains += length;
    return batch;
  }

  complete(chain: DescriptorChain, written: number): void {
    if (!(chain instanceof SplitChain) || chain.owner !== this) {
      throw new TypeError('Cannot complete a descriptor chain: it belongs to another queue');
    }
    if (chain.state !== CHAIN_OPEN) {
      throw new TypeError(
        'Cannot complete a descriptor chain: it is completed or detached already',
      );
    }
    chain.state = CHAIN_COMPLETED;
    this.#inflight--;
    if (chain.segments === this.#segments) this.#open--;
    (chain.lender ?? this.#memory).giveBack(chain.segments, chain.firstSegment, chain.segmentCount);
    // A device may end a request after its queue was stopped; the ring is no longer ours then.
    if (!this.#live) return;
    const { writableLength } = chain;
    this.#use(chain.head, written > 0 ? Math.min(written, writableLength) : 0);
  }

  completeRest(): number {
    const batch = this.#batch;
    let count = 0;
    for (let i = 0; this.#open > 0 && i < batch.length; i++) {
      const chain = batch.at(i);
      if (chain.state !== CHAIN_OPEN) continue;
      this.complete(chain, 0);
      count++;
    }
    return count;
  }

  flush(): boolean {
    const used = this.#nextUsed;
    const announced = this.#announced;
    if (used === announced || !this.#live) return false;
    const ring = this.#ring;
    // Atomics: the elements are visible before the index, and the index before the driver's wish
    // for notifications is looked at.
    Atomics.store(ring.used, IDX_WORD, used);
    this.#announced = used;
    let wanted: boolean;
    if (!this.#eventIdx) {
      wanted = (Atomics.load(ring.avail, FLAGS_WORD) & VIRTQ_AVAIL_F_NO_INTERRUPT) === 0;
    } else if (announced === undefined) {
      wanted = true;
    } else {
      const event = Atomics.load(ring.avail, ring.usedEventWord);
      wanted = ((used - event - 1) & 0xffff) < ((used - announced) & 0xffff);
    }
    if (wanted) this.counters.notifications++;
    else this.counters.suppressedNotifications++;
    return wanted;
  }

  disableNotification(): void {
    // With event indices there is nothing to do: the driver notifies once per `avail_event`.
    if (!this.#live || this.#eventIdx) return;
    Atomics.store(this.#ring.used, FLAGS_WORD, VIRTQ_USED_F_NO_NOTIFY);
  }

  enableNotification(): boolean {
    if (!this.#live) return false;
    const { used, avail, availEventWord } = this.#ring;
    if (this.#eventIdx) Atomics.store(used, availEventWord, this.#nextAvail);
    else Atomics.store(used, FLAGS_WORD, 0);
    return this.#broken === undefined && Atomics.load(avail, IDX_WORD) !== this.#nextAvail;
  }

  saveState(): QueueState {
    if (this.#live) {
      const { used } = this.#ring;
      Atomics.store(used, IDX_WORD, this.#nextUsed);
      // A device that stops in the middle of its work must not leave the driver told to be quiet:
      // whoever goes on here is to be notified.
      Atomics.store(used, FLAGS_WORD, 0);
    }
    return { nextAvail: this.#nextAvail, nextUsed: this.#nextUsed };
  }

  /**
   * Goes on in other memory: the front-end has exchanged its memory table, or moved the ring within
   * it. Detached chains stay in the old memory, which the caller keeps mapped until they are
   * completed. Look once afterwards.
   *
   * @param config - of the same size and features
   * @throws {VirtioQueueError} MISALIGNED, RING_NOT_IN_MEMORY; the queue is where it was then
   * @throws {TypeError} when chains of the last batch are neither completed nor detached
   */
  relocate(memory: GuestMemory, config: SplitQueueConfig): void {
    this.#checkSettled('move the queue');
    if (!this.#live) return;
    const { size } = this;
    const ring = new SplitRing(memory, { ...config, size }, true);
    const indirect = hasFeature(config.features, VIRTIO_RING_F_INDIRECT_DESC);
    this.saveState();
    this.#ring[Symbol.dispose]();
    this.#memory = memory;
    this.#ring = ring;
    this.#reader = new ChainReader(memory, ring.desc, this.#segments, indirect);
  }

  [Symbol.dispose](): void {
    if (!this.#live) return;
    // A device that failed with its ring in hand owes the driver the same as one that stops.
    Atomics.store(this.#ring.used, FLAGS_WORD, 0);
    this.#live = false;
    this.completeRest();
    this.#ring[Symbol.dispose]();
  }

  /** For `SplitChain`: a chain has a copy that is completed in its place. */
  chainDetached(chain: SplitChain): void {
    if (chain.segments === this.#segments) this.#open--;
  }

  #checkSettled(action: string): void {
    if (this.#open === 0) return;
    throw new TypeError(
      `Cannot ${action}: ${this.#open} of the last batch are neither completed nor detached`,
    );
  }

  #use(head: number, written: number): void {
    const { usedElems } = this.#ring;
    const used = this.#nextUsed;
    const word = 1 + 2 * (used & (this.size - 1));
    usedElems[word] = head;
    usedElems[word + 1] = written;
    this.#nextUsed = (used + 1) & 0xffff;
  }

  #break(code: 'BAD_AVAIL_INDEX' | 'BAD_HEAD', index: number): void {
    const { size } = this;
    const nextAvail = this.#nextAvail;
    const nextUsed = this.#nextUsed;
    const what =
      code === 'BAD_HEAD'
        ? `available entry names descriptor ${index}`
        : `available index ${index} is out of reach of ${nextAvail} (used ${nextUsed})`;
    this.#broken = new VirtioQueueError(code, `Cannot go on with a queue of ${size}: ${what}`, {
      size,
      index,
      nextAvail,
      nextUsed,
    });
  }
}
