/** Something the kernel does until closed. */
export interface Assignment extends Disposable {
  /** Idempotent. */
  close(): void;
}

/** What a VM was told to do and can be told to leave, so that its end can be the end of all of it. */
export class Assignments {
  readonly #open = new Set<Assignment>();

  /** How many are open. */
  get size(): number {
    return this.#open.size;
  }

  /** @param undo - called once, by the first `close`; when it throws, it counts as done */
  add(undo: () => void): Assignment {
    const close = (): void => {
      if (this.#open.delete(assignment)) undo();
    };
    const assignment: Assignment = { close, [Symbol.dispose]: close };
    this.#open.add(assignment);
    return assignment;
  }

  /** Closes all, the newest first; every one of them even when one fails. @returns the failures */
  closeAll(): unknown[] {
    const failures: unknown[] = [];
    for (const assignment of [...this.#open].reverse()) {
      try {
        assignment.close();
      } catch (error) {
        failures.push(error);
      }
    }
    return failures;
  }
}
