import { VmMemoryError } from './errors.ts';

/**
 * Ours: what one view shows, bytes. V8 takes each for so much memory allocated, and collects garbage
 * accordingly: many small ones and few huge ones are dear, and memory that nobody touches has none.
 */
export const WINDOW_LENGTH: number = 64 * 2 ** 20;
/**
 * Ours: windows begin at multiples of this and overlap, so that so many bytes, wherever they begin, are in
 * one window.
 */
export const MAX_PIECE: number = WINDOW_LENGTH / 2;

/** A part of a run of memory that is shown. */
export interface MemoryWindow {
  /** Where in the run it begins, bytes. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** False for one that was made for one call. */
  readonly kept: boolean;
}

const NOTHING: MemoryWindow = {
  offset: 0,
  length: -1,
  bytes: new Uint8Array(0),
  view: new DataView(new ArrayBuffer(0)),
  kept: true,
};

/**
 * A run of mapped memory, of which windows are shown when they are first looked at, each once. Belongs to
 * one thread; others have their own of the same memory.
 */
export class HostWindows {
  /** Shows nothing. */
  static readonly CLOSED: HostWindows = HostWindows.#closed();
  /** Address in this process of the first byte; exact, since user space is below 2^53. */
  readonly hostAddress: number;
  /** Bytes. */
  readonly length: number;
  readonly #show: (offset: number, length: number) => Uint8Array;
  readonly #highest: number;
  #windows: MemoryWindow[] = [];
  #last = NOTHING;
  /** Windows of which somebody has bytes whom nothing here controls. */
  readonly #exposed = new Set<ArrayBufferLike>();
  /** What was made for one call, and may be in such hands. */
  #loose: WeakRef<ArrayBufferLike>[] = [];
  #lastExposed: MemoryWindow | undefined;
  #live = true;

  /** @param show - makes a view of `[offset, offset + length)` of the run */
  constructor(
    hostAddress: number,
    length: number,
    show: (offset: number, length: number) => Uint8Array,
  ) {
    this.hostAddress = hostAddress;
    this.length = length;
    this.#show = show;
    this.#highest = Math.max(0, Math.ceil((length - WINDOW_LENGTH) / MAX_PIECE));
  }

  static #closed(): HostWindows {
    const windows = new HostWindows(0, 0, () => NOTHING.bytes);
    windows.close();
    return windows;
  }

  /** @throws {VmMemoryError} CLOSED */
  checkLive(): void {
    if (!this.#live) throw closed();
  }

  /**
   * The window that has all of `[offset, offset + length)`, which the caller has checked to be within the
   * run. For those who look and keep nothing; what is handed on is `bytesAt`'s.
   *
   * @param length - bytes; over {@link MAX_PIECE} the window may be made for this call
   * @throws {VmMemoryError} CLOSED
   */
  at(offset: number, length: number): MemoryWindow {
    const last = this.#last;
    if (offset >= last.offset && offset + length <= last.offset + last.length) return last;
    return this.#find(offset, length);
  }

  /**
   * `[offset, offset + length)` as a fresh array, which the caller has checked to be within the run. It may
   * be kept by whom it is given to: `close` tells.
   *
   * @throws {VmMemoryError} CLOSED
   */
  bytesAt(offset: number, length: number): Uint8Array {
    const window = this.at(offset, length);
    if (window !== this.#lastExposed) this.#expose(window);
    const start = offset - window.offset;
    return window.bytes.subarray(start, start + length);
  }

  /**
   * From now on nothing is shown. Idempotent.
   *
   * @returns what was handed on by `bytesAt`, each of which may still be in somebody's hands
   */
  close(): WeakRef<ArrayBufferLike>[] {
    this.#live = false;
    this.#windows = [];
    this.#last = NOTHING;
    const exposed = [...this.#loose, ...Array.from(this.#exposed, (buffer) => new WeakRef(buffer))];
    this.#loose = [];
    this.#exposed.clear();
    this.#lastExposed = undefined;
    return exposed;
  }

  #find(offset: number, length: number): MemoryWindow {
    this.checkLive();
    const index = Math.min(Math.floor(offset / MAX_PIECE), this.#highest);
    const start = index * MAX_PIECE;
    const size = Math.min(WINDOW_LENGTH, this.length - start);
    if (offset + length > start + size) return this.#make(offset, length, false);
    let window = this.#windows[index];
    if (window === undefined) {
      window = this.#make(start, size, true);
      this.#windows[index] = window;
    }
    this.#last = window;
    return window;
  }

  #make(offset: number, length: number, kept: boolean): MemoryWindow {
    const bytes = this.#show(offset, length);
    const view = new DataView(bytes.buffer, bytes.byteOffset, length);
    return { offset, length, bytes, view, kept };
  }

  #expose(window: MemoryWindow): void {
    const { buffer } = window.bytes;
    if (window.kept) {
      this.#exposed.add(buffer);
      this.#lastExposed = window;
    } else {
      this.#loose = [...this.#loose.filter((ref) => ref.deref()), new WeakRef(buffer)];
    }
  }
}

function closed(): VmMemoryError {
  return new VmMemoryError('CLOSED', 'Cannot access guest memory: it is closed');
}
