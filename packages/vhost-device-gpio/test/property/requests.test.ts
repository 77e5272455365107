import { PropertyRun, propertyCases } from '@node-vmm/vhost-user-backend/testing';
import * as gpio from '@node-vmm/virtio-bindings/gpio';
import fc from 'fast-check';
import { describe, it } from 'vitest';
import { LineStates } from '../../src/line-states.ts';
import { batchOf, FakeChain, RecordingHost } from '../support/fakes.ts';
import { GuestOfDevice } from '../support/guest.ts';
import { request, unmask } from '../support/requests.ts';

/** Sequences of up to 24 steps each, many of which are batches of up to 40 chains. */
const CASES = propertyCases(500);
const LINES = 4;

/** Plain, since it is asked after every step: `expect` takes longer than the device does. */
function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

const line = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 0, max: LINES - 1 }) },
  fc.integer({ min: 0, max: 0xffff }),
);
const size = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 0, max: 12 }) },
  { weight: 1, arbitrary: fc.constantFrom(255, 4096, 65_536) },
);

interface Shape {
  readonly queue: 0 | 1;
  readonly readable: Uint8Array;
  readonly writable: number;
}

/** Requests of the right form, whatever they ask for. */
const right: fc.Arbitrary<Shape> = fc
  .record({
    type: fc.oneof({ weight: 8, arbitrary: fc.integer({ min: 1, max: 6 }) }, fc.nat(0xffff)),
    gpio: line,
    value: fc.oneof({ weight: 8, arbitrary: fc.nat(8) }, fc.nat(0xffff_ffff)),
  })
  .map(({ type, gpio: n, value }) => {
    const names = type === gpio.VIRTIO_GPIO_MSG_GET_LINE_NAMES;
    return { queue: 0, readable: request(type, n, value), writable: names ? 1 : 2 };
  });
const event: fc.Arbitrary<Shape> = line.map((n) => ({
  ...{ queue: 1, readable: unmask(n), writable: 1 },
}));
const any: fc.Arbitrary<Shape> = fc
  .record({ queue: fc.constantFrom<0 | 1>(0, 1), bytes: fc.uint8Array({ maxLength: 12 }), size })
  .map(({ queue, bytes, size: writable }) => ({ queue, readable: bytes, writable }));
const chain = fc.oneof({ weight: 6, arbitrary: right }, { weight: 4, arbitrary: event }, any);

/** What happens to a device. */
type Step =
  | { readonly do: 'batch'; readonly chains: readonly Shape[] }
  | { readonly do: 'move'; readonly line: number; readonly level: 0 | 1 }
  | { readonly do: 'land' | 'fail' | 'reset' | 'stop' };
const chains = fc.oneof(
  { weight: 12, arbitrary: fc.array(chain, { maxLength: 6 }) },
  { weight: 1, arbitrary: fc.array(chain, { maxLength: 40 }) },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: chains.map((made) => ({ do: 'batch' as const, chains: made })) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('move' as const),
      line: fc.nat(LINES - 1),
      level: fc.constantFrom<0 | 1>(0, 1),
    }),
  },
  { weight: 4, arbitrary: fc.constant({ do: 'land' as const }) },
  fc.constantFrom({ do: 'fail' as const }, { do: 'reset' as const }, { do: 'stop' as const }),
);

/** A device under any steps, and what must be true of it at all times. */
class Run implements Disposable {
  readonly host = new RecordingHost(LINES);
  readonly guest = new GuestOfDevice(() => this.host, new Uint8Array(LINES));
  /** Chains of each queue that have not come back, in their order. */
  readonly #pending: [Map<number, FakeChain>, Map<number, FakeChain>] = [new Map(), new Map()];
  requests = 0;

  constructor(slow: boolean) {
    this.host.slow = slow;
  }

