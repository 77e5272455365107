import {
  ACCESS_READ,
  ACCESS_READ_WRITE,
  type GuestRange,
  guestAddress,
  LEND_FAULT,
  LEND_READY,
  SegmentTable,
} from '@node-vmm/vm-memory';
import { COMPLIANCE_LAYOUT, guestMemoryComplianceCases } from '@node-vmm/vm-memory/testing';
import { XEN_MMAP_FOREIGN, XenBankMemory } from '@node-vmm/vm-memory/xen';
import { asFd } from '@node-vmm/vmm-sys-util';
import type { ForeignMapper, Gfns } from '@node-vmm/xen-sys';
import { type FakeDomain, FakeXen } from '@node-vmm/xen-sys/testing';
import { afterEach, describe, expect, it } from 'vitest';

const PAGE = 4096;
const MIB = 0x10_0000;
const LOW = 0x4000_0000n;
const HIGH = 0x2_0000_0000n;
const ARM = [
  { guestAddr: guestAddress(LOW), length: 0xc000_0000n },
  { guestAddr: guestAddress(HIGH), length: 0xfe_0000_0000n },
];

const open: Disposable[] = [];
afterEach(() => {
  for (const it of open.splice(0).reverse()) it[Symbol.dispose]();
});

/** Counts frames that are asked for. */
function counting(mapper: ForeignMapper): { mapper: ForeignMapper; asked: () => number } {
  let asked = 0;
  const count = (gfns: Gfns): void => {
    asked += gfns instanceof BigUint64Array ? gfns.length : gfns.count;
  };
  return {
    asked: () => asked,
    mapper: {
      map: (domid, gfns, prot) => {
        count(gfns);
        return mapper.map(domid, gfns, prot);
      },
      mapAsync: (domid, gfns, prot) => {
        count(gfns);
        return mapper.mapAsync(domid, gfns, prot);
      },
    },
  };
}

function fake(...banks: { base: bigint; length: number }[]) {
  const xen = new FakeXen();
  const host = xen.host();
  open.push(xen, host);
  const domain = xen.addDomain(3, { banks });
  // This machine has no privcmd to duplicate; any descriptor can be shared.
  const source = { domid: domain.domid, mapper: host.memory, fd: asFd(0) };
  return { xen, host, domain, source };
}

const banksOf = (memory: XenBankMemory): [bigint, bigint][] =>
  memory.sharedRegions.map(({ guestAddr, length }) => [guestAddr, length]);

const frame = (address: bigint): bigint => address / BigInt(PAGE);

function known(ranges: readonly GuestRange[]) {
  const banks = ranges.map(({ guestAddr, length }) => ({
    base: guestAddr as bigint,
    length: Number(length),
  }));
  return fake(...banks);
}

describe('XenBankMemory keeps the rules of GuestMemory', () => {
  it.each([...guestMemoryComplianceCases])('$section: $name', async ({ run }) => {
    const { source, xen } = known(COMPLIANCE_LAYOUT);
    const memory = await XenBankMemory.of({ ...source, banks: COMPLIANCE_LAYOUT });
    run(memory);
    memory.close();
    expect(xen.privcmd.openMappings).toBe(0);
  });

  it('disposal: keeps nothing mapped', async () => {
    const { source, xen } = known(COMPLIANCE_LAYOUT);
    const memory = await XenBankMemory.of({ ...source, banks: COMPLIANCE_LAYOUT });
    const at = guestAddress(0x1_0000);
    memory.slice(at, 16, ACCESS_READ);
    const table = new SegmentTable(1);
    expect(memory.lend(0x1_0000, 0, 1, ACCESS_READ, table)).toBe(LEND_READY);
    expect(memory.readU32(at)).toBe(0);
    expect(xen.privcmd.openMappings).toBe(3);
    memory.close();
    expect(xen.privcmd.openMappings).toBe(0);
  });
});

