import {
  ACCESS_READ,
  guestAddress,
  LEND_FAULT,
  LEND_NOT_YET,
  LEND_READY,
  SegmentTable,
} from '@node-vmm/vm-memory';
import { GuestMemoryBuffer, TardyMemory } from '@node-vmm/vm-memory/testing';
import { expect, it } from 'vitest';

it('answers not yet for what is late, and tells once when it is there', () => {
  const mapped = GuestMemoryBuffer.create([{ guestAddr: guestAddress(0), length: 0x1000 }]);
  using memory = new TardyMemory(mapped);
  const table = new SegmentTable(4);
  const lend = (address: number, length: number) =>
    memory.lend(address, 0, length, ACCESS_READ, table);
  memory.delay(guestAddress(0x100), 0x10);
  let told = 0;
  memory.whenReady(() => told++);
  expect([lend(0xff, 1), lend(0xff, 2), lend(0x10f, 1), lend(0x110, 1)]).toEqual([
    LEND_READY,
    LEND_NOT_YET,
    LEND_NOT_YET,
    LEND_READY,
  ]);
  expect(lend(0x1000, 1)).toBe(LEND_FAULT);
  expect(table.count).toBe(2);
  expect(() => memory.slice(guestAddress(0xf0), 0x20, ACCESS_READ)).toThrow(
    expect.objectContaining({ code: 'NOT_YET' }),
  );
  expect([told, memory.waiting]).toEqual([0, 1]);
  memory.arrive();
  memory.arrive();
  expect([told, memory.waiting]).toEqual([1, 0]);
  expect(lend(0xff, 2)).toBe(LEND_READY);
  memory.slice(guestAddress(0xf0), 0x20, ACCESS_READ).release();
});

it('tells nobody once it is disposed of', () => {
  const memory = new TardyMemory(GuestMemoryBuffer.create([]));
  memory.whenReady(() => {
    throw new Error('told');
  });
  memory[Symbol.dispose]();
  memory.arrive();
  expect(memory.waiting).toBe(0);
});
