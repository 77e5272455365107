import {
  hasFeature,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
  VIRTQ_AVAIL_F_NO_INTERRUPT,
  VIRTQ_USED_F_NO_NOTIFY,
} from '@node-vmm/virtio-bindings';
import { type GuestMemory, SegmentTable } from '@node-vmm/vm-memory';
import type { ChainBatch } from '../chain-batch.ts';
import type { DescriptorChain } from '../descriptor-chain.ts';
import { VirtioQueueError } from '../errors.ts';
import type { InflightRegion } from '../inflight-region.ts';
import { Lender } from '../lender.ts';
import type { QueueCounters, Virtqueue } from '../virtqueue.ts';
import type { VirtqueueConfig } from '../virtqueue-config.ts';
import { ChainReader } from './chain-reader.ts';
import { SplitBatch } from './split-batch.ts';
import { CHAIN_COMPLETED, CHAIN_OPEN, SplitChain } from './split-chain.ts';
import { SplitInflight } from './split-inflight.ts';
import { AVAIL_RING_WORD, FLAGS_WORD, IDX_WORD, isSplitPosition, SplitRing } from './split-ring.ts';
import { MALFORMED, NOT_YET, TAKEN, type TakeResult } from './take-result.ts';

/** The device side of a split virtqueue: VIRTIO 1.3 §2.7. */
export class SplitVirtqueue implements Virtqueue {
  readonly size: number;
  readonly counters: QueueCounters = {
    chains: 0,
    malformedChains: 0,
    wrongLengths: 0,
    notifications: 0,
    suppressedNotifications: 0,
  };
  /** Looked at again, see {@link Virtqueue.onReady}. */
  onReady: (() => void) | undefined;
  #memory: GuestMemory;
  #lender: Lender;
  #ring: SplitRing;
  readonly #segments: SegmentTable;
  readonly #batch: SplitBatch;
  readonly #eventIdx: boolean;
  /** Chains that were taken and not returned, for a successor, where one is to know them. */
  readonly #record: SplitInflight | undefined;
  /** Of `#record.unfinished`: how many the device has got again. */
  #resubmitted = 0;
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
  #parked = false;
  #broken: VirtioQueueError | undefined;

