import { readdirSync } from 'node:fs';
import { type GuestRange, guestAddress } from '@node-vmm/vm-memory';
import { GuestMemoryXen, XEN_MMAP_FOREIGN } from '@node-vmm/vm-memory/xen';
import {
  closeFd,
  EINVAL,
  EPERM,
  ESRCH,
  MAX_VIEW_LENGTH,
  Mapping,
  memfdCreate,
} from '@node-vmm/vmm-sys-util';
import {
  asDomId,
  type DomId,
  type ForeignMapper,
  type ForeignMapping,
  type Gfns,
  XenSysError,
} from '@node-vmm/xen-sys';
import { describe, expect, it } from 'vitest';
import { testGuestMemory } from '../guest-memory-rules.ts';

const DOMID = asDomId(7);
const PAGE = 4096n;

/** Maps anonymous memory for frames that `exists` says yes to, and counts what is mapped. */
class Frames implements ForeignMapper {
  live = 0;
  pages = 0;
  samples = 0;
  readonly calls: [number, bigint, number][] = [];
  readonly #exists: (gfn: bigint) => boolean;

  constructor(exists: (gfn: bigint) => boolean) {
    this.#exists = exists;
  }

  async mapAsync(domid: DomId, gfns: Gfns): Promise<ForeignMapping> {
    return this.map(domid, gfns);
  }

