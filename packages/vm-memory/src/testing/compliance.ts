import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import type { ComplianceCase } from '@node-vmm/vmm-sys-util/testing';
import { VmMemoryError } from '../errors.ts';
import type { GuestAddress } from '../guest-address.ts';
import {
  ACCESS_READ,
  ACCESS_READ_WRITE,
  type GuestMemory,
  LEND_FAULT,
  LEND_READY,
  type LendResult,
} from '../guest-memory.ts';
import type { GuestRange } from '../guest-range.ts';
import { SegmentTable } from '../segment-table.ts';

const at = (value: bigint): GuestAddress => value as GuestAddress;
const TWO_32 = 0x1_0000_0000;

/** Ours: a hole, two adjacent regions, another hole, and a region over 4 GiB. */
export const COMPLIANCE_LAYOUT: readonly GuestRange[] = [
  { guestAddr: at(0x1_0000n), length: 0x2000 },
  { guestAddr: at(0x1_2000n), length: 0x1000 },
  { guestAddr: at(0x3_0000_0000n), length: 0x1000 },
];
const BORDER = 0x1_2000n;
const END = 0x1_3000n;
const HIGH = 0x3_0000_0000n;

/** One rule of `GuestMemory`, as a function that throws when `memory` breaks it. */
export interface GuestMemoryComplianceCase extends ComplianceCase<GuestMemory> {
  run(memory: GuestMemory): void;
}

const lend = (
  memory: GuestMemory,
  address: bigint,
  length: number,
  table: SegmentTable,
): LendResult =>
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
  code: string,
  memory: GuestMemory,
  access: (memory: GuestMemory) => unknown,
): void =>
  throws(
    () => access(memory),
    (error) => {
      ok(VmMemoryError.is(error), `expected a VmMemoryError, got ${String(error)}`);
      equal(error.code, code, error.message);
      return true;
    },
  );

/**
 * The suite, as data: run each case with any test runner. `memory` is fresh, zeroed and has the {@link COMPLIANCE_LAYOUT}.
 */
