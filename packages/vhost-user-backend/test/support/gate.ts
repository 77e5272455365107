/** Shared memory with a host thread of `fixtures/gate-host.mjs`, which has these indices too. */
export class Gate {
  readonly memory = new Int32Array(new SharedArrayBuffer(4096));

  get created(): number {
    return Atomics.load(this.memory, 0);
  }

  get disposed(): number {
    return Atomics.load(this.memory, 1);
  }

  /** The host blocks. */
  get blocked(): boolean {
    return Atomics.load(this.memory, 2) === 1;
  }

  /** The second bytes of what was served, in order. */
  get tags(): number[] {
    return [...this.memory.subarray(5, 5 + Atomics.load(this.memory, 4))];
  }

  /** From now on the host does not block. */
  open(): void {
    Atomics.store(this.memory, 3, 1);
    Atomics.notify(this.memory, 3);
  }
}
