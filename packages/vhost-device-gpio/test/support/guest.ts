import { silentLogger } from '@node-vmm/vmm-sys-util';
import { GpioDevice } from '../../src/backend.ts';
import type { GpioHost } from '../../src/gpio-host.ts';
import { LineStates } from '../../src/line-states.ts';
import { SimulatedGpioHost } from '../../src/simulated/simulated-gpio-host.ts';
import { batchOf, FakeChain, FakeQueue } from './fakes.ts';
import { request, unmask } from './requests.ts';

/** A device with a driver's queues, without memory or threads. */
export class GuestOfDevice implements Disposable {
  readonly device: GpioDevice;
  readonly requestq = new FakeQueue(0);
  readonly eventq = new FakeQueue(1);
  readonly events: object[] = [];
  readonly bytes: Uint8Array;

  /** @param bytes - state of before; not copied */
  constructor(make: (states: LineStates) => GpioHost, bytes: Uint8Array, features = 1n) {
    this.bytes = bytes;
    const states = new LineStates(bytes);
    const host = make(states);
    this.device = new GpioDevice(
      { host, states, losesState: false },
      { logger: silentLogger, emit: (event) => void this.events.push(event) },
    );
    this.device.negotiated(features);
  }

  static simulated(names: readonly string[] = ['', '', '', ''], features = 1n): GuestOfDevice {
    const make = (states: LineStates): GpioHost => new SimulatedGpioHost(names, states);
    return new GuestOfDevice(make, new Uint8Array(names.length), features);
  }

  /** Makes requests available at once. @returns answers that came at once */
  send(...requests: Uint8Array[]): (readonly number[])[] {
    return this.raw(
      this.requestq,
      requests.map((readable) => [readable, 2] as const),
    );
  }

  /** One request. */
  ask(type: number, gpio = 0, value = 0): readonly number[] | undefined {
    return this.send(request(type, gpio, value))[0];
  }

  /** Queues an event buffer for each. @returns what came back at once */
  unmask(...lines: number[]): (readonly number[])[] {
    return this.raw(
      this.eventq,
      lines.map((line) => [unmask(line), 1] as const),
    );
  }

  /** Chains of any shape. */
  raw(
    queue: FakeQueue,
    shapes: readonly (readonly [readable: Uint8Array, writable: number])[],
  ): (readonly number[])[] {
    const chains = shapes.map(
      ([readable, writable]) => new FakeChain(readable, new Uint8Array(writable).fill(0xee)),
    );
    const batch = batchOf(chains);
    this.device.process(queue, batch);
    batch.end();
    queue.flush();
    return queue.take();
  }

  /** What outside says. */
  tell(...words: string[]): Record<string, unknown> {
    return this.device.command(words) as Record<string, unknown>;
  }

  /** What became of the edges of `line N 0|1|pulse`. */
  move(line: number, level: '0' | '1' | 'pulse'): string[] {
    const { edges } = this.tell('line', `${line}`, level);
    return (edges as { edge: string; became: string }[]).map(
      ({ edge, became }) => `${edge} ${became}`,
    );
  }

  [Symbol.dispose](): void {
    this.device[Symbol.dispose]();
  }
}
