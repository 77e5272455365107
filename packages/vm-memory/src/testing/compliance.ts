import type { GuestAddress } from './guest-address.ts';
import { ACCESS_READ, ACCESS_READ_WRITE, type GuestMemory } from './guest-memory.ts';
import type { GuestRange } from './guest-range.ts';
import { SegmentTable } from './segment-table.ts';

/** The assertions of a test framework that the suite needs; vitest's and jest's `expect` fit. */
export interface TestFunctions {
  describe(name: string, body: () => void): void;
  it(name: string, body: () => void): void;
  expect(actual: unknown): {
    toBe(expected: unknown): void;
    toEqual(expected: unknown): void;
    toThrow(expected: unknown): void;
  };
}

const at = (value: bigint): GuestAddress => value as GuestAddress;
const TWO_32 = 0x1_0000_0000;

/** A hole, two adjacent regions, another hole, and a region over 4 GiB. */
export const COMPLIANCE_LAYOUT: readonly GuestRange[] = [
  { guestAddr: at(0x1_0000n), length: 0x2000 },
  { guestAddr: at(0x1_2000n), length: 0x1000 },
  { guestAddr: at(0x3_0000_0000n), length: 0x1000 },
];
const BORDER = 0x1_2000n;
const END = 0x1_3000n;
const HIGH = 0x3_0000_0000n;

/** One rule of `GuestMemory`, as a function that throws when `memory` breaks it. */
export interface ComplianceCase {
  readonly name: string;
  run(memory: GuestMemory, expect: TestFunctions['expect']): void;
}

const lend = (memory: GuestMemory, address: bigint, length: number, table: SegmentTable): boolean =>
  memory.lend(
    Number(address & 0xffff_ffffn),
    Number(address >> 32n),
    length,
    ACCESS_READ_WRITE,
    table,
  );

const pattern = (length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + 1) & 0xff);

const refuses = (
  expect: TestFunctions['expect'],
  code: string,
  memory: GuestMemory,
  access: (memory: GuestMemory) => unknown,
): void => {
  let thrown: unknown;
  try {
    access(memory);
  } catch (error) {
    thrown = error;
  }
  expect((thrown as { code?: unknown } | undefined)?.code).toBe(code);
};

