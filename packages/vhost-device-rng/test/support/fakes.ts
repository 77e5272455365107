import type { ChainBatch, DescriptorChain, DeviceQueue } from '@node-vmm/vhost-user-backend';
import { SegmentTable } from '@node-vmm/vm-memory';
import type { EntropyRead, EntropySource } from '../../src/entropy-source.ts';

/** A chain over a plain array, which refuses to be used after its batch unless detached. */
export class FakeChain implements DescriptorChain {
  readonly faulted = false;
  readonly firstSegment = 0;
  readonly readableCount = 0;
  readonly writableCount = 1;
  readonly readableLength = 0;
  readonly head: number;
  readonly writable: Uint8Array;
  live = true;

  constructor(head: number, writable: Uint8Array) {
    this.head = head;
    this.writable = writable;
  }

  get segments(): never {
    throw new Error('not needed without a source that fills');
  }
  get writableLength(): number {
    return this.writable.length;
  }
  read(): number {
    return 0;
  }
  write(source: Uint8Array, offset: number): number {
    if (!this.live) throw new Error(`chain ${this.head} used after its batch`);
    const part = source.subarray(0, this.writable.length - offset);
    this.writable.set(part, offset);
    return part.length;
  }
  detach(): FakeChain {
    return new FakeChain(this.head, this.writable);
  }
}

/** A queue that records what is completed, and offers requests. */
export class FakeQueue implements DeviceQueue {
  readonly index = 0;
  resumed = false;
  readonly completions: { head: number; written: number; bytes: number[] }[] = [];
  flushed = 0;
  #heads = 0;

  complete(chain: DescriptorChain, written: number): void {
    const { head, writable } = chain as FakeChain;
    if (this.completions.some((completion) => completion.head === head)) {
      throw new Error(`chain ${head} completed twice`);
    }
    this.completions.push({ head, written, bytes: [...writable.subarray(0, written)] });
  }
  flush(): void {
    this.flushed = this.completions.length;
  }

  /** What the requests got, in the order in which they were returned. */
  get written(): number[] {
    return this.completions.map(({ written }) => written);
  }
  /** Requests in the order in which they were returned. */
  get heads(): number[] {
    return this.completions.map(({ head }) => head);
  }

  /** Has a device process requests with so much room. */
  offer(device: { process(queue: DeviceQueue, batch: ChainBatch): void }, ...room: number[]): void {
    const chains = room.map((length) => new FakeChain(this.#heads++, new Uint8Array(length)));
    device.process(this, {
      length: chains.length,
      at: (index) => chains[index] as FakeChain,
      [Symbol.iterator]: () => chains.values(),
      segments: new SegmentTable(1),
    });
    for (const chain of chains) chain.live = false;
  }
}

/** A source that counts 1, 2, 3, ... and answers when the test says so. */
export class FakeSource implements EntropySource {
  most = 0x1_0000;
  /** Sizes of all reads. */
  readonly reads: number[] = [];
  disposed = false;
  #next = 1;
  #spare: number[] = [];
  #done: EntropyRead | undefined;

  read(bytes: number, done: EntropyRead): void {
    if (this.#done !== undefined) throw new Error('asked before the answer');
    this.reads.push(bytes);
    this.#done = done;
  }
  unread(bytes: Uint8Array): void {
    this.#spare.unshift(...bytes);
  }
  /** It has been asked. */
  get asked(): boolean {
    return this.#done !== undefined;
  }
  /** Answers. @param most - bytes, default all that were asked for */
  give(most = Number.POSITIVE_INFINITY): void {
    const length = Math.min(most, this.reads.at(-1) ?? 0);
    const bytes = Uint8Array.from({ length }, () => this.#spare.shift() ?? this.#next++ & 0xff);
    this.#take()(bytes);
  }
  fail(code: string): void {
    this.#take()(new Uint8Array(), Object.assign(new Error(`cannot: ${code}`), { code }));
  }
  #take(): EntropyRead {
    const done = this.#done;
    if (done === undefined) throw new Error('not asked');
    this.#done = undefined;
    return done;
  }
  [Symbol.dispose](): void {
    this.disposed = true;
  }
}
