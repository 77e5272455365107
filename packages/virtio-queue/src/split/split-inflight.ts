import { VirtioQueueError } from '../errors.ts';
import type { InflightRegion } from '../inflight-region.ts';
import {
  DESC_STATE_SPLIT,
  INFLIGHT_VERSION,
  QUEUE_REGION_SPLIT,
  splitInflightSize,
} from './inflight-layout.ts';
import { distance } from './split-indices.ts';

const { OFFSETS: HEAD, SIZE: HEAD_SIZE } = QUEUE_REGION_SPLIT;
const { OFFSETS: ENTRY, SIZE: ENTRY_SIZE } = DESC_STATE_SPLIT;
/** Of the head, in 16-bit words. */
const VERSION = HEAD.version / 2;
const DESC_NUM = HEAD.desc_num / 2;
const LAST_BATCH_HEAD = HEAD.last_batch_head / 2;
const USED_IDX = HEAD.used_idx / 2;
/** Of the first entry, in bytes or words of the field, and from entry to entry. */
const INFLIGHT = HEAD_SIZE + ENTRY.inflight;
const NEXT = (HEAD_SIZE + ENTRY.next) / 2;
const NEXT_STEP = ENTRY_SIZE / 2;
const COUNTER = (HEAD_SIZE + ENTRY.counter) / 4;
const COUNTER_STEP = ENTRY_SIZE / 4;

/**
 * The record of the chains of a split ring that were taken and not returned: `QueueRegionSplit` of
 * QEMU's docs/interop/vhost-user.rst, "Inflight I/O tracking".
 *
 * A process may be killed between any two stores. What is stored, and in which order, leaves a chain
 * either taken or returned, never both and never neither; atomic stores keep that order.
 */
export class SplitInflight {
  /** Heads that a predecessor took and did not return, in the order in which it took them. */
  readonly unfinished: Uint16Array;
  /** True when the region had no record: then the ring is where its position says. */
  readonly fresh: boolean;
  readonly #bytes: Uint8Array;
  readonly #words: Uint16Array;
  readonly #longs: Uint32Array;
  /** Used since the used index was last published; what is in shared memory is not believed. */
  readonly #batch: Uint16Array;
  #batched = 0;
  #counterLow = 0;
  #counterHigh = 0;

