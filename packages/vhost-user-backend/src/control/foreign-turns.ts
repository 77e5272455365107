/**
 * Maps for one domain after the other, one thing at a time: who needs a chunk waits for one of each other
 * domain's, however much those want.
 */
export class ForeignTurns {
  readonly #queues = new Map<number, (() => Promise<void>)[]>();
  #running = false;

  /** @throws what `job` throws */
  run<T>(domid: number, job: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const queue = this.#queues.get(domid) ?? [];
      queue.push(() => job().then(resolve, reject));
      this.#queues.set(domid, queue);
      if (!this.#running) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    for (let first = this.#first(); first !== undefined; first = this.#first()) await first();
    this.#running = false;
  }

  /** What is next, of the domain that has waited longest. */
  #first(): (() => Promise<void>) | undefined {
    const [next] = this.#queues;
    if (next === undefined) return undefined;
    const [domid, queue] = next;
    const job = queue.shift();
    // It comes last now.
    this.#queues.delete(domid);
    if (queue.length > 0) this.#queues.set(domid, queue);
    return job;
  }
}
