/** Something to be mapped for a domain. */
interface Turn {
  /** Whether anybody still wants it. */
  wanted(): boolean;
  run(): Promise<void>;
  /** It is not done. */
  skip(): void;
}

/**
 * Maps for one domain after the other, one thing at a time: who needs a chunk waits for one of each other
 * domain's, however much those want. What nobody wants any more is not done, and has no turn.
 */
export class ForeignTurns {
  readonly #queues = new Map<number, Turn[]>();
  #running = false;

  /**
   * @param wanted - asked when it is the job's turn, and by {@link sweep}
   * @returns what `job` does; undefined when it was not wanted any more
   * @throws what `job` throws
   */
  run<T>(
    domid: number,
    job: () => Promise<T>,
    wanted: () => boolean = () => true,
  ): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      const queue = this.#queues.get(domid) ?? [];
      queue.push({
        wanted,
        run: () => job().then(resolve, reject),
        skip: () => resolve(undefined),
      });
      this.#queues.set(domid, queue);
      if (!this.#running) void this.#run();
    });
  }

  /** Drops what is not wanted any more, without a turn: who gives up waits for no other domain. */
  sweep(domid: number): void {
    const queue = this.#queues.get(domid) ?? [];
    const left = queue.filter((turn) => {
      const stays = turn.wanted();
      if (!stays) turn.skip();
      return stays;
    });
    if (left.length > 0) this.#queues.set(domid, left);
    else this.#queues.delete(domid);
  }

  async #run(): Promise<void> {
    this.#running = true;
    for (let first = this.#first(); first !== undefined; first = this.#first()) await first.run();
    this.#running = false;
  }

  /** What is next, of the domain that has waited longest. */
  #first(): Turn | undefined {
    for (const [domid, queue] of this.#queues) {
      let turn = queue.shift();
      for (; turn?.wanted() === false; turn = queue.shift()) turn.skip();
      // It comes last now.
      this.#queues.delete(domid);
      if (queue.length > 0) this.#queues.set(domid, queue);
      if (turn !== undefined) return turn;
    }
    return undefined;
  }
}
