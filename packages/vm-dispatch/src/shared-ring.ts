const HEAD = 0;
const TAIL = 1;
const INDICES = 2;
const DATA_OFFSET = INDICES * Int32Array.BYTES_PER_ELEMENT;
const LENGTH_BYTES = 4;

/** Ours: bytes for records that a ring holds until the other thread takes them. */
export const RING_BYTES = 64 * 1024;

/**
 * Records of bytes from one thread to another, in memory that both share: neither ever waits for the
 * other. One thread pushes, one takes.
 */
export class SharedRing {
  readonly buffer: SharedArrayBuffer;
  // Bytes pushed and taken since the start, modulo 2^32: the capacity is a power of two.
  readonly #indices: Int32Array;
  readonly #data: Uint8Array;
  readonly #length = new DataView(new ArrayBuffer(LENGTH_BYTES));

  /** @param buffer - that of the other end; default: a new one */
  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(DATA_OFFSET + RING_BYTES)) {
    this.buffer = buffer;
    this.#indices = new Int32Array(buffer, 0, INDICES);
    this.#data = new Uint8Array(buffer, DATA_OFFSET);
  }

  get empty(): boolean {
    // The tail is of the thread that asks: it takes.
    return Atomics.load(this.#indices, HEAD) === this.#indices[TAIL];
  }

  /**
   * @returns false when there is no room now
   * @throws {RangeError} when there never is: the record is larger than the ring
   */
  push(record: Uint8Array): boolean {
    const size = LENGTH_BYTES + record.length;
    if (size > this.#data.length) {
      throw new RangeError(`"record" expected at most ${this.#data.length - LENGTH_BYTES} bytes`);
    }
    const head = Atomics.load(this.#indices, HEAD);
    const used = (head - Atomics.load(this.#indices, TAIL)) >>> 0;
    if (used + size > this.#data.length) return false;
    this.#length.setUint32(0, record.length);
    this.#put(head, new Uint8Array(this.#length.buffer));
    this.#put(head + LENGTH_BYTES, record);
    Atomics.store(this.#indices, HEAD, (head + size) | 0);
    return true;
  }

  /** @returns the oldest record, undefined when there is none */
  take(): Uint8Array | undefined {
    const tail = Atomics.load(this.#indices, TAIL);
    if (Atomics.load(this.#indices, HEAD) === tail) return undefined;
    this.#get(tail, new Uint8Array(this.#length.buffer));
    const record = new Uint8Array(this.#length.getUint32(0));
    this.#get(tail + LENGTH_BYTES, record);
    Atomics.store(this.#indices, TAIL, (tail + LENGTH_BYTES + record.length) | 0);
    return record;
  }

  #put(index: number, bytes: Uint8Array): void {
    const at = (index >>> 0) % this.#data.length;
    const first = Math.min(bytes.length, this.#data.length - at);
    this.#data.set(bytes.subarray(0, first), at);
    this.#data.set(bytes.subarray(first), 0);
  }

  #get(index: number, into: Uint8Array): void {
    const at = (index >>> 0) % this.#data.length;
    const first = Math.min(into.length, this.#data.length - at);
    into.set(this.#data.subarray(at, at + first));
    into.set(this.#data.subarray(0, into.length - first), first);
  }
}
