import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bench, IORESP_READY, PORT, RAM, WINDOW } from '../harness.ts';

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const near = (...values: number[]): fc.Arbitrary<number> =>
  fc.oneof(
    fc.tuple(fc.constantFrom(...values), fc.integer({ min: 0, max: 0x210 })).map(([a, b]) => a + b),
    u32,
  );
const half = fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: u32 });

const request = fc.record({
  addrLow: near(WINDOW, RAM, PORT),
  addrHigh: half,
  dataLow: near(RAM, WINDOW),
  dataHigh: half,
  count: fc.oneof(fc.integer({ min: 0, max: 8 }), fc.constantFrom(4095, 4096, 4097), u32),
  size: fc.oneof(fc.constantFrom(1, 2, 4, 8), fc.integer({ min: 0, max: 16 }), u32),
  type: fc.oneof(fc.constantFrom(0, 1), fc.integer({ min: 0, max: 255 })),
  isRead: fc.boolean(),
  dataIsPtr: fc.boolean(),
  backwards: fc.boolean(),
});

describe('hostile requests', () => {
  it('every request is answered exactly once, whatever it holds', () => {
    fc.assert(
      fc.property(fc.array(request, { minLength: 1, maxLength: 20 }), (requests) => {
        const b = new Bench();
        requests.forEach((r, index) => {
          b.post(r, index % 2);
          expect(b.dispatcher.service(index % 2)).toBe(true);
          expect(b.page.state(index % 2)).toBe(IORESP_READY);
          expect(b.notified).toHaveLength(index + 1);
        });
        expect(b.dispatcher.counters.errors).toBe(0);
        for (const access of b.accesses) {
          const [, port, offset, size] = /^(port )?[rw](\d+)\/(\d+)/.exec(
            access,
          ) as unknown as string[];
          const length = port === undefined ? 0x200 : 0x10;
          expect(Number(offset) + Number(size)).toBeLessThanOrEqual(length);
        }
      }),
      { numRuns: 500 },
    );
  });
});
