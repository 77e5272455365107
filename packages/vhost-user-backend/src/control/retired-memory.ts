/** Memory that was mapped for a front-end. */
export interface OwnedMemory {
  /** Lets go of what is mapped; the addresses stay. @throws {SysError} when it cannot; then all stays */
  vacate(): void;
  /** Gives up the addresses: nobody looks there any more. */
  close(): void;
}

/**
 * Which of these memories worker threads may still look at.
 *
 * @param collect - what nobody has any more is to be found at once, which takes them a while
 */
export type AskViewed = (
  memories: readonly number[],
  collect: boolean,
) => Promise<ReadonlySet<number>>;

/** How long until workers are asked again what they look at, milliseconds: doubled each time. */
const FIRST_PAUSE_MS = 500;
const MAX_PAUSE_MS = 30_000;
/** How often at most they are to look for what nobody has any more, milliseconds. */
const COLLECT_PAUSE_MS = 1_000;
const COLLECT_TIMEOUT_MS = 1_000;

/**
 * Memory that front-ends have taken back. What was mapped is gone at once, and empty memory is in its place,
 * because device code may have kept a view, which no one can take away from it. The addresses become
 * somebody else's only when every worker has said that it has no view of them.
 */
export class RetiredMemory {
  readonly #ask: AskViewed;
  readonly #waiting = new Map<number, () => void>();
  #asking: Promise<void> | undefined;
  #collected = Number.NEGATIVE_INFINITY;
  #pause = FIRST_PAUSE_MS;
  #timer: NodeJS.Timeout | undefined;

  constructor(ask: AskViewed) {
    this.#ask = ask;
  }

  /** Memories whose addresses are not free yet. */
  get count(): number {
    return this.#waiting.size;
  }

  /**
   * @param memory - its number; see `LentMapping`
   * @param onGone - its addresses are free
   */
  add(memory: number, owned: OwnedMemory, onGone: () => void): void {
    try {
      owned.vacate();
    } catch {
      // No more mappings can be had, or it has no way to: it stays as it is until nobody looks.
    }
    this.#waiting.set(memory, () => {
      owned.close();
      onGone();
    });
    this.#pause = FIRST_PAUSE_MS;
    void this.#look(false);
  }

  /** Frees what can be freed, for somebody who needs it; does not wait long for a thread that hangs. */
  async collect(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, COLLECT_TIMEOUT_MS);
    });
    await Promise.race([this.#collect(), late]);
    clearTimeout(timer);
  }

  /** Frees everything: there are no workers any more. */
  close(): void {
    clearTimeout(this.#timer);
    for (const free of this.#waiting.values()) free();
    this.#waiting.clear();
  }

  async #collect(): Promise<void> {
    // What is being asked was asked before.
    await this.#asking;
    const now = performance.now();
    const collect = now - this.#collected >= COLLECT_PAUSE_MS;
    if (collect) this.#collected = now;
    await this.#look(collect);
  }

  #look(collect: boolean): Promise<void> {
    this.#asking ??= this.#askOnce(collect).finally(() => {
      this.#asking = undefined;
      this.#wait();
    });
    return this.#asking;
  }

  async #askOnce(collect: boolean): Promise<void> {
    // In the next turn: a table that is exchanged retires many.
    await Promise.resolve();
    const memories = [...this.#waiting.keys()];
    const viewed = await this.#ask(memories, collect);
    for (const memory of memories) {
      if (viewed.has(memory)) continue;
      const free = this.#waiting.get(memory);
      this.#waiting.delete(memory);
      free?.();
    }
  }

  #wait(): void {
    clearTimeout(this.#timer);
    if (this.#waiting.size === 0) return;
    this.#timer = setTimeout(() => void this.#look(false), this.#pause).unref();
    this.#pause = Math.min(2 * this.#pause, MAX_PAUSE_MS);
  }
}
