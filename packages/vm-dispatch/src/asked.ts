/** Something that a thread waits for. */
interface Ask {
  readonly what: string;
  /** The thread's number for it; undefined when that thread has died. */
  id: number | undefined;
  /** The answer, once there is one. */
  value: bigint | undefined;
  /** Number of the message with the answer. */
  answeredBy: number | undefined;
}

/**
 * What the dispatch thread of a guest asks the main thread to do, and waits for. Each is done once, also where
 * the thread dies before it has heard that it is done: the thread that takes the guest carries out the vCPU's request
 * anew and asks for the same, and is answered by what was done for the first.
 */
export class Asked {
  readonly #answer: (id: number, value: bigint) => number;
  #asks: Ask[] = [];
  /** Of threads that have died. */
  #orphans: Ask[] = [];

  /** @param answer - tells the thread; returns the number of that message */
  constructor(answer: (id: number, value: bigint) => number) {
    this.#answer = answer;
  }

  /**
   * The thread asks for something.
   *
   * @param id - its number for it
   * @param what - the same text for the same request
   * @param heard - messages that the thread has done
   * @param run - does it, and calls `done` in its time
   */
  ask(id: number, what: string, heard: number, run: (done: (value: bigint) => void) => void): void {
    // As many are left as vCPUs can wait for, and resets and stops whose vCPU waits no more.
    this.#asks = this.#asks.filter((ask) => !isHeard(ask, heard));
    const at = this.#orphans.findIndex((orphan) => orphan.what === what);
    const [orphan] = at < 0 ? [] : this.#orphans.splice(at, 1);
    const ask = orphan ?? { what, id, value: undefined, answeredBy: undefined };
    ask.id = id;
    this.#asks.push(ask);
    if (orphan === undefined) run((value) => this.#done(ask, value));
    else if (orphan.value !== undefined) this.#done(orphan, orphan.value);
  }

  #done(ask: Ask, value: bigint): void {
    ask.value = value;
    if (ask.id !== undefined) ask.answeredBy = this.#answer(ask.id, value);
  }

  /** The thread has died. @param heard - messages that it had done */
  orphan(heard: number): void {
    for (const ask of this.#asks.splice(0)) {
      if (isHeard(ask, heard)) continue;
      ask.id = undefined;
      ask.answeredBy = undefined;
      this.#orphans.push(ask);
    }
  }

  /** Whatever a thread that died had asked for has been asked for again. */
  settle(): void {
    this.#orphans = [];
  }
}

function isHeard({ answeredBy }: Ask, heard: number): boolean {
  return answeredBy !== undefined && answeredBy <= heard;
}
