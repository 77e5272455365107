import {
  type DescriptorChain,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from '@node-vmm/virtio-queue';
import { guestAddress } from '@node-vmm/vm-memory';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { BORDER, chainsOf, END, pattern, Rig } from '../rig.ts';

// Buffers are cut from here on, so that some cross the border between the regions; every request
// has its own window, and its own window for an indirect table.
const WINDOW = 256;
const FIRST = BORDER - 8 * WINDOW - 100;
const TABLES = END - 0x4000;

interface Request {
  readonly source: Uint8Array;
  readonly writableAt: number;
  readonly writableLength: number;
  /** What the device says and wrote, once it has. */
  answer?: Uint8Array;
}

const step = fc.oneof(
  fc.record({
    kind: fc.constant('add' as const),
    readable: fc.array(fc.nat(12), { maxLength: 3 }),
    writable: fc.array(fc.nat(12), { maxLength: 3 }),
    indirect: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('publish' as const) }),
  fc.record({ kind: fc.constant('pop' as const), max: fc.integer({ min: 1, max: 10 }) }),
  fc.record({ kind: fc.constant('complete' as const), which: fc.nat(20), written: fc.nat(40) }),
  fc.record({ kind: fc.constant('flush' as const) }),
  fc.record({ kind: fc.constant('poll' as const) }),
  fc.record({ kind: fc.constant('interrupts' as const), after: fc.nat(3) }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Both sides, and what each of them may expect of the other. */
class Model {
  readonly rig: Rig;
  readonly requests = new Map<number, Request>();
  readonly held: DescriptorChain[] = [];
  /** Heads added and not yet seen by the device, in order. */
  readonly waiting: number[] = [];
  readonly returned: number[] = [];
  published = 0;
  kicked = false;
  called = false;
  #windows = 0;

  constructor(start: number, eventIdx: boolean) {
    const features = [VIRTIO_RING_F_INDIRECT_DESC, ...(eventIdx ? [VIRTIO_RING_F_EVENT_IDX] : [])];
    this.rig = new Rig({ size: 8, features, start });
  }

  run(action: Step): void {
    if (action.kind === 'complete') this.complete(action.which, action.written);
    else if (action.kind === 'add') this.add(action.readable, action.writable, action.indirect);
    else if (action.kind === 'pop') this.pop(action.max);
    else if (action.kind === 'interrupts') this.interrupts(action.after);
    else this[action.kind]();
  }

  add(readable: number[], writable: number[], indirect: boolean): void {
    const at = FIRST + (this.#windows % 16) * WINDOW;
    let next = at;
    const cut = (writes: boolean) => (length: number) => {
      const buffer = { guestAddr: guestAddress(next), length, writable: writes };
      next += length;
      return buffer;
    };
    const inputs = readable.map(cut(false));
    const writableAt = next;
    const buffers = [...inputs, ...writable.map(cut(true))];
    if (buffers.length === 0) return;
    const source = pattern(writableAt - at, this.#windows);
    const table = guestAddress(TABLES + (this.#windows % 16) * WINDOW);
    const head = this.rig.driver.add(buffers, indirect ? table : undefined);
    if (head === -1) return;
    this.#windows++;
    this.rig.memory.write(guestAddress(at), source);
    this.requests.set(head, { source, writableAt, writableLength: next - writableAt });
    this.waiting.push(head);
  }

  publish(): void {
    this.published = this.waiting.length;
    if (this.rig.driver.publish()) this.kicked = true;
  }

  pop(max: number): void {
    const chains = chainsOf(this.rig.queue.popBatch(max));
    expect(chains.map((chain) => chain.head)).toEqual(
      this.waiting.splice(0, Math.min(max, this.published)),
    );
    this.published -= chains.length;
    for (const chain of chains) {
      const request = this.requests.get(chain.head);
      const source = new Uint8Array(chain.readableLength + 1);
      expect(chain.read(source, 0)).toBe(chain.readableLength);
      expect(source.subarray(0, -1)).toEqual(request?.source);
      expect(chain.writableLength).toBe(request?.writableLength);
      this.held.push(chain.detach());
    }
  }

  complete(which: number, written: number): void {
    const [chain] = this.held.splice(which % Math.max(1, this.held.length), 1);
    if (chain === undefined) return;
    const request = this.requests.get(chain.head) as Request;
    const answer = pattern(Math.min(written, request.writableLength), which);
    expect(chain.write(answer, 0)).toBe(answer.length);
    request.answer = answer;
    this.rig.queue.complete(chain, written);
    this.returned.push(chain.head);
  }

  flush(): void {
    if (this.rig.queue.flush()) this.called = true;
  }

  poll(): void {
    const used = this.rig.driver.poll();
    if (used === undefined) return;
    expect(used.head).toBe(this.returned.shift());
    const request = this.requests.get(used.head) as Request;
    const target = new Uint8Array(used.written);
    this.rig.memory.read(guestAddress(request.writableAt), target);
    expect(target).toEqual(request.answer);
    this.requests.delete(used.head);
  }

  interrupts(after: number): void {
    if (after === 0) this.rig.driver.disableInterrupts();
    else this.rig.driver.enableInterrupts(after);
  }
}

it('serves random valid traffic as a queue of requests would', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.constant(0), fc.integer({ min: 65_500, max: 65_535 })),
      fc.boolean(),
      fc.array(step, { maxLength: 150, size: 'max' }),
      (start, eventIdx, steps) => {
        const model = new Model(start, eventIdx);
        for (const action of steps) model.run(action);
        model.publish();
        model.pop(100);
        while (model.held.length > 0) model.complete(0, 100);
        model.flush();
        while (model.returned.length > 0) model.poll();
        expect(model.requests.size).toBe(0);
        expect(model.rig.driver.free).toBe(8);
        expect(model.rig.memory.segmentsOut).toBe(0);
        expect(model.rig.queue.inflight).toBe(0);
        expect(model.rig.queue.counters.malformedChains).toBe(0);
        expect(model.rig.queue.broken).toBeUndefined();
      },
    ),
  );
});

it('loses no wake-up: two sides that act on notifications alone finish all requests', () => {
  const TOTAL = 60;
  fc.assert(
    fc.property(
      fc.integer({ min: 65_480, max: 65_535 }),
      fc.boolean(),
      fc.infiniteStream(fc.nat(5)),
      (start, eventIdx, choices) => {
        const model = new Model(start, eventIdx);
        const choose = (): number => choices.next().value as number;
        let added = 0;
        let turns = 0;
        // The driver adds what fits before it sleeps, the device serves what it finds.
        const driver = (): void => {
          do {
            while (model.returned.length > 0 && model.rig.driver.outstanding > 0) {
              const before = model.requests.size;
              model.poll();
              if (model.requests.size === before) break;
            }
            for (let n = 1 + choose(); n > 0 && added < TOTAL; n--) {
              const before = model.requests.size;
              model.add([choose()], [choose()], choose() > 2);
              if (model.requests.size === before) break;
              added++;
            }
            model.publish();
          } while (model.rig.driver.enableInterrupts(1 + choose()));
        };
        const device = (): void => {
          do {
            model.rig.queue.disableNotification();
            model.pop(1 + choose());
            while (model.held.length > choose()) model.complete(choose(), choose());
            model.flush();
          } while (model.rig.queue.enableNotification());
          while (model.held.length > 0) model.complete(0, 0);
          model.flush();
        };
        driver();
        while (model.kicked || model.called) {
          expect(turns++).toBeLessThan(10 * TOTAL);
          if (model.kicked && (!model.called || choose() > 2)) {
            model.kicked = false;
            device();
          } else {
            model.called = false;
            driver();
          }
        }
        expect(added).toBe(TOTAL);
        expect(model.requests.size).toBe(0);
      },
    ),
  );
});
