// What the bridge maps of a domain: Linux keeps the list of such a mapping's pages for as long as any of it is there.
import {
  ACCESS_READ_WRITE,
  type GuestSlice,
  guestAddress,
  LEND_READY,
  SegmentTable,
} from '@node-vmm/vm-memory';
import { ForeignKernel } from '@node-vmm/vm-memory/testing';
import { GuestMemoryXen, XenBankMemory } from '@node-vmm/vm-memory/xen';
import { closeFd, type Fd, memfdCreate } from '@node-vmm/vmm-sys-util';
import { asDomId } from '@node-vmm/xen-sys';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, it } from 'vitest';

const PAGE = 4096;
const LOW = 0x4000_0000n;
const PAGES = 4096;
const SIZE = PAGES * PAGE;
const DOMID = asDomId(7);
const banks = [{ guestAddr: guestAddress(LOW), length: SIZE }];

const frameAt = (page: number): bigint => LOW / BigInt(PAGE) + BigInt(page);

let fd: Fd;
let kernel: ForeignKernel;

beforeEach(async () => {
  fd = memfdCreate('domain', SIZE);
  kernel = await ForeignKernel.start(fd, LOW, SIZE);
});
afterEach(() => {
  kernel[Symbol.dispose]();
  closeFd(fd);
});

const step = fc.record({
  do: fc.constantFrom('read', 'lend', 'slice', 'back', 'renew', 'extents', 'take', 'give', 'away'),
  page: fc.oneof(fc.constantFrom(0, 255, 256, 511, 512, PAGES - 1), fc.nat(PAGES - 1)),
  pages: fc.integer({ min: 1, max: 600 }),
});

it('goes whole or not at all, whatever is looked at and lent, and all of it in the end', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      kernel.missing.clear();
      kernel.pagedOut.clear();
      const memory = await XenBankMemory.of({ domid: DOMID, fd, banks });
      const slices: GuestSlice[] = [];
      const table = new SegmentTable(64);
      for (const { do: what, page, pages } of steps) {
        const address = Number(LOW) + page * PAGE + 8;
        const length = Math.min(pages, PAGES - page) * PAGE - 8;
        const there = rangeIsThere(page, Math.min(pages, PAGES - page));
        if (what === 'take') kernel.missing.add(frameAt(page));
        else if (what === 'give') kernel.missing.delete(frameAt(page));
        else if (what === 'away') kernel.pagedOut.set(frameAt(page), 2);
        else if (what === 'renew') memory.renew();
        else if (what === 'extents') await memory.extents();
        else if (what === 'read') quietly(() => memory.readU32(guestAddress(BigInt(address))));
        else if (what === 'lend') {
          const lent = memory.lend(address, 0, length, ACCESS_READ_WRITE, table) === LEND_READY;
          // One page that Xen refused is enough; so is too much that is on loan.
          if (lent) expect(there).toBe(true);
        } else if (what === 'slice') {
          const at = guestAddress(BigInt(address));
          quietly(() => slices.push(memory.slice(at, length, ACCESS_READ_WRITE)));
        } else {
          slices.shift()?.release();
          memory.giveBack(table, 0, table.count);
          table.truncate(0);
        }
        expect(kernel.violations).toEqual([]);
      }
      memory.close();
      expect(kernel.live).toBe(0);
      expect(kernel.violations).toEqual([]);
    }),
    { numRuns: 60, interruptAfterTimeLimit: 30_000 },
  );
  expect(kernel.counts.made).toBeGreaterThan(100);
}, 60_000);

it('is let go of whole where a page is missing half way, or the domain is mapped whole', () => {
  const map = () => GuestMemoryXen.map({ domid: DOMID, fd, ranges: banks });
  using whole = map();
  expect(kernel.live).toBe(PAGES / 256);
  whole.vacate();
  kernel.missing.add(frameAt(PAGES / 2 + 3));
  expect(map).toThrow(expect.objectContaining({ code: 'FOREIGN_MAP_FAILED' }));
  expect([kernel.live, kernel.violations]).toEqual([0, []]);
});

/** Whether each of the pages is one that the domain has. */
function rangeIsThere(page: number, pages: number): boolean {
  for (let i = page; i < page + pages; i++) if (kernel.missing.has(frameAt(i))) return false;
  return true;
}

/** What is not there may be refused. */
function quietly(look: () => unknown): void {
  try {
    look();
  } catch (error) {
    expect(error).toMatchObject({ code: 'OUT_OF_RANGE' });
  }
}