/** The rules; `memory` is fresh, zeroed and has the {@link COMPLIANCE_LAYOUT}. */
export const COMPLIANCE_CASES: readonly ComplianceCase[] = [
  {
    name: 'lists regions in ascending order',
    run: (memory, expect) => {
      const starts = memory.regions.map((region) => region.guestAddr);
      expect(starts).toEqual([0x1_0000n, BORDER, HIGH]);
      for (const region of memory.regions) {
        expect(region.bytes.byteLength).toBe(region.length);
        expect(region.view.byteLength).toBe(region.length);
        expect(region.bytes).toBe(region.bytes);
        expect(region.hostAddress > 0).toBe(true);
      }
    },
  },
  {
    name: 'contains exactly the bytes of its regions',
    run: (memory, expect) => {
      expect(memory.contains(at(0x1_0000n), 0x3000)).toBe(true);
      expect(memory.contains(at(0x1_0000n), 0x3001)).toBe(false);
      expect(memory.contains(at(0xffffn), 1)).toBe(false);
      expect(memory.contains(at(0xffffn), 2)).toBe(false);
      expect(memory.contains(at(END), 1)).toBe(false);
      expect(memory.contains(at(HIGH), 0x1000)).toBe(true);
      expect(memory.contains(at(2n ** 64n - 1n), 1)).toBe(false);
      expect(memory.contains(at(2n ** 64n - 1n), 2)).toBe(false);
    },
  },
  {
    name: 'reads back what it wrote, across a region border',
    run: (memory, expect) => {
      for (const length of [1, 31, 32, 33, 600, 0x3000]) {
        const start = length === 0x3000 ? 0x1_0000n : BORDER - BigInt(length >> 1);
        const source = pattern(length);
        const target = new Uint8Array(length);
        memory.write(at(start), source);
        memory.read(at(start), target);
        expect(target).toEqual(source);
      }
    },
  },
  {
    name: 'reads and writes integers in little endian, across a region border',
    run: (memory, expect) => {
      for (const address of [0x1_0101n, BORDER - 1n, HIGH]) {
        memory.writeU64(at(address), 0x8877_6655_4433_2211n);
        expect(memory.readU8(at(address))).toBe(0x11);
        expect(memory.readU16(at(address))).toBe(0x2211);
        expect(memory.readU32(at(address))).toBe(0x4433_2211);
        expect(memory.readU64(at(address))).toBe(0x8877_6655_4433_2211n);
        memory.writeU32(at(address), 0xdead_beef);
        expect(memory.readU32(at(address))).toBe(0xdead_beef);
        memory.writeU16(at(address), 0xabcd);
        expect(memory.readU16(at(address))).toBe(0xabcd);
        memory.writeU8(at(address), 0xfe);
        expect(memory.readU8(at(address))).toBe(0xfe);
      }
    },
  },
  {
    name: 'refuses what is outside, and writes none of it',
    run: (memory, expect) => {
      for (const address of [0n, 0xffffn, END - 1n, END, HIGH + 0xfffn, 2n ** 64n - 1n]) {
        refuses(expect, 'OUT_OF_RANGE', memory, (m) => m.read(at(address), new Uint8Array(2)));
        refuses(expect, 'OUT_OF_RANGE', memory, (m) =>
          m.write(at(address), new Uint8Array(2).fill(9)),
        );
        refuses(expect, 'OUT_OF_RANGE', memory, (m) => m.readU16(at(address)));
        refuses(expect, 'OUT_OF_RANGE', memory, (m) => m.readU32(at(address)));
        refuses(expect, 'OUT_OF_RANGE', memory, (m) => m.readU64(at(address)));
        refuses(expect, 'OUT_OF_RANGE', memory, (m) => m.writeU16(at(address), 0x909));
        refuses(expect, 'OUT_OF_RANGE', memory, (m) => m.writeU32(at(address), 0x909));
        refuses(expect, 'OUT_OF_RANGE', memory, (m) => m.writeU64(at(address), 0x909n));
        refuses(expect, 'OUT_OF_RANGE', memory, (m) => m.slice(at(address), 2, ACCESS_READ));
      }
      refuses(expect, 'OUT_OF_RANGE', memory, (m) => m.readU8(at(END)));
      refuses(expect, 'OUT_OF_RANGE', memory, (m) => m.writeU8(at(END), 9));
      expect(memory.readU8(at(END - 1n))).toBe(0);
      expect(memory.readU8(at(HIGH + 0xfffn))).toBe(0);
    },
  },
  {
    name: 'lends runs within a region as slices',
    run: (memory, expect) => {
      const slice = memory.slice(at(0x1_0100n), 0x100, ACCESS_READ_WRITE);
      expect(slice.guestAddr).toBe(0x1_0100n);
      expect(slice.length).toBe(0x100);
      slice.bytes[3] = 0x42;
      expect(memory.readU8(at(0x1_0103n))).toBe(0x42);
      expect(slice.view.getUint8(3)).toBe(0x42);
      slice.release();
      slice.release();
      refuses(expect, 'CLOSED', memory, () => slice.bytes);
      refuses(expect, 'NOT_CONTIGUOUS', memory, (m) => m.slice(at(BORDER - 1n), 2, ACCESS_READ));
      refuses(expect, 'OUT_OF_RANGE', memory, (m) => m.slice(at(0x1_0000n), 0, ACCESS_READ));
    },
  },
  {
    name: 'lends pieces for the data path',
    run: (memory, expect) => {
      const table = new SegmentTable(4);
      expect(lend(memory, 0x1_0010n, 0x20, table)).toBe(true);
      expect(lend(memory, BORDER - 4n, 8, table)).toBe(true);
      expect(lend(memory, HIGH + 0xfffn, 1, table)).toBe(true);
      expect(table.count).toBe(4);
      expect([0, 1, 2, 3].map((i) => table.lengthAt(i))).toEqual([0x20, 4, 4, 1]);
      memory.write(at(BORDER - 4n), pattern(8));
      expect(table.bytesAt(1)).toEqual(pattern(8).subarray(0, 4));
      expect(table.bytesAt(2)).toEqual(pattern(8).subarray(4));
      for (let i = 0; i < 4; i++) {
        const [low = 0, high = 0, length] = table.iovecs.subarray(4 * i, 4 * i + 3);
        expect(high * TWO_32 + low).toBe(table.regionAt(i).hostAddress + table.offsetAt(i));
        expect(length).toBe(table.lengthAt(i));
      }
      memory.giveBack(table, 0, 4);
    },
  },
  {
    name: 'lends all or nothing',
    run: (memory, expect) => {
      const table = new SegmentTable(2);
      expect(lend(memory, 0x1_0000n, 1, table)).toBe(true);
      for (const [address, length] of [
        [END - 1n, 2],
        [END, 1],
        [0xffffn, 2],
        [0x1_0000n, 0],
        [0x1_0000n, 0xffff_ffff],
        [2n ** 64n - 1n, 0xffff_ffff],
        // Two pieces, and room for one.
        [BORDER - 1n, 2],
      ] as const) {
        expect(lend(memory, address, length, table)).toBe(false);
        expect(table.count).toBe(1);
      }
      memory.giveBack(table, 0, 1);
    },
  },
  {
    name: 'refuses everything once closed',
    run: (memory, expect) => {
      const [region] = memory.regions;
      const slice = memory.slice(at(0x1_0000n), 16, ACCESS_READ);
      const table = new SegmentTable(1);
      expect(lend(memory, 0x1_0000n, 1, table)).toBe(true);
      memory[Symbol.dispose]();
      memory[Symbol.dispose]();
      expect(memory.contains(at(0x1_0000n), 1)).toBe(false);
      refuses(expect, 'OUT_OF_RANGE', memory, (m) => m.readU32(at(0x1_0000n)));
      refuses(expect, 'CLOSED', memory, () => region?.bytes);
      refuses(expect, 'CLOSED', memory, () => region?.view);
      refuses(expect, 'CLOSED', memory, () => slice.bytes);
      refuses(expect, 'CLOSED', memory, () => table.bytesAt(0));
      memory.giveBack(table, 0, 1);
      table.truncate(0);
      expect(lend(memory, 0x1_0000n, 1, table)).toBe(false);
    },
  },
];

/**
 * Registers the suite with a test framework.
 *
 * @param name - of the implementation
 * @param create - makes a fresh memory with the given layout, zeroed
 */
export function describeGuestMemory(
  name: string,
  create: (layout: readonly GuestRange[]) => GuestMemory,
  { describe, it, expect }: TestFunctions,
): void {
  describe(`${name} keeps the rules of GuestMemory`, () => {
    for (const rule of COMPLIANCE_CASES) {
      it(rule.name, () => {
        const memory = create(COMPLIANCE_LAYOUT);
        try {
          rule.run(memory, expect);
        } finally {
          memory[Symbol.dispose]();
        }
      });
    }
  });
}
