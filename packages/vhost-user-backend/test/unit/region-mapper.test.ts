import { fstatSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { GuestMemoryView } from '@node-vmm/vm-memory';
import { asFd, closeFd, EPERM, ESRCH, EventFd, type Fd, memfdCreate } from '@node-vmm/vmm-sys-util';
import { MemoryLogger } from '@node-vmm/vmm-sys-util/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FOREIGN_LIMIT, ForeignDomains } from '../../src/control/foreign-domains.ts';
import type { MapForeign } from '../../src/control/foreign-region.ts';
import { GuestFiles } from '../../src/control/guest-files.ts';
import { MappingBudget } from '../../src/control/mapping-budget.ts';
import type { TableEntry } from '../../src/control/memory-table.ts';
import { RegionMapper } from '../../src/control/region-mapper.ts';
import { RetiredMemory } from '../../src/control/retired-memory.ts';
import { SharedFiles } from '../../src/control/shared-files.ts';
import { FakeDomain, mapperOf, restrictedMapper } from '../../src/testing/index.ts';

const SIZE = 0x10000;
const region = (guestAddr: bigint, mmapOffset = 0n, size = 4096n) => ({
  guestAddr,
  size,
  userAddr: guestAddr,
  mmapOffset,
});
const mapped = (name: string): number =>
  readFileSync('/proc/self/maps', 'utf8').split(`memfd:${name}`).length - 1;

/** The mappers of a daemon with room for so much, whose workers look at what the test says. */
function daemon(total = { addresses: 2 ** 40, mappings: 1000 }, mapForeign?: MapForeign) {
  const viewed = new Set<number>();
  const asked: boolean[] = [];
  let last = 0;
  const nextMemory = () => ++last;
  const retired = new RetiredMemory(async (_memories, collect) => {
    asked.push(collect);
    return new Set(viewed);
  });
  const means = {
    files: new GuestFiles(new MemoryLogger()),
    shared: new SharedFiles(nextMemory),
    retired,
    mapForeign,
    domains: new ForeignDomains(retired, nextMemory, FOREIGN_LIMIT),
    nextMemory,
  };
  const budget = new MappingBudget(total);
  return {
    viewed,
    asked,
    retired,
    mapper: (device: string) => new RegionMapper(device, means, budget.share()),
  };
}

describe('A region of a file', () => {
  let name: string;
  let fd: Fd;
  let count = 0;
  beforeEach(() => {
    name = `regions-${process.pid}-${++count}`;
    fd = memfdCreate(name, SIZE);
  });
  afterEach(() => closeFd(fd));

  it('is mapped once for all front-ends that give the file, and each reaches its own part', async () => {
    const { mapper, retired } = daemon();
    const whole = region(0n, 0n, BigInt(SIZE));
    const [a] = await mapper('a').map([whole], [fd]);
    const other = asFd(openSync(`/proc/self/fd/${fd}`, 'r+'));
    const [b] = await mapper('b').map([region(0x1000n, 0x2000n)], [other]);
    expect(mapped(name)).toBe(1);
    expect(b?.mappings).toEqual([
      {
        ...a?.mappings[0],
        guestAddr: 0x1000n,
        length: 4096,
        hostAddress: (a?.mappings[0]?.hostAddress as number) + 0x2000,
      },
    ]);
    // In any order, and the last one ends it.
    a?.release();
    a?.release();
    expect(mapped(name)).toBe(1);
    b?.release();
    expect(mapped(name)).toBe(0);
    await expect.poll(() => retired.count, { timeout: 10_000 }).toBe(0);
    closeFd(other);
  });

  it('keeps no descriptor', async () => {
    const { mapper } = daemon();
    const before = readdirSync('/proc/self/fd').length;
    const regions = Array.from({ length: 500 }, (_, i) => region(BigInt(i) << 32n, 0n));
    const entries = await mapper('a').map(
      regions,
      regions.map(() => fd),
    );
    expect(readdirSync('/proc/self/fd').length).toBe(before);
    expect(mapped(name)).toBe(1);
    for (const entry of entries) entry.release();
  });

  it('is known by its identity: its sharers are one guest', async () => {
    const { mapper } = daemon();
    const own = memfdCreate('other', SIZE);
    const of = async (from: Fd) => (await mapper('a').map([region(0n)], [from]))[0] as TableEntry;
    const entries = [await of(fd), await of(fd), await of(own)];
    const [first, again, other] = entries.map(({ file }) => file);
    expect(again).toBe(first);
    expect(other).not.toBe(first);
    for (const entry of entries) entry.release();
    closeFd(own);
  });

  it('is within the file, however long the mapping is that others have', async () => {
    const { mapper } = daemon();
    const short = memfdCreate('short', 5000);
    const [entry] = await mapper('a').map([region(0n, 0n, 5000n)], [short]);
    await expect(mapper('b').map([region(0n, 0n, 5001n)], [short])).rejects.toThrow(
      "exceed the file's 5000 bytes",
    );
    entry?.release();
    closeFd(short);
  });

  it('of a descriptor that cannot be written through is refused, whoever else could', async () => {
    const { mapper } = daemon();
    const [entry] = await mapper('a').map([region(0n)], [fd]);
    const readOnly = asFd(openSync(`/proc/self/fd/${fd}`, 'r'));
    await expect(mapper('b').map([region(0n)], [readOnly])).rejects.toMatchObject({
      code: 'INVALID_MEMORY',
    });
    closeFd(readOnly);
    entry?.release();
  });

  it('of what is no regular file is mapped for each front-end alone, and nobody shares its fate', async () => {
    const { mapper } = daemon();
    const zero = asFd(openSync('/dev/zero', 'r+'));
    const [a] = await mapper('a').map([region(0n)], [zero]);
    const [b] = await mapper('b').map([region(0n)], [zero]);
    expect([a?.file, b?.file]).toEqual([undefined, undefined]);
    const shown = (entry: TableEntry | undefined) =>
      GuestMemoryView.attach(entry?.mappings ?? []).regions[0]?.bytes as Uint8Array;
    shown(a)[0] = 1;
    expect(shown(b)[0]).toBe(0);
    a?.release();
    b?.release();
    closeFd(zero);
  });

  it('of what has no memory is refused', async () => {
    const event = EventFd.create();
    await expect(
      daemon()
        .mapper('a')
        .map([region(0n)], [event.fd]),
    ).rejects.toMatchObject({
      code: 'INVALID_MEMORY',
    });
    event.close();
  });

  it('leaves nothing when another of its table is refused', async () => {
    const { mapper } = daemon();
    const regions = [region(0n), region(0x10000n, BigInt(SIZE))];
    await expect(mapper('a').map(regions, [fd, fd])).rejects.toMatchObject({
      code: 'INVALID_MEMORY',
    });
    expect(mapped(name)).toBe(0);
  });
});

describe('What front-ends may take up', () => {
  const sparse = (bytes: number): Fd => memfdCreate('sparse', bytes);

  it('is half of what others leave, in addresses', async () => {
    const fd = sparse(2 ** 40);
    const { mapper } = daemon({ addresses: 2 ** 40, mappings: 1000 });
    const [a, b, c] = [mapper('a'), mapper('b'), mapper('c')];
    const half = region(0n, 0n, 2n ** 39n);
    await expect(a.map([region(0n, 0n, 2n ** 39n + 4096n)], [fd])).rejects.toThrow(
      'front-ends of device a may now have 500 mappings and 549755813888 bytes of addresses',
    );
    const entries = await a.map([half], [fd]);
    const other = sparse(2 ** 40);
    await expect(b.map([half], [other])).rejects.toMatchObject({ code: 'INVALID_MEMORY' });
    entries.push(...(await b.map([region(0n, 0n, 2n ** 38n)], [other])));
    // What is mapped already costs nobody anything.
    entries.push(...(await c.map([half], [fd])));
    for (const entry of entries) entry.release();
    closeFd(fd);
    closeFd(other);
  });

  it('is half of what others leave, in mappings, however often they are exchanged', async () => {
    const fds = Array.from({ length: 11 }, () => sparse(4096));
    const { mapper } = daemon({ addresses: 2 ** 40, mappings: 20 });
    const a = mapper('a');
    for (let i = 0; i < 5; i++) {
      const regions = fds.slice(1).map((_, at) => region(BigInt(at) << 16n));
      const entries = await a.map(regions, fds.slice(1));
      await expect(a.map([region(1n << 40n)], fds)).rejects.toThrow('10 mappings');
      for (const entry of entries) entry.release();
    }
    for (const fd of fds) closeFd(fd);
  });

  it('counts what earlier ones left, until every worker has said that it has no view of it', async () => {
    const fd = sparse(2 ** 39);
    const { mapper, viewed, retired, asked } = daemon({ addresses: 2 ** 40, mappings: 1000 });
    const a = mapper('a');
    const all = region(0n, 0n, 2n ** 39n);
    const [entry] = await a.map([all], [fd]);
    viewed.add(entry?.mappings[0]?.memory as number);
    const at = entry?.mappings[0]?.hostAddress as number;
    entry?.release();
    // The file is let go of at once; where it was is empty memory, and nobody else's.
    expect(mapped('sparse')).toBe(0);
    expect(readFileSync('/proc/self/maps', 'latin1')).toContain(at.toString(16));
    await expect(a.map([all], [fd])).rejects.toMatchObject({ code: 'INVALID_MEMORY' });
    expect(asked).toContain(true);
    viewed.clear();
    const [again] = await a.map([all], [fd]);
    expect(retired.count).toBe(0);
    again?.release();
    closeFd(fd);
  });

  it('is paid for by another when the first goes', async () => {
    const fd = sparse(2 ** 39);
    const other = sparse(2 ** 39);
    const { mapper } = daemon({ addresses: 2 ** 40, mappings: 1000 });
    const [a, b] = [mapper('a'), mapper('b')];
    const all = region(0n, 0n, 2n ** 39n);
    const [first] = await a.map([all], [fd]);
    const [second] = await b.map([all], [fd]);
    first?.release();
    await expect(b.map([region(1n << 45n)], [other])).rejects.toThrow('device b');
    const [third] = await a.map([region(0n, 0n, 2n ** 38n)], [other]);
    second?.release();
    third?.release();
    closeFd(fd);
    closeFd(other);
  });
});

describe('A region of a Xen domain', () => {
  let domain: FakeDomain;
  beforeEach(() => {
    domain = new FakeDomain(7);
  });
  afterEach(() => domain.close());

  it('has one page of it mapped, by the descriptor of who lends it, until it is let go of', async () => {
    const { mapper } = daemon(undefined, mapperOf(domain));
    const [entry] = await mapper('a').map(domain.regions(), domain.fds);
    expect([...domain.live]).toEqual([[0, 1]]);
    expect([entry?.mappings, entry?.file]).toEqual([[], undefined]);
    await entry?.release();
    await entry?.release();
    expect([...domain.live]).toEqual([]);
  });

  it('is looked for where holes may be, and may be far longer than what is there', async () => {
    for (let page = 0; page < 0x100; page++) domain.missing.add(page * 4096);
    const { mapper } = daemon(undefined, mapperOf(domain));
    const [entry] = await mapper('a').map(domain.regions(2 ** 40), domain.fds);
    expect([...domain.live]).toEqual([[0x10_0000, 1]]);
    await entry?.release();
  });

  it('is refused when none of it is there', async () => {
    for (let page = 0; page < 0x200; page++) domain.missing.add(page * 4096);
    const { mapper } = daemon(undefined, mapperOf(domain));
    await expect(mapper('a').map(domain.regions(), domain.fds)).rejects.toThrow(
      'Cannot map the region at 0x40000000: domain 7 has no memory at any of the',
    );
    expect(domain.live.size).toBe(0);
  });

  it.each([
    [-EPERM, 'domain 7: the hypervisor does not permit it'],
    [-ESRCH, 'domain 7: there is no such domain'],
  ])('of a domain that refuses every page (%i) is refused with the cause', async (error, text) => {
    const pages = {
      hostAddress: 0,
      errors: Int32Array.of(error),
      vacate: () => Promise.resolve(),
      close: () => undefined,
    };
    const { mapper } = daemon(undefined, async () => pages);
    await expect(mapper('a').map(domain.regions(), domain.fds)).rejects.toThrow(text);
  });

  it('is refused by a descriptor that is for another domain, whoever else has that memory', async () => {
    const other = memfdCreate('restricted', 4096);
    const own = new FakeDomain(8);
    const is = (fd: Fd, as: Fd | undefined) => fstatSync(fd).ino === fstatSync(as ?? fd).ino;
    const map = restrictedMapper((fd) => (is(fd, other) ? 8 : 7), domain, own);
    const { mapper } = daemon(undefined, map);
    const [entry] = await mapper('a').map(domain.regions(), domain.fds);
    const table = mapper('b').map(domain.regions(), [other]);
    await expect(table).rejects.toMatchObject({ code: 'INVALID_MEMORY' });
    await expect(table).rejects.toThrow('the hypervisor does not permit it');
    expect(domain.live.size).toBe(1);
    // It is good for its own.
    const [mine] = await mapper('b').map(own.regions(), [other]);
    await mine?.release();
    await entry?.release();
    closeFd(other);
    own.close();
  });
});
