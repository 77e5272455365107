import type { ForeignChunk } from './foreign-chunk.ts';

/** How long is waited for those who have ended chunks on loan, milliseconds. */
const ENDING_MS = 1_000;

interface Ending {
  readonly gone: Promise<void>;
  settle(): void;
  /** Somebody has waited for it long enough. */
  late: boolean;
}

/** Chunks of a domain's memory that are not to be had any more, until they are unmapped. */
export class EndingChunks {
  readonly #ending = new Map<ForeignChunk, Ending>();

  /** Which they are. */
  get all(): ForeignChunk[] {
    return [...this.#ending.keys()];
  }

  add(chunk: ForeignChunk): void {
    let settle = (): void => undefined;
    const gone = new Promise<void>((resolve) => {
      settle = resolve;
    });
    this.#ending.set(chunk, { gone, settle, late: false });
  }

  /** It is unmapped, if it was one of them. */
  gone(chunk: ForeignChunk): void {
    this.#ending.get(chunk)?.settle();
    this.#ending.delete(chunk);
  }

  /**
   * Waits for what ends, but once only for what stays on loan, as a request that a device keeps for a guest.
   *
   * @returns after a second at most
   */
  async settled(): Promise<void> {
    const waited = [...this.#ending.values()].filter(({ late }) => !late);
    if (waited.length === 0) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        for (const ending of waited) ending.late = true;
        resolve();
      }, ENDING_MS);
    });
    await Promise.race([Promise.all(waited.map(({ gone }) => gone)), late]);
    clearTimeout(timer);
  }
}