  private constructor(
    memory: GuestMemory,
    config: VirtqueueConfig,
    position: number | undefined,
    inflight: InflightRegion | undefined,
  ) {
    const { size, features } = config;
    if (position !== undefined && !isSplitPosition(position)) {
      throw new VirtioQueueError(
        'BAD_STATE',
        `Cannot restore a split queue at position ${position}: expected 16 bits`,
        { size, position },
      );
    }
    this.size = size;
    this.#memory = memory;
    this.#lender = new Lender(memory);
    this.#ring = new SplitRing(memory, config, true);
    this.#nextAvail = position ?? 0;
    // Positions do not carry it: the used ring itself says how far a predecessor had come.
    this.#nextUsed = position === undefined ? 0 : Atomics.load(this.#ring.used, IDX_WORD);
    try {
      if (inflight !== undefined) this.#record = this.#goOn(inflight, position === undefined);
    } catch (error) {
      this.#ring[Symbol.dispose]();
      throw error;
    }
    if (((this.#nextAvail - this.#nextUsed) & 0xffff) > size) {
      this.#ring[Symbol.dispose]();
      throw new VirtioQueueError(
        'BAD_STATE',
        `Cannot restore a queue of ${size} entries: next available ${this.#nextAvail} and next ` +
          `used ${this.#nextUsed} are further apart`,
        { size, position: this.#nextAvail, nextAvail: this.#nextAvail, nextUsed: this.#nextUsed },
      );
    }
    // One chain may be as long as the queue, and its buffers may cross region borders; 1024 is what
    // one readv takes (IOV_MAX), so that small queues with indirect tables still fill a system call.
    this.#segments = new SegmentTable(Math.max(2 * size, 1024));
    this.#batch = new SplitBatch(this, this.#segments);
    this.#eventIdx = hasFeature(features, VIRTIO_RING_F_EVENT_IDX);
    const indirect = hasFeature(features, VIRTIO_RING_F_INDIRECT_DESC);
    this.#reader = new ChainReader(memory, this.#ring.desc, this.#segments, indirect);
    // Of a ring that is as its driver made it nobody has used anything. (So is one after 65,536 requests; who goes on
    // with another's ring has a driver told all the same, as the new call descriptor of a vring does.)
    const fresh = this.#nextAvail === 0 && this.#nextUsed === 0;
    this.#announced = fresh ? 0 : undefined;
    this.enableNotification();
  }

  /**
   * See `createVirtqueue`.
   *
   * @throws {VirtioQueueError} BAD_SIZE, MISALIGNED, RING_NOT_IN_MEMORY, RING_NOT_READY, BAD_STATE,
   * BAD_RECORD
   */
  static create(
    memory: GuestMemory,
    config: VirtqueueConfig,
    position?: number,
    inflight?: InflightRegion,
  ): SplitVirtqueue {
    return new SplitVirtqueue(memory, config, position, inflight);
  }

  get broken(): VirtioQueueError | undefined {
    return this.#broken;
  }

  get memory(): GuestMemory {
    return this.#memory;
  }

  /** For `SplitChain`: where the chains of the current batch were lent. */
  get lender(): Lender {
    return this.#lender;
  }

  get position(): number {
    return this.#nextAvail;
  }

  get parked(): boolean {
    return this.#parked;
  }

  get inflight(): number {
    return this.#inflight;
  }

  popBatch(max: number = this.size): ChainBatch {
    this.#checkSettled('take more chains');
    const batch = this.#batch;
    batch.length = 0;
    this.#segments.truncate(0);
    if (!this.#live || this.#parked || this.#broken !== undefined) return batch;
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
    const record = this.#record;
    if (record !== undefined && !this.#resubmit(record.unfinished, max)) return batch;
    for (; waiting > 0 && batch.length < max && reader.steps > 0; waiting--) {
      const head = avail[AVAIL_RING_WORD + (next & mask)] as number;
      if (head >= size) {
        this.#break('BAD_HEAD', head);
        break;
      }
      const chain = batch.next();
      const result = reader.take(chain, head);
      if (result === TAKEN) {
        if (record !== undefined) record.taken(head);
        batch.length++;
      } else if (!this.#turnDown(chain, result, record)) break;
      next = (next + 1) & 0xffff;
    }
    this.#nextAvail = next;
    this.#count(batch.length);
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
    const { lender } = chain;
    if (lender === undefined) {
      this.#open--;
      this.#memory.giveBack(chain.segments, chain.firstSegment, chain.segmentCount);
    } else {
      lender.takeBack(chain);
    }
    // A device may end a request after its queue was stopped; the ring is no longer ours then.
    if (!this.#live) return;
    this.#use(chain.head, this.#checkedLength(written, chain.writableLength));
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
    this.#publish();
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
    // What is parked is announced by `onReady`.
    if (this.#parked || this.#broken !== undefined) return false;
    if (this.#resubmitted < (this.#record?.unfinished.length ?? 0)) return true;
    return Atomics.load(avail, IDX_WORD) !== this.#nextAvail;
  }

  relocate(memory: GuestMemory, config: VirtqueueConfig, onReleased?: () => void): number {
    this.#checkSettled('move the queue');
    if (!this.#live) return 0;
    const { size } = this;
    const ring = new SplitRing(memory, { ...config, size }, true);
    const indirect = hasFeature(config.features, VIRTIO_RING_F_INDIRECT_DESC);
    this.#leave();
    this.#ring = ring;
    this.#reader = new ChainReader(memory, ring.desc, this.#segments, indirect);
    const former = this.#lender;
    this.#memory = memory;
    this.#lender = new Lender(memory);
    this.#parked = false;
    return former.retire(onReleased);
  }

  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    this.#leave();
    this.completeRest();
  }

  /** For `SplitChain`. */
  chainDetached(): void {
    this.#open--;
    this.#lender.keep();
  }

  /** Whoever goes on with the ring finds in it all that was done here. */
  #leave(): void {
    const { used } = this.#ring;
    this.#publish();
    // A device that stops in the middle of its work must not leave the driver told to be quiet:
    // whoever goes on here is to be notified.
    Atomics.store(used, FLAGS_WORD, 0);
    this.#ring[Symbol.dispose]();
  }

  /** Takes up the record, and with it the place in the ring that it tells. */
  #goOn(inflight: InflightRegion, anew: boolean): SplitInflight {
    const record = new SplitInflight(inflight, this.size, this.#nextUsed, anew);
    if (!record.fresh) {
      this.#nextAvail = (this.#nextUsed + record.unfinished.length) & 0xffff;
    }
    return record;
  }

  /** A chain does not get into the batch. @returns false when it stays in the ring for now */
  #turnDown(chain: SplitChain, result: TakeResult, record: SplitInflight | undefined): boolean {
    this.#reader.undo(chain);
    if (result !== MALFORMED) {
      if (result === NOT_YET) this.#park();
      return false;
    }
    if (record !== undefined) record.taken(chain.head);
    this.counters.malformedChains++;
    this.#use(chain.head, 0);
    return true;
  }

  /**
   * Takes what the predecessor did not return. The record has it already, and keeps its place in it.
   *
   * @returns true when all of it was taken, and there is room for more
   */
  #resubmit(unfinished: Uint16Array, max: number): boolean {
    const batch = this.#batch;
    const reader = this.#reader;
    let going = true;
    while (going && this.#resubmitted < unfinished.length) {
      going = batch.length < max && reader.steps > 0;
      if (!going) break;
      const chain = batch.next();
      const result = reader.take(chain, unfinished[this.#resubmitted] as number);
      if (result === TAKEN) batch.length++;
      else going = this.#turnDown(chain, result, undefined);
      if (going) this.#resubmitted++;
    }
    if (!going) this.#count(batch.length);
    return going;
  }

  #count(taken: number): void {
    this.#open = taken;
    this.#inflight += taken;
    this.counters.chains += taken;
  }

  /** The driver sees what was returned. */
  #publish(): void {
    // Atomics: the elements are visible before the index, and the index before the driver's wish
    // for notifications is looked at.
    Atomics.store(this.#ring.used, IDX_WORD, this.#nextUsed);
    this.#record?.published(this.#nextUsed);
  }

  /** The next chain is in memory that is not mapped yet: it stays in the ring until it is. */
  #park(): void {
    this.#parked = true;
    const lender = this.#lender;
    this.#memory.whenReady(() => {
      // The queue may have moved or stopped meanwhile.
      if (!this.#live || this.#lender !== lender) return;
      this.#parked = false;
      this.onReady?.();
    });
  }

  #checkSettled(action: string): void {
    if (this.#open === 0) return;
    throw new TypeError(
      `Cannot ${action}: ${this.#open} of the last batch are neither completed nor detached`,
    );
  }

  /** A device that is wrong about what it wrote must not make the driver read what is not there. */
  #checkedLength(written: unknown, room: number): number {
    if (Number.isInteger(written) && (written as number) >= 0 && (written as number) <= room) {
      return written as number;
    }
    this.counters.wrongLengths++;
    return typeof written === 'number' && written > 0 ? Math.min(Math.trunc(written), room) : 0;
  }

  #use(head: number, written: number): void {
    const { usedElems } = this.#ring;
    const record = this.#record;
    if (record !== undefined) {
      // Only a device that takes and returns a ring's worth without a flush comes here.
      if (record.full) this.#publish();
      record.returned(head);
    }
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
