import { openSync, readdirSync, readFileSync } from 'node:fs';
import { type GuestAddress, GuestMemoryMmap, GuestMemoryView } from '@node-vmm/vm-memory';
import { asFd, closeFd, EventFd, type Fd, memfdCreate } from '@node-vmm/vmm-sys-util';
import { MemoryLogger } from '@node-vmm/vmm-sys-util/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GuestFiles } from '../../src/control/guest-files.ts';
import { MappingBudget } from '../../src/control/mapping-budget.ts';
import type { TableEntry } from '../../src/control/memory-table.ts';
import { type ForeignMemory, RegionMapper } from '../../src/control/region-mapper.ts';
import { RetiredMemory } from '../../src/control/retired-memory.ts';
import { SharedFiles } from '../../src/control/shared-files.ts';

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
function daemon(total = { addresses: 2 ** 40, mappings: 1000 }, mapForeign?: () => ForeignMemory) {
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
  const foreign = { ...region(0x4000n), xen: { mmapFlags: 1, domid: 7 } };

  it('is let go of at once, and its addresses when no worker has a view of them', async () => {
    const calls: string[] = [];
    const memory = GuestMemoryMmap.create([{ guestAddr: 0x4000n as GuestAddress, length: 4096 }]);
    const owned = Object.assign(memory, {
      vacate: () => calls.push('vacate'),
      [Symbol.dispose]: () => calls.push('dispose'),
    });
    const { mapper, viewed, retired } = daemon(undefined, () => owned);
    const fd = memfdCreate('privcmd', 4096);
    const [entry] = await mapper('a').map([foreign], [fd]);
    expect(entry?.file).toBeUndefined();
    viewed.add(entry?.mappings[0]?.memory as number);
    entry?.release();
    expect(calls).toEqual(['vacate']);
    viewed.clear();
    await retired.collect();
    expect(calls).toEqual(['vacate', 'dispose']);
    memory.close();
    closeFd(fd);
  });
});
