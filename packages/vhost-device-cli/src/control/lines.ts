/** Longest request in bytes, without its end of line. */
export const LINE_MAX = 4096;

const NEWLINE = 0x0a;

/** Cuts what comes in at its ends of line. Holds one line, and what came with it. */
export class LineReader {
  #rest: Uint8Array = new Uint8Array(0);

  /** @param chunk - bytes as they came; becomes the reader's */
  push(chunk: Uint8Array): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
  }

  /**
   * The next line without its end.
   *
   * @returns undefined when its end is still to come
   * @throws {RangeError} when it is longer than {@link LINE_MAX}; there is no next one then
   */
  next(): Uint8Array | undefined {
    const end = this.#rest.indexOf(NEWLINE);
    if (end > LINE_MAX || (end < 0 && this.#rest.length > LINE_MAX)) {
      throw new RangeError(`a request has at most ${LINE_MAX} bytes`);
    }
    if (end < 0) return undefined;
    const line = this.#rest.subarray(0, end);
    this.#rest = this.#rest.subarray(end + 1);
    return line;
  }
}