export const guestMemoryComplianceCases: readonly GuestMemoryComplianceCase[] = [
  {
    section: 'regions',
    name: 'lists regions in ascending order',
    run: (memory) => {
      const starts = memory.regions.map((region) => region.guestAddr);
      // What is mapped on demand has none that is always mapped.
      if (starts.length > 0) deepEqual(starts, [0x1_0000n, BORDER, HIGH]);
      for (const region of memory.regions) {
        equal(region.bytes.byteLength, region.length);
        equal(region.view.byteLength, region.length);
        equal(region.bytes, region.bytes);
        equal(region.hostAddress > 0, true);
      }
    },
  },
  {
    section: 'regions',
    name: 'contains exactly the bytes of its regions',
    run: (memory) => {
      equal(memory.contains(at(0x1_0000n), 0x3000), true);
      equal(memory.contains(at(0x1_0000n), 0x3001), false);
      equal(memory.contains(at(0xffffn), 1), false);
      equal(memory.contains(at(0xffffn), 2), false);
      equal(memory.contains(at(END), 1), false);
      equal(memory.contains(at(HIGH), 0x1000), true);
      equal(memory.contains(at(2n ** 64n - 1n), 1), false);
      equal(memory.contains(at(2n ** 64n - 1n), 2), false);
    },
  },
  {
    section: 'copies',
    name: 'reads back what it wrote, across a region border',
    run: (memory) => {
      for (const length of [1, 31, 32, 33, 600, 0x3000]) {
        const start = length === 0x3000 ? 0x1_0000n : BORDER - BigInt(length >> 1);
        const source = pattern(length);
        const target = new Uint8Array(length);
        memory.write(at(start), source);
        memory.read(at(start), target);
        deepEqual(target, source);
      }
    },
  },
  {
    section: 'copies',
    name: 'reads and writes integers in little endian, across a region border',
    run: (memory) => {
      for (const address of [0x1_0101n, BORDER - 1n, HIGH]) {
        memory.writeU64(at(address), 0x8877_6655_4433_2211n);
        equal(memory.readU8(at(address)), 0x11);
        equal(memory.readU16(at(address)), 0x2211);
        equal(memory.readU32(at(address)), 0x4433_2211);
        equal(memory.readU64(at(address)), 0x8877_6655_4433_2211n);
        memory.writeU32(at(address), 0xdead_beef);
        equal(memory.readU32(at(address)), 0xdead_beef);
        memory.writeU16(at(address), 0xabcd);
        equal(memory.readU16(at(address)), 0xabcd);
        memory.writeU8(at(address), 0xfe);
        equal(memory.readU8(at(address)), 0xfe);
      }
    },
  },
  {
    section: 'copies',
    name: 'refuses what is outside, and writes none of it',
    run: (memory) => {
      for (const address of [0n, 0xffffn, END - 1n, END, HIGH + 0xfffn, 2n ** 64n - 1n]) {
        refuses('OUT_OF_RANGE', memory, (m) => m.read(at(address), new Uint8Array(2)));
        refuses('OUT_OF_RANGE', memory, (m) => m.write(at(address), new Uint8Array(2).fill(9)));
        refuses('OUT_OF_RANGE', memory, (m) => m.readU16(at(address)));
        refuses('OUT_OF_RANGE', memory, (m) => m.readU32(at(address)));
        refuses('OUT_OF_RANGE', memory, (m) => m.readU64(at(address)));
        refuses('OUT_OF_RANGE', memory, (m) => m.writeU16(at(address), 0x909));
        refuses('OUT_OF_RANGE', memory, (m) => m.writeU32(at(address), 0x909));
        refuses('OUT_OF_RANGE', memory, (m) => m.writeU64(at(address), 0x909n));
        refuses('OUT_OF_RANGE', memory, (m) => m.slice(at(address), 2, ACCESS_READ));
      }
      refuses('OUT_OF_RANGE', memory, (m) => m.readU8(at(END)));
      refuses('OUT_OF_RANGE', memory, (m) => m.writeU8(at(END), 9));
      equal(memory.readU8(at(END - 1n)), 0);
      equal(memory.readU8(at(HIGH + 0xfffn)), 0);
    },
  },
  {
    section: 'slice',
    name: 'lends runs within a region as slices',
    run: (memory) => {
      const slice = memory.slice(at(0x1_0100n), 0x100, ACCESS_READ_WRITE);
      equal(slice.guestAddr, 0x1_0100n);
      equal(slice.length, 0x100);
      slice.bytes[3] = 0x42;
      equal(memory.readU8(at(0x1_0103n)), 0x42);
      equal(slice.view.getUint8(3), 0x42);
      slice.release();
      slice.release();
      refuses('CLOSED', memory, () => slice.bytes);
      refuses('NOT_CONTIGUOUS', memory, (m) => m.slice(at(BORDER - 1n), 2, ACCESS_READ));
      refuses('OUT_OF_RANGE', memory, (m) => m.slice(at(0x1_0000n), 0, ACCESS_READ));
    },
  },
  {
    section: 'lend',
    name: 'lends pieces for the data path',
    run: (memory) => {
      const table = new SegmentTable(4);
      equal(lend(memory, 0x1_0010n, 0x20, table), LEND_READY);
      equal(lend(memory, BORDER - 4n, 8, table), LEND_READY);
      equal(lend(memory, HIGH + 0xfffn, 1, table), LEND_READY);
      equal(table.count, 4);
      deepEqual(
        [0, 1, 2, 3].map((i) => table.lengthAt(i)),
        [0x20, 4, 4, 1],
      );
      memory.write(at(BORDER - 4n), pattern(8));
      deepEqual(table.bytesAt(1), pattern(8).subarray(0, 4));
      deepEqual(table.bytesAt(2), pattern(8).subarray(4));
      for (let i = 0; i < 4; i++) {
        const [low = 0, high = 0, length] = table.iovecs.subarray(4 * i, 4 * i + 3);
        equal(high * TWO_32 + low, table.regionAt(i).hostAddress + table.offsetAt(i));
        equal(length, table.lengthAt(i));
      }
      memory.giveBack(table, 0, 4);
    },
  },
  {
    section: 'lend',
    name: 'lends all or nothing',
    run: (memory) => {
      const table = new SegmentTable(2);
      equal(lend(memory, 0x1_0000n, 1, table), LEND_READY);
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
        equal(lend(memory, address, length, table), LEND_FAULT);
        equal(table.count, 1);
      }
      memory.giveBack(table, 0, 1);
    },
  },
  {
    section: 'disposal',
    name: 'refuses everything once closed',
    run: (memory) => {
      const [region] = memory.regions;
      const slice = memory.slice(at(0x1_0000n), 16, ACCESS_READ);
      const table = new SegmentTable(1);
      equal(lend(memory, 0x1_0000n, 1, table), LEND_READY);
      memory[Symbol.dispose]();
      memory[Symbol.dispose]();
      equal(memory.contains(at(0x1_0000n), 1), false);
      refuses('OUT_OF_RANGE', memory, (m) => m.readU32(at(0x1_0000n)));
      if (region !== undefined) {
        refuses('CLOSED', memory, () => region.bytes);
        refuses('CLOSED', memory, () => region.view);
      }
      refuses('CLOSED', memory, () => slice.bytes);
      refuses('CLOSED', memory, () => table.bytesAt(0));
      memory.giveBack(table, 0, 1);
      table.truncate(0);
      equal(lend(memory, 0x1_0000n, 1, table), LEND_FAULT);
    },
  },
];
