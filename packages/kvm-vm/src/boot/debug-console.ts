import type { BusHandler } from '@node-vmm/vm-device';

/** Ours: bytes of a line at most; a guest that writes more begins another. */
const LINE_MAX = 1024;

/**
 * The debug console of a guest: a port to which it writes characters. Lines are handed on whole, and are
 * bounded; what reads from it gets 0xe9, by which programs know that it is there (as QEMU's isa-debugcon).
 */
export class DebugConsole implements BusHandler {
  readonly #line = new Uint8Array(LINE_MAX);
  readonly #onLine: (line: string) => void;
  #length = 0;

  /** @param onLine - a line without its end, with nothing in it that controls a terminal; must not throw */
  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  read(): bigint {
    return 0xe9n;
  }

  write(_offset: number, size: number, value: bigint): undefined {
    for (let i = 0; i < size; i++) this.#put(Number((value >> BigInt(8 * i)) & 0xffn));
  }

  #put(byte: number): void {
    if (byte === 0x0a) {
      this.flush(true);
      return;
    }
    this.#line[this.#length++] = byte;
    if (this.#length === LINE_MAX) this.flush();
  }

  /** Hands on what is there of a line. @param empty - also one of no characters */
  flush(empty = false): void {
    if (this.#length === 0 && !empty) return;
    const bytes = this.#line.subarray(0, this.#length);
    this.#length = 0;
    const text = Buffer.from(bytes).toString('latin1');
    // A guest must not write to the terminal of whoever looks at it what that takes for a command.
    this.#onLine(text.replace(/\r$/, '').replace(/[^\t\x20-\x7e]/g, '?'));
  }
}
