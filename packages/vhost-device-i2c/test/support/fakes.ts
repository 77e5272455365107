import type { ChainBatch, DescriptorChain, DeviceQueue } from '@node-vmm/vhost-user-backend';
import { type Logger, silentLogger } from '@node-vmm/vmm-sys-util';
import { I2cError } from '../../src/errors.ts';
import type { I2cHost, I2cMessage, I2cTransferDone } from '../../src/i2c-host.ts';

/** A chain over plain arrays, which refuses to be used after its batch unless detached. */
export class FakeChain implements DescriptorChain {
  readonly faulted = false;
  static #heads = 0;
  readonly head: number;
  readonly readable: Uint8Array;
  readonly writable: Uint8Array;
  readonly firstSegment = 0;
  readonly readableCount = 1;
  readonly writableCount = 1;
  live = true;

  constructor(readable: Uint8Array, writable: Uint8Array, head = FakeChain.#heads++) {
    this.readable = readable;
    this.writable = writable;
    this.head = head;
  }

  get segments(): never {
    throw new Error('not needed by this device');
  }
  get readableLength(): number {
    return this.readable.length;
  }
  get writableLength(): number {
    return this.writable.length;
  }
  #check(): void {
    if (!this.live) throw new Error(`chain ${this.head} used after its batch`);
  }
  read(target: Uint8Array, offset: number): number {
    this.#check();
    const part = this.readable.subarray(offset, offset + target.length);
    target.set(part);
    return part.length;
  }
  write(source: Uint8Array, offset: number): number {
    this.#check();
    const part = source.subarray(0, Math.max(0, this.writable.length - offset));
    this.writable.set(part, Math.min(offset, this.writable.length));
    return part.length;
  }
  detach(): FakeChain {
    this.#check();
    return new FakeChain(this.readable, this.writable, this.head);
  }
}

export interface Completion {
  readonly head: number;
  readonly written: number;
}

/** A device queue that records, and checks that each chain is completed once. */
export class FakeQueue implements DeviceQueue {
  readonly index = 0;
  resumed = false;
  readonly completions: Completion[] = [];
  flushes = 0;
  readonly #heads = new Set<number>();

  complete(chain: DescriptorChain, written: number): void {
    if (this.#heads.has(chain.head)) throw new Error(`chain ${chain.head} completed twice`);
    this.#heads.add(chain.head);
    if (written > chain.writableLength) throw new Error(`chain ${chain.head}: ${written} written`);
    this.completions.push({ head: chain.head, written });
  }
  flush(): void {
    this.flushes++;
  }
}

/** A batch of chains; `end` is what the queue does at the next `popBatch`. */
export function batchOf(chains: readonly FakeChain[]): ChainBatch & { end(): void } {
  return {
    length: chains.length,
    at: (index) => chains[index] as FakeChain,
    [Symbol.iterator]: () => chains.values(),
    get segments(): never {
      throw new Error('not needed by this device');
    },
    end: () => {
      for (const chain of chains) chain.live = false;
    },
  };
}

/** A host that records transfers and answers as told. */
export class FakeHost implements I2cHost {
  readonly name: string;
  readonly transfers: { address: number; read: boolean; data: number[] }[][] = [];
  /** What `transfer` does; by default everything succeeds and reads give 0xa0, 0xa1, ... */
  answer: (messages: readonly I2cMessage[]) => number = (messages) => messages.length;
  /** Transfers are over when `land` says so, and not at once. */
  slow = false;
  disposed = false;
  readonly #flying: (() => void)[] = [];

  constructor(name = 'fake') {
    this.name = name;
  }
  transfer(messages: readonly I2cMessage[], done: I2cTransferDone): void {
    this.transfers.push(
      messages.map(({ address, read, data }) => ({ address, read, data: read ? [] : [...data] })),
    );
    for (const { read, data } of messages) {
      if (read) data.set(Array.from(data, (_, i) => 0xa0 + i));
    }
    const land = (): void => {
      let succeeded = 0;
      let failure: I2cError | undefined;
      try {
        succeeded = this.answer(messages);
      } catch (error) {
        // What is no error of a bus is a defect of the host's, which throws it.
        if (!I2cError.is(error)) throw error;
        failure = error;
      }
      done(succeeded, failure);
    };
    if (this.slow) this.#flying.push(land);
    else land();
  }
  /** Transfers under way. */
  get flying(): number {
    return this.#flying.length;
  }
  /** Ends the transfer that began first. */
  land(): void {
    this.#flying.shift()?.();
  }
  [Symbol.dispose](): void {
    this.disposed = true;
  }
}

/** A logger that keeps its lines. */
export function recordingLogger(): Logger & { readonly lines: string[] } {
  const lines: string[] = [];
  const record =
    (level: string) =>
    (context: object, message: string): void => {
      lines.push(`${level} ${message} ${JSON.stringify(context)}`);
    };
  return {
    ...silentLogger,
    lines,
    info: record('info'),
    warn: record('warn'),
    error: record('error'),
    debug: record('debug'),
  };
}
