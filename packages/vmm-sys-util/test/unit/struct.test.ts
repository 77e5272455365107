import { describe, expect, it } from 'vitest';
import { bytes, i32, struct, u8, u16le, u32le, u64le } from '../../src/index.ts';

const SAMPLE = struct(
  'sample',
  { a: u64le(0), b: u32le(8), c: u16le(12), d: u8(14), e: i32(16), f: bytes(20, 4) },
  { size: 24 },
);

describe('struct', () => {
  it('gives size and offsets', () => {
    expect(SAMPLE.SIZE).toBe(24);
    expect(SAMPLE.OFFSETS).toEqual({ a: 0, b: 8, c: 12, d: 14, e: 16, f: 20 });
  });

  it('encodes and decodes every kind of field', () => {
    const values = {
      a: 0x1122334455667788n,
      b: 0xaabbccdd,
      c: 0x0102,
      d: 0xff,
      e: -2,
      f: Uint8Array.of(1, 2, 3, 4),
    };
    const encoded = SAMPLE.encode(values);
    expect(Buffer.from(encoded).toString('hex')).toBe(
      '8877665544332211ddccbbaa0201ff00feffffff01020304',
    );
    expect(SAMPLE.decode(encoded)).toEqual(values);
  });

  it('decodes at an offset of a view that does not start at its buffer', () => {
    const buffer = new Uint8Array(64);
    buffer.set(SAMPLE.encode({ b: 7, f: Uint8Array.of(9) }), 24);
    const view = new DataView(buffer.buffer, 8);
    expect(SAMPLE.read(view, 16)).toMatchObject({ b: 7, f: Uint8Array.of(9, 0, 0, 0) });
    expect(SAMPLE.get(view, 16, 'b')).toBe(7);
    expect(SAMPLE.getBig(view, 16, 'a')).toBe(0n);
  });

  it('leaves fields that are not written', () => {
    const out = SAMPLE.encode({ b: 1, c: 2 });
    SAMPLE.write(new DataView(out.buffer), 0, { c: 3 });
    expect(SAMPLE.decode(out)).toMatchObject({ b: 1, c: 3 });
  });

  it('refuses overlapping fields, fields over the size and bytes that do not fit', () => {
    expect(() => struct('x', { a: u32le(0), b: u16le(2) }, { size: 8 })).toThrow(/"b" overlaps/);
    expect(() => struct('x', { a: u64le(4) }, { size: 8 })).toThrow(/over its size 8/);
    expect(() => SAMPLE.encode({ f: new Uint8Array(5) })).toThrow(RangeError);
    expect(() => SAMPLE.encode({ nope: 1 } as never)).toThrow(/no field "nope"/);
  });
});
