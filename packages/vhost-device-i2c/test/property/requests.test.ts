import { PropertyRun, propertyCases } from '@node-vmm/vhost-user-backend/testing';
import {
  VIRTIO_I2C_FLAGS_FAIL_NEXT,
  VIRTIO_I2C_FLAGS_M_RD,
  VIRTIO_I2C_MSG_ERR,
  VIRTIO_I2C_MSG_OK,
} from '@node-vmm/virtio-bindings';
import { EventFd, EventLoop, silentLogger } from '@node-vmm/vmm-sys-util';
import fc from 'fast-check';
import { describe, it } from 'vitest';
import { I2cDevice } from '../../src/backend.ts';
import type { I2cHost } from '../../src/i2c-host.ts';
import { makeBoard } from '../../src/simulated/board.ts';
import { batchOf, type FakeChain, FakeQueue } from '../support/fakes.ts';
import { header, rawChain, statusOf } from '../support/requests.ts';

const addr = fc.oneof(
  // Two chips, one that is not there, one of 10 bits, and 7-bit and 10-bit neighbours of it.
  fc.constantFrom(0x50 << 1, 0x68 << 1, 0x51 << 1, 0x50f2, 0x50f0, 0x00f2),
  fc.integer({ min: 0, max: 0xffff }),
);
const flags = fc.oneof(fc.constantFrom(0, 1, 2, 3), fc.integer({ min: 0, max: 0xffff_ffff }));
// Long ones are rare: chips take their bytes one by one, which is nearly all of the time of a run.
const size = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: 0, max: 12 }) },
  { weight: 1, arbitrary: fc.constantFrom(255, 8191, 8192, 8193, 8194, 65_536) },
);

/** Mostly requests of the right form, some of any. */
const request = fc
  .record({
    addr,
    flags,
    size,
    form: fc.constantFrom('right', 'right', 'right', 'any'),
    other: size,
  })
  .map(({ addr: a, flags: f, size: n, form, other }) => {
    if (form === 'any') {
      const readable = new Uint8Array(other);
      readable.set(header(a, f).subarray(0, other));
      return { readable, writable: n };
    }
    const read = (f & VIRTIO_I2C_FLAGS_M_RD) !== 0;
    const readable = new Uint8Array(8 + (read ? 0 : n));
    readable.set(header(a, f));
    return { readable, writable: read ? n + 1 : 1 };
  });

/** Linked to the next, and right: groups about as long as the limit. */
const linked = fc
  .constantFrom(0x50 << 1, 0x50f2)
  .map((a) => ({ readable: header(a, VIRTIO_I2C_FLAGS_FAIL_NEXT), writable: 1 }));
const batch = fc.oneof(
  { weight: 20, arbitrary: fc.array(request, { maxLength: 8 }) },
  { weight: 1, arbitrary: fc.array(request, { maxLength: 60 }) },
  { weight: 1, arbitrary: fc.array(linked, { minLength: 38, maxLength: 46 }) },
);
const batches = fc.array(batch, { minLength: 1, maxLength: 4 });
const rules = fc.record({ splitGroups: fc.boolean(), allowNoZeroLength: fc.boolean() });

/** Sequences of up to 240 requests each. */
const CASES = propertyCases(500);

/** Plain, since it is asked of every request: `expect` takes longer than the device does. */
function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

/** A bus whose transfers are over when the test says so. */
class LaterBus implements I2cHost {
  readonly name = 'later';
  readonly #bus: I2cHost;
  #waiting: (() => void) | undefined;

  constructor(bus: I2cHost) {
    this.#bus = bus;
  }
  transfer(...args: Parameters<I2cHost['transfer']>): void {
    if (this.#waiting !== undefined) throw new Error('two transfers at a time');
    this.#waiting = () => this.#bus.transfer(...args);
  }
  /** @returns false when there is no transfer */
  land(): boolean {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
    return waiting !== undefined;
  }
  [Symbol.dispose](): void {
    this.#bus[Symbol.dispose]();
  }
}

describe('any sequence of requests', () => {
  it(
    'throws nothing, answers each once and in order, and fails all of a group after a failure',
    () => {
      const stop = EventFd.create();
      const loop = new EventLoop(stop);
      const run = new PropertyRun('sequences of i2c requests', CASES);
      const counts = { requests: 0, refused: 0 };
      fc.assert(
        fc.property(
          batches,
          fc.boolean(),
          rules,
          fc.boolean(),
          (plan, slow, allowed, negotiated) => {
            const board = [
              { chip: '24c02', address: 0x50 },
              { chip: 'ds1338', address: 0x68 },
              { chip: 'tmp105', address: 0xa150 },
            ];
            const host = slow ? new LaterBus(makeBoard(board, loop)) : makeBoard(board, loop);
            const context = {
              logger: silentLogger,
              poller: loop,
              emit: (event: object | (() => object)) => {
                const made = typeof event === 'function' ? event() : event;
                if (JSON.stringify(made).length > 16_384)
                  throw new Error('an event without bounds');
              },
            };
            const attachments = [{ host, addresses: [0x50, 0x68, 0xa150] }];
            const device = new I2cDevice(attachments, context, allowed);
            device.negotiated(negotiated ? device.features : 0n);
            const queue = new FakeQueue();
            const all: FakeChain[] = [];
            for (const shapes of plan) {
              const chains = shapes.map(({ readable, writable }) => rawChain(readable, writable));
              all.push(...chains);
              const part = batchOf(chains);
              device.process(queue, part);
              part.end();
              // Some of it between two batches.
              if (host instanceof LaterBus) host.land();
            }
            // A group still open ends with an untagged request.
            const last = rawChain(header(0x50 << 1, 0), 1);
            const end = batchOf([last]);
            device.process(queue, end);
            end.end();
            all.push(last);
            if (host instanceof LaterBus) while (host.land());
            device[Symbol.dispose]();

            must(queue.completions.length === all.length, 'not every request was returned');
            must(device.counters.requests === all.length, 'not every request was counted');
            let failed = false;
            let errors = 0;
            for (const [i, chain] of all.entries()) {
              must(queue.completions[i]?.head === chain.head, `request ${i}: out of order`);
              const status = statusOf(chain);
              const ok = status === VIRTIO_I2C_MSG_OK;
              if (!ok) errors++;
              must(
                ok || status === undefined || status === VIRTIO_I2C_MSG_ERR,
                `request ${i}: status ${status}`,
              );
              must(!(failed && ok), `request ${i}: executed after a failure of its group`);
              const tagged =
                chain.readable.length >= 8 &&
                ((chain.readable[4] ?? 0) & VIRTIO_I2C_FLAGS_FAIL_NEXT) !== 0;
              failed = tagged && (failed || !ok);
            }
            must(device.counters.errors === errors, 'errors were miscounted');
            counts.requests += all.length;
            counts.refused += errors;
            run.ended();
          },
        ),
        { numRuns: CASES },
      );
      const report = run.check();
      must(counts.refused > 0 && counts.refused < counts.requests, 'requests of one kind only');
      if (run.long) console.log({ ...report, ...counts });
      loop.close();
      stop.close();
    },
    60_000 + CASES * 20,
  );
});