  /**
   * Reads the record, mends what its predecessor could not finish writing, and goes on with it.
   *
   * @param size - entries of the ring
   * @param used - the ring's used index
   * @param anew - the driver has just set up the ring: whatever the region holds is of another
   * @throws {VirtioQueueError} BAD_RECORD
   */
  constructor(region: InflightRegion, size: number, used: number, anew: boolean) {
    const found = anew ? undefined : readRecord(region, size, used);
    checkRegion(region, size);
    const { bytes } = region;
    this.#bytes = bytes;
    this.#words = wordsOf(bytes);
    this.#longs = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
    this.#batch = new Uint16Array(size);
    this.fresh = found === undefined;
    this.unfinished = found?.heads ?? new Uint16Array(0);
    if (found === undefined) this.#begin(region.queueSize, used);
    else {
      for (const head of found.returned) bytes[INFLIGHT + head * ENTRY_SIZE] = 0;
      Atomics.store(this.#words, USED_IDX, used);
      const next = found.lastCounter + 1n;
      this.#counterLow = Number(next & 0xffff_ffffn);
      this.#counterHigh = Number((next >> 32n) & 0xffff_ffffn);
    }
  }

  /** True when `returned` has as many heads as it can keep: publish the used index first. */
  get full(): boolean {
    return this.#batched === this.#batch.length;
  }

  /** A chain was taken from the available ring. */
  taken(head: number): void {
    const longs = this.#longs;
    const at = COUNTER + head * COUNTER_STEP;
    longs[at] = this.#counterLow;
    longs[at + 1] = this.#counterHigh;
    this.#counterLow = (this.#counterLow + 1) >>> 0;
    if (this.#counterLow === 0) this.#counterHigh = (this.#counterHigh + 1) >>> 0;
    Atomics.store(this.#bytes, INFLIGHT + head * ENTRY_SIZE, 1);
  }

  /** A chain was written to the used ring, whose index does not tell of it yet. */
  returned(head: number): void {
    const words = this.#words;
    words[NEXT + head * NEXT_STEP] = words[LAST_BATCH_HEAD] as number;
    Atomics.store(words, LAST_BATCH_HEAD, head);
    this.#batch[this.#batched++] = head;
  }

  /** The used ring's index tells of all that was returned. */
  published(used: number): void {
    if (this.#batched === 0) return;
    const bytes = this.#bytes;
    const batch = this.#batch;
    for (let i = 0; i < this.#batched; i++) {
      bytes[INFLIGHT + (batch[i] as number) * ENTRY_SIZE] = 0;
    }
    this.#batched = 0;
    Atomics.store(this.#words, USED_IDX, used);
  }

  #begin(queueSize: number, used: number): void {
    const words = this.#words;
    // Until the version says so there is no record: a half-written one is begun anew.
    Atomics.store(words, VERSION, 0);
    this.#bytes.fill(0, 0, HEAD_SIZE + ENTRY_SIZE * queueSize);
    words[DESC_NUM] = queueSize;
    words[USED_IDX] = used;
    Atomics.store(words, VERSION, INFLIGHT_VERSION);
  }
}

/** What a region's record says, read once. */
export interface InflightRecord {
  /** Heads that were taken and not returned, in the order in which they were taken. */
  readonly heads: Uint16Array;
  /** Heads that were returned, of which the record does not say so yet. */
  readonly returned: readonly number[];
  /** The largest counter of those in `heads`, -1 when there are none. */
  readonly lastCounter: bigint;
}

/**
 * Reads a record without changing it.
 *
 * @param size - entries of the ring
 * @param used - the ring's used index
 * @returns undefined when nobody has written to the region, or not for this ring
 * @throws {VirtioQueueError} BAD_RECORD when it cannot be that of the ring
 */
export function readRecord(
  region: InflightRegion,
  size: number,
  used: number,
): InflightRecord | undefined {
  checkRegion(region, size);
  const words = wordsOf(region.bytes);
  const version = words[VERSION] as number;
  if (version === 0) return undefined;
  const descNum = words[DESC_NUM] as number;
  if (version !== INFLIGHT_VERSION) throw bad(size, `its version is ${version}, not 1`);
  // Features would change what the fields mean.
  if (words.subarray(0, VERSION).some((word) => word !== 0)) throw bad(size, 'it has features');
  if (descNum !== region.queueSize) {
    throw bad(size, `it was made for ${descNum} entries, not ${region.queueSize}`);
  }
  // Further apart than one batch takes it: the record is of another ring, which was here before.
  if (distance(words[USED_IDX] as number, used) > size) return undefined;
  const returned = lastBatch(words, size, used);
  const taken = takenChains(region.bytes, size, new Set(returned));
  return {
    heads: Uint16Array.from(taken, ({ head }) => head),
    returned,
    lastCounter: taken.at(-1)?.counter ?? -1n,
  };
}

/** Heads in the used ring of which the record does not know that the used index was published. */
function lastBatch(words: Uint16Array, size: number, used: number): number[] {
  const count = distance(words[USED_IDX] as number, used);
  const heads: number[] = [];
  let head = words[LAST_BATCH_HEAD] as number;
  // The list goes on into earlier batches, and may be a loop: the count ends it.
  for (let i = 0; i < count; i++) {
    if (head >= size) throw bad(size, `its list of returned chains names descriptor ${head}`);
    heads.push(head);
    head = words[NEXT + head * NEXT_STEP] as number;
  }
  return heads;
}

interface TakenChain {
  readonly head: number;
  readonly counter: bigint;
}

function takenChains(bytes: Uint8Array, size: number, returned: ReadonlySet<number>): TakenChain[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const taken: TakenChain[] = [];
  for (let head = 0; head < size; head++) {
    const at = HEAD_SIZE + head * ENTRY_SIZE;
    if (bytes[at + ENTRY.inflight] !== 1 || returned.has(head)) continue;
    taken.push({ head, counter: view.getBigUint64(at + ENTRY.counter, true) });
  }
  return taken.sort((a, b) => (a.counter < b.counter ? -1 : a.counter > b.counter ? 1 : 0));
}

function wordsOf(bytes: Uint8Array): Uint16Array {
  return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length >> 1);
}

/** @throws {VirtioQueueError} BAD_RECORD when a ring of that size does not fit */
function checkRegion({ bytes, queueSize }: InflightRegion, size: number): void {
  if (bytes.byteOffset % 8 !== 0 || bytes.length < splitInflightSize(queueSize)) {
    throw new RangeError(
      `Cannot keep a record of ${queueSize} entries in ${bytes.length} bytes at ${bytes.byteOffset}: ` +
        `expected ${splitInflightSize(queueSize)} at a multiple of 8`,
    );
  }
  if (size > queueSize) throw bad(size, `it has room for ${queueSize} entries`);
}

function bad(size: number, why: string): VirtioQueueError {
  return new VirtioQueueError(
    'BAD_RECORD',
    `Cannot go on with a queue of ${size} by its record of chains in flight: ${why}`,
    { size },
  );
}
