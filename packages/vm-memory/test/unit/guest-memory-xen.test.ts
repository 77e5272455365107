import { readdirSync } from 'node:fs';
import { guestAddress } from '@node-vmm/vm-memory';
import { GuestMemoryXen, XEN_MMAP_FOREIGN } from '@node-vmm/vm-memory/xen';
import {
  closeFd,
  EINVAL,
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
