import {
  ACCESS_READ_WRITE,
  guestAddress,
  LEND_FAULT,
  LEND_READY,
  SegmentTable,
} from '@node-vmm/vm-memory';
import { GuestMemoryBuffer } from '@node-vmm/vm-memory/testing';
import fc from 'fast-check';
import { expect, it } from 'vitest';

// Regions within [0, SPAN), so that a plain array is the model.
const SPAN = 0x400;

const layouts = fc
  .array(fc.record({ gap: fc.nat(40), length: fc.integer({ min: 1, max: 90 }) }), { maxLength: 8 })
  .map((parts) => {
    let at = 0;
    return parts
      .map(({ gap, length }) => {
        // A third of the regions follow the one before directly.
        const start = at + (gap % 3 === 0 ? 0 : gap);
        at = start + length;
        return { guestAddr: guestAddress(start), length };
      })
      .filter(({ guestAddr, length }) => Number(guestAddr) + length <= SPAN);
  });

const accesses = fc.array(
  fc.record({
    at: fc.oneof(fc.nat(SPAN), fc.constantFrom(0xffff_ffff, 2 ** 40, Number.MAX_SAFE_INTEGER)),
    length: fc.nat(200),
    fill: fc.integer({ min: 1, max: 255 }),
  }),
  { maxLength: 40 },
);

it('agrees with a plain array on what exists, what is read and what is written', () => {
  fc.assert(
    fc.property(layouts, accesses, (layout, steps) => {
      using memory = GuestMemoryBuffer.create(layout);
      const model: (number | undefined)[] = new Array(SPAN).fill(undefined);
      for (const { guestAddr, length } of layout) {
        model.fill(0, Number(guestAddr), Number(guestAddr) + length);
      }
      const table = new SegmentTable(16);
      for (const { at, length, fill } of steps) {
        const window = Array.from({ length }, (_, i) => model[at + i]);
        const exists = window.every((byte) => byte !== undefined);
        expect(memory.contains(guestAddress(at), length)).toBe(exists);

        table.truncate(0);
        const lent = memory.lend(
          at >>> 0,
          Math.floor(at / 2 ** 32),
          length,
          ACCESS_READ_WRITE,
          table,
        );
        expect(lent).toBe(exists && length > 0 ? LEND_READY : LEND_FAULT);
        const pieces = Array.from({ length: table.count }, (_, i) => [...table.bytesAt(i)]).flat();
        expect(pieces).toEqual(lent === LEND_READY ? window : []);

        const target = new Uint8Array(length);
        if (exists) {
          memory.read(guestAddress(at), target);
          expect([...target]).toEqual(window);
          memory.write(guestAddress(at), target.fill(fill));
          model.fill(fill, at, at + length);
        } else {
          const access = () => memory.write(guestAddress(at), target.fill(fill));
          expect(access).toThrow(expect.objectContaining({ code: 'OUT_OF_RANGE' }));
        }
      }
      for (let i = 0; i < SPAN; i++) {
        const byte = model[i];
        if (byte !== undefined) expect(memory.readU8(guestAddress(i))).toBe(byte);
      }
    }),
  );
});