  do(what: Step): void {
    switch (what.do) {
      case 'batch':
        this.#batch(what.chains);
        break;
      case 'move': {
        const driven = this.host.lines.levelOf(what.line);
        try {
          this.host.lines.move(what.line, what.level);
        } catch {
          // An output: nobody moves it.
          must(this.host.lines.levelOf(what.line) === driven, 'an output was moved');
        }
        break;
      }
      case 'land':
        this.host.land();
        break;
      case 'fail':
        this.host.failing.push('arm 1', 'setDirection 2 1');
        break;
      case 'reset':
        this.guest.device.reset();
        this.guest.device.negotiated(1n);
        for (const pending of this.#pending) pending.clear();
        break;
      case 'stop':
        this.#stop();
        break;
    }
    this.#check();
  }

  /** Everything that is not an event buffer comes back. */
  end(): void {
    this.host.landAll();
    this.#check();
    must(this.#pending[0].size === 0, 'a request was not answered');
    must(this.#pending[1].size <= LINES, 'more event buffers than lines are held');
    this.#stop();
  }

  #batch(shapes: readonly Shape[]): void {
    for (const index of [0, 1] as const) {
      const chains = shapes
        .filter(({ queue }) => queue === index)
        .map(({ readable, writable }) => new FakeChain(readable, new Uint8Array(writable)));
      for (const each of chains) this.#pending[index].set(each.head, each);
      this.requests += chains.length;
      const batch = batchOf(chains);
      this.guest.device.process(this.#queue(index), batch);
      batch.end();
    }
  }

  #stop(): void {
    let stopped = false;
    this.guest.device.queueStopping(this.guest.eventq, () => {
      stopped = true;
    });
    must(stopped, 'a stop had to wait');
    this.#check();
    must(this.#pending[1].size === 0, 'an event buffer was kept at a stop');
    this.guest.device.queueStopped(1);
  }

  #queue(index: 0 | 1): GuestOfDevice['requestq'] {
    return index === 0 ? this.guest.requestq : this.guest.eventq;
  }

  #check(): void {
    // Requests in their order; both with a status that there is, as long as it may be.
    for (const index of [0, 1] as const) {
      const pending = this.#pending[index];
      for (const { head, bytes } of this.#queue(index).completions.splice(0)) {
        const chain = pending.get(head);
        if (chain === undefined) throw new Error(`chain ${head} was not to come back`);
        must(index === 1 || head === pending.keys().next().value, `chain ${head}: out of order`);
        pending.delete(head);
        const { length } = bytes;
        must(length === Math.min(chain.writableLength, length > 1 ? 2 : 1), `used ${length}`);
        must(length === 0 || bytes[0] === 0 || bytes[0] === 1, `status ${bytes[0]}`);
      }
    }
    // The state is one that there can be: who begins with it changes nothing.
    const copy = Uint8Array.from(this.guest.bytes);
    new LineStates(copy);
    must(Buffer.compare(copy, this.guest.bytes) === 0, `state ${this.guest.bytes.join(' ')}`);
  }

  [Symbol.dispose](): void {
    this.guest[Symbol.dispose]();
  }
}

describe('any requests, edges, failures, stops and resets', () => {
  it('throw nothing, answer each request once and in order, and leave a state that there can be', () => {
    const cases = new PropertyRun('steps of a gpio device', CASES);
    let requests = 0;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 24 }), fc.boolean(), (steps, slow) => {
        using run = new Run(slow);
        for (const what of steps) run.do(what);
        run.end();
        requests += run.requests;
        cases.ended();
      }),
      { numRuns: CASES },
    );
    const report = cases.check();
    must(requests > CASES, `${requests} requests in all`);
    if (cases.long) console.log({ ...report, requests });
  }, 0);

  it('interrupt once for each edge that was latched or delivered, and never unasked', () => {
    const unmasking = fc.constant('unmask' as const);
    const toggling = fc.constant('toggle' as const);
    const cases = new PropertyRun('edges of a line', CASES);
    let edges = 0;
    fc.assert(
      fc.property(fc.array(fc.oneof(unmasking, toggling), { maxLength: 60 }), (steps) => {
        using guest = GuestOfDevice.simulated(['']);
        guest.ask(gpio.VIRTIO_GPIO_MSG_SET_IRQ_TYPE, 0, gpio.VIRTIO_GPIO_IRQ_TYPE_EDGE_BOTH);
        let [interrupts, expected, waiting, unmasked] = [0, 0, false, false];
        for (const [i, what] of steps.entries()) {
          if (what === 'toggle') {
            const value = guest.device.report(0).value;
            const [edge] = guest.move(0, value === 0 ? '1' : '0');
            const became = unmasked ? 'delivered' : waiting ? 'coalesced' : 'latched';
            must(edge?.split(' ')[1] === became, `step ${i}: ${edge}, not ${became}`);
            edges++;
            if (unmasked) expected++;
            else waiting = true;
            unmasked = false;
          } else if (!unmasked) {
            const answers = guest.unmask(0);
            interrupts += answers.length;
            if (waiting) expected++;
            unmasked = !waiting;
            waiting = false;
          }
          interrupts += guest.eventq.take().length;
          must(interrupts === expected, `step ${i}: ${interrupts} interrupts, not ${expected}`);
        }
        cases.ended();
      }),
      { numRuns: CASES },
    );
    const report = cases.check();
    must(edges > CASES, `${edges} edges in all`);
    if (cases.long) console.log({ ...report, edges });
  }, 0);
});