  map(domid: DomId, gfns: Gfns): ForeignMapping {
    const all =
      gfns instanceof BigUint64Array
        ? [...gfns]
        : Array.from({ length: gfns.count }, (_, i) => gfns.first + BigInt(i));
    const count = all.length;
    if (gfns instanceof BigUint64Array) this.samples += count;
    else this.calls.push([domid, gfns.first, count]);
    if (domid !== DOMID) {
      throw new XenSysError('NO_SUCH_DOMAIN', 'no such domain', { domid, errno: ESRCH });
    }
    const errors = Int32Array.from(all, (gfn) => (this.#exists(gfn) ? 0 : -EINVAL));
    const mapping = Mapping.create({ length: count * Number(PAGE) });
    this.live++;
    if (!(gfns instanceof BigUint64Array)) this.pages += count;
    const close = (): void => {
      if (mapping.live) this.live--;
      mapping.close();
    };
    const failed = errors.filter((error) => error !== 0).length;
    return { mapping, errors, failed, close, [Symbol.dispose]: close };
  }
}

const range = (first: bigint, last: bigint) => ({
  guestAddr: guestAddress(first * PAGE),
  length: (last + 1n - first) * PAGE,
});

testGuestMemory('GuestMemoryXen', (ranges) =>
  GuestMemoryXen.map({ domid: DOMID, ranges, mapper: new Frames(() => true) }),
);

describe('GuestMemoryXen.map', () => {
  it('maps every range, and unmaps when closed', () => {
    const mapper = new Frames(() => true);
    const ranges = [range(0x4_0000n, 0x4_00ffn), range(0x20_0000n, 0x20_0001n)];
    const memory = GuestMemoryXen.map({ domid: DOMID, ranges, mapper });
    expect(mapper.calls).toEqual([
      [7, 0x4_0000n, 256],
      [7, 0x20_0000n, 2],
    ]);
    memory.writeU32(guestAddress(0x4000_1000), 0x1234_5678);
    expect(memory.readU32(guestAddress(0x4000_1000))).toBe(0x1234_5678);
    expect(mapper.live).toBe(2);
    memory.close();
    memory.close();
    expect(mapper.live).toBe(0);
  });

  it('refuses when a page is missing: says how many, which and why, and keeps nothing', () => {
    const mapper = new Frames((gfn) => gfn < 0x90n || gfn > 0x92n);
    const ranges = [range(0x10n, 0x1fn), range(0x80n, 0xffn)];
    expect(() => GuestMemoryXen.map({ domid: DOMID, ranges, mapper })).toThrow(
      expect.objectContaining({
        name: 'VmMemoryError',
        code: 'FOREIGN_MAP_FAILED',
        context: { domid: 7, count: 3, gfn: 0x90n, errno: EINVAL },
      }),
    );
    expect(mapper.live).toBe(0);
  });

  it('tells why a domain cannot be mapped at all', () => {
    const mapper = new Frames(() => true);
    const ranges = [range(0n, 1n)];
    expect(() => GuestMemoryXen.map({ domid: asDomId(8), ranges, mapper })).toThrow(
      expect.objectContaining({
        code: 'FOREIGN_MAP_FAILED',
        context: { domid: 8, count: 2, gfn: 0n, errno: ESRCH },
        cause: expect.objectContaining({ code: 'NO_SUCH_DOMAIN' }),
      }),
    );
  });

  it.each<[string, string, { guestAddr: bigint; length: bigint | number }[]]>([
    ['BAD_REGION', 'half a page', [{ guestAddr: 0n, length: 2048 }]],
    ['BAD_REGION', 'an address within a page', [{ guestAddr: 8n, length: 4096 }]],
    ['BAD_REGION', 'nothing', [{ guestAddr: 0n, length: 0 }]],
    ['BAD_REGION', 'more than there is', [{ guestAddr: 2n ** 64n - PAGE, length: 4096 }]],
    ['OVERLAP', 'a page twice', [range(0n, 2n), range(2n, 2n)]],
  ])('refuses with %s to map %s', (code, _name, ranges) => {
    const mapper = new Frames(() => true);
    const layout = ranges.map(({ guestAddr, length }) => ({
      guestAddr: guestAddress(guestAddr),
      length,
    }));
    expect(() => GuestMemoryXen.map({ domid: DOMID, ranges: layout, mapper })).toThrow(
      expect.objectContaining({ code }),
    );
    expect(mapper.calls).toEqual([]);
  });

  it('finds out a peer that claims terabytes at the first piece', () => {
    const mapper = new Frames((gfn) => gfn < 16n);
    const ranges = [{ guestAddr: guestAddress(0), length: 2n ** 52n }];
    expect(() => GuestMemoryXen.map({ domid: DOMID, ranges, mapper })).toThrow(
      expect.objectContaining({ code: 'FOREIGN_MAP_FAILED' }),
    );
    expect(mapper.pages).toBe(MAX_VIEW_LENGTH / 4096);
    expect(mapper.live).toBe(0);
  });

  it('shares its ranges with the descriptor, of which it keeps a duplicate', () => {
    const fd = memfdCreate('privcmd', 4096);
    const before = readdirSync('/proc/self/fd').length;
    const options = { domid: DOMID, mapper: new Frames(() => true) };
    const ranges = [range(0x40n, 0x4fn), range(0x10n, 0x1fn)];
    const memory = GuestMemoryXen.map({ ...options, ranges, fd });
    const own = memory.sharedRegions[0]?.fd;
    expect(own).not.toBe(fd);
    const common = { fd: own, fdOffset: 0n, xen: { mmapFlags: XEN_MMAP_FOREIGN, domid: DOMID } };
    expect(memory.sharedRegions).toEqual([
      { guestAddr: 0x1_0000n, length: 0x1_0000n, ...common },
      { guestAddr: 0x4_0000n, length: 0x1_0000n, ...common },
    ]);
    expect(readdirSync('/proc/self/fd').length).toBe(before + 1);
    memory.close();
    expect(readdirSync('/proc/self/fd').length).toBe(before);
    closeFd(fd);
    using alone = GuestMemoryXen.map({ ...options, ranges });
    expect(alone.sharedRegions).toEqual([]);
  });

  it('reports a descriptor that is no privcmd, and leaves it to the caller', () => {
    const fd = memfdCreate('no-privcmd', 4096);
    const before = readdirSync('/proc/self/fd').length;
    const attempt = () => GuestMemoryXen.map({ domid: DOMID, ranges: [range(0n, 0n)], fd });
    expect(attempt).toThrow(expect.objectContaining({ code: 'FOREIGN_MAP_FAILED' }));
    expect(readdirSync('/proc/self/fd').length).toBe(before);
    closeFd(fd);
  });
});

describe('GuestMemoryXen.discover', () => {
  const bank = { guestAddr: guestAddress(0x4000_0000), length: 0xc000_0000n };
  const discover = async (
    exists: (gfn: bigint) => boolean,
    maxGfn: bigint,
    banks: GuestRange[] = [bank],
  ) => {
    const mapper = new Frames(exists);
    const options = { domid: DOMID, candidateRanges: banks, maxGfn, mapper };
    const memory = await GuestMemoryXen.discover(options);
    const regions = memory.regions.map(({ guestAddr, length }) => ({ guestAddr, length }));
    memory.close();
    expect(mapper.live).toBe(0);
    return { mapper, regions };
  };

  it('finds one run, and looks no further than the highest frame', async () => {
    const exists = (gfn: bigint): boolean => gfn >= 0x4_0000n && gfn < 0x4_8000n;
    const { mapper, regions } = await discover(exists, 0x4_8003n);
    expect(regions).toEqual([{ guestAddr: 0x4000_0000n, length: 0x800_0000 }]);
    expect(mapper.pages).toBe(0x8004);
  });

  it('splits at holes, wherever they are', async () => {
    const holes = [0x4_0000n, 0x4_0011n, 0x4_1fffn, 0x4_2000n, 0x4_3fffn];
    const { regions } = await discover((gfn) => !holes.includes(gfn), 0x4_4000n);
    expect(regions).toEqual([
      { guestAddr: 0x4000_1000n, length: 0x1_0000 },
      { guestAddr: 0x4001_2000n, length: 0x1fed * 4096 },
      { guestAddr: 0x4200_1000n, length: 0x1ffe * 4096 },
      { guestAddr: 0x4400_0000n, length: 4096 },
    ]);
  });

  it('looks at all banks, in ascending order', async () => {
    const high = { guestAddr: guestAddress(0x2_0000_0000), length: 0x10_0000 };
    const low = { guestAddr: guestAddress(0), length: 0x2000 };
    const next = { guestAddr: guestAddress(0x2000), length: 0x1000 };
    const { regions } = await discover(() => true, 0x20_00ffn, [high, next, low]);
    expect(regions).toEqual([
      { guestAddr: 0n, length: 0x2000 },
      { guestAddr: 0x2000n, length: 0x1000 },
      { guestAddr: 0x2_0000_0000n, length: 0x10_0000 },
    ]);
  });

  describe('where ranges are far larger than the memory in them', () => {
    const GIB = 2n ** 30n;
    const layout = [
      { guestAddr: guestAddress(0), length: 0xa_0000n },
      { guestAddr: guestAddress(0xc_0000), length: 0xf000_0000n - 0xc_0000n },
      { guestAddr: guestAddress(4n * GIB), length: 2n ** 47n },
    ];
    // Xen's special pages below 4 GiB, and something far above, as a 64-bit BAR is.
    const special = (gfn: bigint): boolean => gfn >= 0xf_eff0n && gfn < 0xf_f000n;
    const MAX = 0x4_0000_0000n;
    const find = async (ram: (address: bigint) => boolean) => {
      const mapper = new Frames((gfn) => special(gfn) || gfn === MAX || ram(gfn * PAGE));
      const options = { domid: DOMID, candidateRanges: layout, maxGfn: MAX, giveUpAfter: GIB };
      const memory = await GuestMemoryXen.discover({ ...options, mapper });
      const regions = memory.regions.map(({ guestAddr, length }) => ({ guestAddr, length }));
      memory.close();
      expect(mapper.live).toBe(0);
      return { mapper, regions };
    };

    it('asks for samples, and never for special pages', async () => {
      const end = 256n * 1024n * 1024n;
      const { mapper, regions } = await find(
        (at) => at < end && (at < 0xa_0000n || at >= 0xc_0000n),
      );
      expect(regions).toEqual([
        { guestAddr: 0n, length: 0xa_0000 },
        { guestAddr: 0xc_0000n, length: Number(end - 0xc_0000n) },
      ]);
      // 256 MiB and the rest of its last window, of 2^35 pages that the ranges have.
      expect(mapper.pages).toBeLessThan(0x1_0000 + 0x4000);
      expect(mapper.samples).toBeLessThan(16_000);
    });

    it('finds what a balloon left, and RAM above 4 GiB in few pieces', async () => {
      // One page in 100 of the second GiB, as after a balloon; all of 1 GiB above 4 GiB.
      const left = (at: bigint): boolean =>
        at < 2n * GIB && (at < GIB || (at / PAGE) % 101n === 0n);
      const { regions } = await find(
        (at) => (at >= 0x10_0000n && left(at)) || (at >= 4n * GIB && at < 5n * GIB),
      );
      const ballooned = Math.floor(0x7_ffff / 101) - Math.floor(0x3_ffff / 101);
      const pages = regions.reduce((sum, { length }) => sum + length / Number(PAGE), 0);
      expect(pages).toBe(0x4_0000 - 0x100 + ballooned + 0x4_0000);
      expect(regions[0]).toEqual({ guestAddr: 0x10_0000n, length: Number(GIB - 0x10_0000n) });
      expect(regions.at(-1)).toEqual({ guestAddr: 4n * GIB, length: Number(GIB) });
    });

    it('goes on after a hole that is not too large', async () => {
      const { regions } = await find((at) => at === 0n || at === GIB - 0x4_0000n);
      expect(regions).toEqual([
        { guestAddr: 0n, length: 4096 },
        { guestAddr: GIB - 0x4_0000n, length: 4096 },
      ]);
    });

    it('reports a guest that cannot be asked', async () => {
      const mapper = new Frames(() => true);
      const options = { candidateRanges: layout, maxGfn: MAX, giveUpAfter: GIB, mapper };
      await expect(
        GuestMemoryXen.discover({ ...options, domid: asDomId(8) }),
      ).rejects.toMatchObject({ code: 'FOREIGN_MAP_FAILED', cause: { code: 'NO_SUCH_DOMAIN' } });
      expect(mapper.live).toBe(0);
    });
  });

  it('refuses a guest without memory, and keeps nothing', async () => {
    const none = new Frames(() => false);
    const options = { domid: DOMID, candidateRanges: [bank] };
    const attempt = (mapper: Frames, maxGfn: bigint) =>
      GuestMemoryXen.discover({ ...options, maxGfn, mapper });
    await expect(attempt(none, 0x4_0100n)).rejects.toMatchObject({ code: 'FOREIGN_MAP_FAILED' });
    expect(none.live).toBe(0);
    const below = new Frames(() => true);
    await expect(attempt(below, 0x3_ffffn)).rejects.toMatchObject({ code: 'FOREIGN_MAP_FAILED' });
    expect(below.calls).toEqual([]);
  });

  it('reports a domain that is gone', async () => {
    const refuse = (domid: DomId): never => {
      throw new XenSysError('NOT_PERMITTED', 'not permitted', { domid, errno: EPERM });
    };
    const mapper: ForeignMapper = { map: refuse, mapAsync: async (domid) => refuse(domid) };
    const options = { domid: DOMID, candidateRanges: [bank], maxGfn: 0x4_0001n, mapper };
    await expect(GuestMemoryXen.discover(options)).rejects.toMatchObject({
      code: 'FOREIGN_MAP_FAILED',
      cause: { code: 'NOT_PERMITTED' },
    });
  });
});
