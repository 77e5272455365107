import type { ChainBatch, DescriptorChain, DeviceQueue } from '@node-vmm/vhost-user-backend';
import { GpioError } from '../../src/errors.ts';
import type {
  GpioAnswer,
  GpioDirection,
  GpioDone,
  GpioEdgeListener,
  GpioEdges,
  GpioHost,
  GpioLevel,
} from '../../src/gpio-host.ts';
import { SimulatedGpioHost } from '../../src/simulated/simulated-gpio-host.ts';

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

/** A chain as it came back. */
export interface Completion {
  readonly head: number;
  /** What the device says that it wrote. */
  readonly bytes: readonly number[];
}

/** A device queue that records, and checks that each chain is completed once. */
export class FakeQueue implements DeviceQueue {
  readonly index: number;
  resumed = false;
  readonly completions: Completion[] = [];
  /** How many of them the driver can see. */
  shown = 0;
  /** Called when the driver gets to see something. */
  onShown: () => void = () => undefined;
  readonly #heads = new Set<number>();

  constructor(index: number) {
    this.index = index;
  }
  complete(chain: DescriptorChain, written: number): void {
    const { head } = chain;
    if (this.#heads.has(head)) throw new Error(`chain ${head} completed twice`);
    this.#heads.add(head);
    if (written > chain.writableLength) throw new Error(`chain ${head}: ${written} written`);
    const { writable } = chain as FakeChain;
    this.completions.push({ head, bytes: [...writable.subarray(0, written)] });
  }
  flush(): void {
    this.shown = this.completions.length;
    this.onShown();
  }
  /** The answers that have come since the last call. */
  take(): (readonly number[])[] {
    this.#heads.clear();
    return this.completions.splice(0).map(({ bytes }) => bytes);
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

/** Simulated lines that record what is asked of them, fail as told, and may take their time. */
export class RecordingHost implements GpioHost {
  readonly name = 'recording';
  readonly names: readonly string[];
  readonly calls: string[] = [];
  /** Calls whose text begins with one of these fail. */
  readonly failing: string[] = [];
  /** Operations are over when `land` says so, and not at once. */
  slow = false;
  disposed = false;
  readonly lines: SimulatedGpioHost;
  readonly #flying: (() => void)[] = [];

  constructor(lines = 4) {
    this.names = Array.from({ length: lines }, () => '');
    this.lines = new SimulatedGpioHost(this.names);
  }
  listen(listener: GpioEdgeListener): void {
    this.lines.listen(listener);
  }
  getDirection(line: number, done: GpioAnswer<GpioDirection>): void {
    this.#do(`getDirection ${line}`, (error) => {
      if (error === undefined) this.lines.getDirection(line, done);
      else done(error, 0);
    });
  }
  setDirection(line: number, direction: GpioDirection, value: GpioLevel, done: GpioDone): void {
    this.#do(`setDirection ${line} ${direction} ${value}`, (error) => {
      if (error === undefined) this.lines.setDirection(line, direction, value, done);
      else done(error);
    });
  }
  getValue(line: number, done: GpioAnswer<GpioLevel>): void {
    this.#do(`getValue ${line}`, (error) => {
      if (error === undefined) this.lines.getValue(line, done);
      else done(error, 0);
    });
  }
  setValue(line: number, value: GpioLevel, done: GpioDone): void {
    this.#do(`setValue ${line} ${value}`, (error) => {
      if (error === undefined) this.lines.setValue(line, value, done);
      else done(error);
    });
  }
  arm(line: number, edges: GpioEdges, done: GpioDone): void {
    this.#do(`arm ${line} ${edges}`, (error) => {
      if (error === undefined) this.lines.arm(line, edges, done);
      else done(error);
    });
  }
  #do(call: string, land: (error?: GpioError) => void): void {
    this.calls.push(call);
    const fails = this.failing.some((start) => call.startsWith(start));
    const end = (): void => land(fails ? new GpioError('IO', `Cannot do ${call}`) : undefined);
    if (this.slow) this.#flying.push(end);
    else end();
  }
  /** Ends the operation that began first. @returns false when there is none */
  land(): boolean {
    const end = this.#flying.shift();
    end?.();
    return end !== undefined;
  }
  landAll(): void {
    while (this.land());
  }
  [Symbol.dispose](): void {
    this.disposed = true;
    this.lines[Symbol.dispose]();
  }
}
