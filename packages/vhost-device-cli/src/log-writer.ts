import type { Output } from './output.ts';
import { pause } from './pause.ts';

/** How long lines wait in memory for a reader, in bytes of text. */
const DEFAULT_MAX_BYTES = 1024 * 1024;
/** How often a reader that takes nothing is tried again, milliseconds. */
const RETRY_MS = 100;
/** The same after an error: a full disk, a reader that is gone. */
const RETRY_AFTER_ERROR_MS = 1000;
/** Between two tries while the process waits to end. */
const FLUSH_STEP_MS = 10;

export interface LogWriterOptions {
  /** Most bytes that wait; default 1 MiB. */
  readonly maxBytes?: number;
  /** Called when everything that waited is written, with how many lines were dropped since. */
  readonly onDropped?: (lines: number) => void;
}

/**
 * Writes log lines, and never waits, throws or grows over its bound, whatever happens to the other end.
 * Lines that cannot be written now are kept in order and tried again; when too many wait, what comes
 * next is dropped and counted until all of them are written.
 */
export class LogWriter {
  readonly #output: Output;
  readonly #maxBytes: number;
  readonly #onDropped: (lines: number) => void;
  #waiting: Uint8Array[] = [];
  #bytes = 0;
  #dropped = 0;
  #failing = false;
  #timer: NodeJS.Timeout | undefined;

  /** @param output - becomes the writer's */
  constructor(output: Output, options: LogWriterOptions = {}) {
    this.#output = output;
    this.#maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES;
    this.#onDropped = options.onDropped ?? (() => undefined);
  }

  /** Bytes that wait to be written. */
  get waiting(): number {
    return this.#bytes;
  }

  /** @param line - with its end of line */
  write(line: string): void {
    const data = Buffer.from(line);
    if (this.#waiting.length === 0) {
      this.#keep(data);
      this.#drain();
    } else if (this.#dropped > 0 || this.#bytes + data.length > this.#maxBytes) {
      this.#dropped++;
    } else {
      this.#keep(data);
    }
  }

  /**
   * Waits until everything is written, this thread doing nothing else.
   *
   * @param deadline - milliseconds, after which the rest is given up for now
   */
  flush(deadline: number): void {
    const end = performance.now() + deadline;
    for (;;) {
      this.#drain();
      if (this.#bytes === 0 || this.#failing || performance.now() >= end) return;
      pause(FLUSH_STEP_MS);
    }
  }

  /** What waits is lost. Idempotent. */
  close(): void {
    clearTimeout(this.#timer);
    this.#waiting = [];
    this.#bytes = 0;
    this.#output.close();
  }

  #keep(data: Uint8Array): void {
    this.#waiting.push(data);
    this.#bytes += data.length;
  }

  #drain(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const done = this.#writeWaiting();
    this.#waiting.splice(0, done);
    if (this.#waiting.length > 0) {
      const delay = this.#failing ? RETRY_AFTER_ERROR_MS : RETRY_MS;
      this.#timer = setTimeout(() => this.#drain(), delay);
      this.#timer.unref();
      return;
    }
    const dropped = this.#dropped;
    this.#dropped = 0;
    if (dropped > 0) this.#onDropped(dropped);
  }

  /** @returns how many of the lines that wait are written to their end */
  #writeWaiting(): number {
    for (const [index, line] of this.#waiting.entries()) {
      const taken = this.#tryWrite(line);
      this.#bytes -= taken;
      if (taken === line.length) continue;
      // Its rest comes first next time: a reader never sees half a line with another one in it.
      this.#waiting[index] = line.subarray(taken);
      return index;
    }
    return this.#waiting.length;
  }

  #tryWrite(line: Uint8Array): number {
    let taken = 0;
    try {
      while (taken < line.length) {
        const count = this.#output.write(line.subarray(taken));
        if (count === 0) break;
        taken += count;
      }
      this.#failing = false;
    } catch {
      // There is nobody to tell: this is where we would.
      this.#failing = true;
    }
    return taken;
  }
}