describe('XenBankMemory', () => {
  const find = (
    { source, host, domain }: ReturnType<typeof fake>,
    mapper: ForeignMapper = source.mapper,
  ) =>
    XenBankMemory.find({
      ...source,
      mapper,
      candidateRanges: ARM,
      maxPages: host.maximumReservation(domain.domid),
    });

  it('finds banks by what the guest may have, maps nothing for it, and shares them with their domain', async () => {
    const guest = fake({ base: LOW, length: 128 * MIB });
    const memory = await find(guest);
    open.push(memory);
    // And what the toolstack adds to the reservation.
    expect(banksOf(memory)).toEqual([[LOW, BigInt(129 * MIB)]]);
    expect(memory.sharedRegions[0]?.xen).toEqual({ mmapFlags: XEN_MMAP_FOREIGN, domid: 3 });
    expect(guest.xen.privcmd.openMappings).toBe(0);
  });

  it('asks for no more than the reservation where a guest has a page at a high address', async () => {
    const guest = fake({ base: LOW, length: 128 * MIB }, { base: 0xff_ff00_0000n, length: PAGE });
    const { mapper, asked } = counting(guest.source.mapper);
    const memory = await find(guest, mapper);
    open.push(memory);
    expect(guest.host.maximumGpfn(guest.domain.domid)).toBe(0xfff_f000n);
    expect(banksOf(memory)).toHaveLength(1);
    expect(asked()).toBeLessThan(1024);
  });

  it.each([
    ['at the beginning of it', HIGH, 64 * MIB],
    ['of one page', HIGH, PAGE],
    ['far within', HIGH + 0x80_0000_0000n, 64 * MIB],
    ['at its end', HIGH + 0xfc_0000_0000n, 64 * MIB],
  ])(
    'looks at few pages of a guest that may have 1 TiB, and has some %s',
    async (_, base, length) => {
      const guest = fake({ base: LOW, length: 128 * MIB }, { base, length });
      const { mapper, asked } = counting(guest.source.mapper);
      const maxPages = 2n ** 28n;
      const { heapUsed } = process.memoryUsage();
      const memory = await XenBankMemory.find({
        ...guest.source,
        mapper,
        candidateRanges: ARM,
        maxPages,
      });
      open.push(memory);
      expect(banksOf(memory)).toEqual([
        [LOW, 0xc000_0000n],
        [HIGH, 0xfe_0000_0000n],
      ]);
      // One in 256 KiB would be four million.
      expect(asked()).toBeLessThan(96 * 1024);
      expect(process.memoryUsage().heapUsed - heapUsed).toBeLessThan(128 * MIB);
      // Where it has memory and where it has none.
      guest.domain.ram(base, 4).set([1, 2, 3, 4]);
      expect(memory.readU32(guestAddress(base))).toBe(0x0403_0201);
      expect(() => memory.readU32(guestAddress(HIGH + 0x40_0000_0000n))).toThrow(
        expect.objectContaining({ code: 'OUT_OF_RANGE' }),
      );
      expect(guest.xen.privcmd.openMappings).toBe(1);
    },
  );

  it('leaves out a bank of 1 TiB in which a guest has nothing, after few pages', async () => {
    const guest = fake({ base: LOW, length: 128 * MIB });
    const { mapper, asked } = counting(guest.source.mapper);
    const options = { ...guest.source, mapper, candidateRanges: ARM, maxPages: 2n ** 28n };
    const memory = await XenBankMemory.find(options);
    open.push(memory);
    expect(banksOf(memory)).toEqual([[LOW, 0xc000_0000n]]);
    expect(asked()).toBeLessThan(96 * 1024);
  });

  it('has holes in its banks, where nothing can be read until the guest has memory there', async () => {
    const guest = fake({ base: LOW, length: 128 * MIB });
    const hole = LOW + BigInt(64 * MIB);
    guest.domain.balloon(frame(hole), 64 * 256, true);
    const memory = await find(guest);
    open.push(memory);
    expect(banksOf(memory)).toEqual([[LOW, BigInt(129 * MIB)]]);
    expect(memory.contains(guestAddress(hole), 4)).toBe(true);
    const table = new SegmentTable(4);
    const low = Number(hole);
    expect(() => memory.readU32(guestAddress(hole))).toThrow(
      expect.objectContaining({ code: 'OUT_OF_RANGE' }),
    );
    expect(memory.lend(low - PAGE, 0, 2 * PAGE, ACCESS_READ, table)).toBe(LEND_FAULT);
    expect(() => memory.slice(guestAddress(hole), 8, ACCESS_READ)).toThrow();
    guest.domain.balloon(frame(hole), 64 * 256, false);
    guest.domain.ram(hole, 4).set([1, 2, 3, 4]);
    expect(memory.readU32(guestAddress(hole))).toBe(0x0403_0201);
  });

  it('tells the memory in its banks, a chunk mapped at a time', async () => {
    const guest = fake({ base: LOW, length: 8 * MIB });
    guest.domain.balloon(frame(LOW) + 512n, 3, true);
    const memory = await find(guest);
    open.push(memory);
    const extents = memory.shared(await memory.extents());
    expect(extents.map(({ guestAddr, length }) => [guestAddr, length])).toEqual([
      [LOW, 0x20_0000n],
      [LOW + 0x20_3000n, 0x5f_d000n],
    ]);
    expect(guest.xen.privcmd.openMappings).toBe(0);
  });

  it('looks no further for the memory in its banks when nobody wants to know any more', async () => {
    const guest = fake({ base: LOW, length: 64 * MIB });
    const abort = new AbortController();
    const { mapper, asked } = counting({
      map: (...args) => guest.source.mapper.map(...args),
      mapAsync: async (...args) => {
        if (asked() > 2048) abort.abort(new Error('gone'));
        return await guest.source.mapper.mapAsync(...args);
      },
    });
    const memory = await XenBankMemory.of({
      ...guest.source,
      mapper,
      banks: [{ guestAddr: guestAddress(LOW), length: 64 * MIB }],
    });
    open.push(memory);
    await expect(memory.extents(abort.signal)).rejects.toThrow('gone');
    expect(asked()).toBeLessThan(2048 + 1024);
    expect(guest.xen.privcmd.openMappings).toBe(0);
  });

  it('gives a higher bank what is missing below: firmware moves RAM', async () => {
    const ranges = [
      { guestAddr: guestAddress(0n), length: BigInt(256 * MIB) },
      { guestAddr: guestAddress(HIGH), length: 0xfe_0000_0000n },
    ];
    const guest = fake({ base: 0n, length: 128 * MIB }, { base: HIGH, length: 64 * MIB });
    const maxPages = guest.host.maximumReservation(guest.domain.domid);
    const memory = await XenBankMemory.find({ ...guest.source, candidateRanges: ranges, maxPages });
    open.push(memory);
    expect(banksOf(memory)).toEqual([
      [0n, BigInt(193 * MIB)],
      [HIGH, BigInt(65 * MIB)],
    ]);
  });

  it('ends a bank where no more memory is found, when nobody says how much there may be', async () => {
    const guest = fake(
      { base: LOW, length: 128 * MIB },
      { base: LOW + BigInt(512 * MIB), length: PAGE },
    );
    const memory = await XenBankMemory.find({ ...guest.source, candidateRanges: ARM });
    open.push(memory);
    expect(banksOf(memory)).toEqual([[LOW, BigInt(576 * MIB)]]);
  });

  it('takes banks that somebody tells of as they are, without those that have nothing', async () => {
    const guest = fake({ base: LOW, length: 8 * MIB });
    const banks = [
      { guestAddr: guestAddress(LOW), length: 64 * MIB },
      { guestAddr: guestAddress(HIGH), length: 64 * MIB },
    ];
    const memory = await XenBankMemory.of({ ...guest.source, banks });
    open.push(memory);
    expect(banksOf(memory)).toEqual([[LOW, BigInt(64 * MIB)]]);
  });

  it('keeps 64 pages mapped, and none once it is to look anew', async () => {
    const guest = fake({ base: LOW, length: 8 * MIB });
    const memory = await find(guest);
    open.push(memory);
    for (let i = 0; i < 200; i++) memory.readU16(guestAddress(LOW + BigInt(i * PAGE)));
    expect(guest.xen.privcmd.openMappings).toBe(64);
    memory.renew();
    expect(guest.xen.privcmd.openMappings).toBe(0);
  });

  it('lends 16 MiB at a time', async () => {
    const guest = fake({ base: LOW, length: 32 * MIB });
    const memory = await find(guest);
    open.push(memory);
    const slice = memory.slice(guestAddress(LOW), 16 * MIB, ACCESS_READ_WRITE);
    expect(() => memory.slice(guestAddress(LOW), 1, ACCESS_READ)).toThrow();
    slice.release();
    memory.slice(guestAddress(LOW), 1, ACCESS_READ).release();
    expect(guest.xen.privcmd.openMappings).toBe(0);
  });

  it.each<[string, (guest: { xen: FakeXen; domain: FakeDomain }) => void, unknown]>([
    [
      'a domain that is gone',
      ({ xen, domain }) => xen.destroyDomain(domain.domid),
      'NO_SUCH_DOMAIN',
    ],
    ['a guest without memory', ({ domain }) => domain.balloon(frame(LOW), 2048, true), undefined],
  ])('refuses %s', async (_, prepare, code) => {
    const guest = fake({ base: LOW, length: 8 * MIB });
    prepare(guest);
    const options = { ...guest.source, candidateRanges: ARM, maxPages: 2048n };
    const error = await XenBankMemory.find(options).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: 'FOREIGN_MAP_FAILED',
      ...(code === undefined ? {} : { cause: { code } }),
    });
    expect(guest.xen.privcmd.openMappings).toBe(0);
  });
});
