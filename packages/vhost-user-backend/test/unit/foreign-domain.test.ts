import { ChunkClock, ChunkLoans, type ChunkMapping } from '@node-vmm/vm-memory';
import { expect, it, vi } from 'vitest';
import type { ChunkHolder, ForeignPages } from '../../src/control/foreign-chunk.ts';
import { ForeignDomain } from '../../src/control/foreign-domain.ts';
import { ForeignDomains } from '../../src/control/foreign-domains.ts';
import { ForeignTurns } from '../../src/control/foreign-turns.ts';
import { RetiredMemory } from '../../src/control/retired-memory.ts';

const CHUNK = 2 ** 21;
const PAGES = 512;

/** A domain that counts what is mapped of it. */
class Bed {
  readonly mapped: number[] = [];
  readonly live = new Set<number>();
  readonly missing = new Set<number>();
  readonly told: [ChunkHolder, readonly number[]][] = [];
  readonly domain: ForeignDomain;
  gate: Promise<void> = Promise.resolve();
  /** Mappings that the process has for other domains. */
  others = 0;
  #memory = 0;

  constructor(limit = 4 * CHUNK) {
    const turns = new ForeignTurns();
    this.domain = new ForeignDomain({
      limit,
      nextMemory: () => ++this.#memory,
      mappings: () => this.others + this.domain.mappings,
      room: () => Promise.resolve(),
      turn: (job, wanted) => turns.run(1, job, wanted),
      sweep: () => turns.sweep(1),
      retire: (_memory, close) => close(),
    });
  }

  holder(): ChunkHolder {
    const holder: ChunkHolder = { ended: (memories) => this.told.push([holder, memories]) };
    return holder;
  }

  async lend(index: number, holder: ChunkHolder, again = false): Promise<ChunkMapping> {
    const wanted = { guestAddr: index * CHUNK, length: CHUNK, part: false, again };
    const lent = await this.domain.lend(
      wanted,
      holder,
      () => this.#map(index),
      () => true,
    );
    if (lent === undefined) throw new Error('nothing was lent');
    return lent;
  }

  async #map(index: number): Promise<ForeignPages> {
    this.mapped.push(index);
    const mapping = this.mapped.length;
    await this.gate;
    this.live.add(mapping);
    const gone = (): void => void this.live.delete(mapping);
    return {
      hostAddress: 4096,
      errors: new Int32Array(PAGES).fill(this.missing.has(index) ? -22 : 0),
      vacate: async () => gone(),
      close: gone,
    };
  }
}

const loansOf = ({ loans, clock }: ChunkMapping): ChunkLoans => new ChunkLoans(loans, clock);

it('maps a chunk once for all who want it, and for each counts its own loans', async () => {
  const bed = new Bed();
  const [a, b] = [bed.holder(), bed.holder()];
  const [one, two] = await Promise.all([bed.lend(3, a), bed.lend(3, b)]);
  expect(bed.mapped).toEqual([3]);
  expect([one.memory, one.hostAddress]).toEqual([two.memory, two.hostAddress]);
  expect(loansOf(one).release()).toBe(false);
  expect([loansOf(one).count, loansOf(two).count]).toEqual([0, 1]);
  await bed.domain.close();
  expect(bed.live.size).toBe(0);
});

it('gives back what is not on loan, least recently used first, and never what is', async () => {
  const bed = new Bed();
  const holder = bed.holder();
  const lent = [];
  for (let i = 0; i < 4; i++) lent.push(loansOf(await bed.lend(i, holder)));
  for (const loans of lent.slice(1)) loans.release();
  // Used again: it is the third that is oldest now.
  expect(lent[1]?.retain()).toBe(true);
  lent[1]?.release();
  const fifth = loansOf(await bed.lend(4, holder));
  expect(bed.told).toEqual([[holder, [3]]]);
  expect([lent[2]?.retain(), lent[0]?.count, fifth.count]).toEqual([false, 1, 1]);
  expect(bed.domain.mapped).toBe(4 * CHUNK);
  // What is on loan alone is more than that.
  for (const loans of [lent[1], lent[3]]) expect(loans?.retain()).toBe(true);
  await bed.lend(5, holder);
  await bed.lend(6, holder);
  expect([bed.domain.mapped, bed.live.size]).toEqual([6 * CHUNK, 6]);
  expect(bed.domain.mappings).toBe(6);
  await bed.domain.close();
  expect(bed.domain.mappings).toBe(0);
});

it('wants little touched once chunks are taken away after few uses, but in a process of many mappings', async () => {
  const bed = new Bed();
  const holder = bed.holder();
  let clock = ChunkClock.create();
  const use = async (index: number, times: number): Promise<void> => {
    const lent = await bed.lend(index, holder);
    clock = new ChunkClock(lent.clock);
    const loans = loansOf(lent);
    loans.shared(times);
    loans.release();
  };
  for (let i = 0; i < 12; i++) await use(i, 100);
  expect(clock.touch).toBe(0);
  // Those go first.
  for (let i = 0; i < 8; i++) await use(i, 1);
  expect(clock.touch).toBe(64 * 1024);
  bed.others = 8192;
  await use(20, 1);
  expect(clock.touch).toBe(0);
  await bed.domain.close();
});

it('takes a chunk away from all or from none', async () => {
  const bed = new Bed(CHUNK);
  const [a, b] = [bed.holder(), bed.holder()];
  const one = loansOf(await bed.lend(0, a));
  const two = loansOf(await bed.lend(0, b));
  one.release();
  await bed.lend(1, a);
  // One of them has it.
  expect([bed.told, one.retain(), two.count]).toEqual([[], true, 1]);
  await bed.domain.close();
});

it('looks again for a page that was not there, a while later and for who wants that', async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  try {
    const bed = new Bed();
    const holder = bed.holder();
    bed.missing.add(0);
    const first = await bed.lend(0, holder);
    expect([first.missing?.includes(0), bed.live.size]).toEqual([false, 0]);
    bed.missing.clear();
    expect((await bed.lend(0, holder, true)).memory).toBe(first.memory);
    vi.advanceTimersByTime(100);
    expect((await bed.lend(0, holder)).memory).toBe(first.memory);
    const second = await bed.lend(0, holder, true);
    expect([second.missing, bed.mapped]).toEqual([undefined, [0, 0]]);
    expect(bed.told).toEqual([[holder, [first.memory]]]);
    // All of it is there: nothing to look for.
    vi.advanceTimersByTime(100);
    expect((await bed.lend(0, holder, true)).memory).toBe(second.memory);
    await bed.domain.close();
  } finally {
    vi.useRealTimers();
  }
});

it('ends all that is mapped for all who have it: at once what is not on loan, the rest when it comes back', async () => {
  const bed = new Bed();
  const [a, b] = [bed.holder(), bed.holder()];
  const idle = loansOf(await bed.lend(0, a));
  idle.release();
  const held = await bed.lend(1, b);
  let renewed = false;
  const renewal = bed.domain.renew().then(() => {
    renewed = true;
  });
  expect(bed.told).toEqual([
    [a, [1]],
    [b, [2]],
  ]);
  expect([idle.retain(), loansOf(held).retain()]).toEqual([false, false]);
  const anew = await bed.lend(1, a);
  expect([anew.memory, renewed]).toEqual([3, false]);
  // Its owner is told that it was the last.
  expect(loansOf(held).release()).toBe(true);
  bed.domain.idle(held.memory);
  await renewal;
  expect([...bed.live]).toEqual([3]);
  await bed.domain.close();
});

it('ends once what several say in one turn, but for what rings are in, which it ends when they are quiet', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    const bed = new Bed();
    const [a, b] = [bed.holder(), bed.holder()];
    const data = loansOf(await bed.lend(0, a));
    data.release();
    const ring = loansOf(await bed.lend(1, b));
    ring.slice();
    const [first, second] = [bed.domain.returned(), bed.domain.returned()];
    expect(bed.told).toEqual([]);
    await Promise.all([first, second]);
    expect(bed.told).toEqual([[a, [1]]]);
    expect([data.retain(), ring.retain(), [...bed.live]]).toEqual([false, true, [2]]);
    ring.release();
    // Again before they are quiet.
    vi.advanceTimersByTime(900);
    await bed.domain.returned();
    vi.advanceTimersByTime(900);
    expect(bed.told).toHaveLength(1);
    vi.advanceTimersByTime(100);
    expect(bed.told.slice(1)).toEqual([[b, [2]]]);
    expect([ring.retain(), ring.ending]).toEqual([false, true]);
    ring.unslice();
    expect(ring.release()).toBe(true);
    bed.domain.idle(2);
    await bed.domain.unmapped();
    expect(bed.live.size).toBe(0);
    await bed.domain.close();
  } finally {
    vi.useRealTimers();
  }
});

it('ends what a ring was in that has left it, though it is kept for another try', async () => {
  const bed = new Bed();
  const kept = loansOf(await bed.lend(0, bed.holder()));
  kept.slice();
  kept.unslice();
  const returned = bed.domain.returned();
  await expect.poll(() => kept.ending).toBe(true);
  kept.release();
  bed.domain.idle(1);
  await returned;
  expect(bed.live.size).toBe(0);
  await bed.domain.close();
});

it('tells each holder once of all that ends', async () => {
  const bed = new Bed();
  const holder = bed.holder();
  for (let i = 0; i < 3; i++) loansOf(await bed.lend(i, holder)).release();
  await bed.domain.returned();
  expect(bed.told).toEqual([[holder, [1, 2, 3]]]);
  await bed.domain.close();
});

it('waits no longer than a second for what is on loan', async () => {
  const bed = new Bed();
  await bed.lend(0, bed.holder());
  await bed.domain.renew();
  expect([...bed.live]).toEqual([1]);
  await bed.domain.close();
});

it('waits once only for what somebody keeps', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    const bed = new Bed();
    const kept = loansOf(await bed.lend(0, bed.holder()));
    let waited = false;
    const first = bed.domain.returned().then(() => {
      waited = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect([waited, kept.ending]).toEqual([false, true]);
    vi.advanceTimersByTime(1000);
    await first;
    // No timer goes on here, and nothing new is on loan.
    for (let i = 0; i < 100; i++) await bed.domain.returned();
    expect([...bed.live]).toEqual([1]);
    kept.release();
    bed.domain.idle(1);
    await bed.domain.unmapped();
    expect(bed.live.size).toBe(0);
    await bed.domain.close();
  } finally {
    vi.useRealTimers();
  }
});

it('does not lend what was being mapped when all ended', async () => {
  const bed = new Bed();
  let open = (): void => undefined;
  bed.gate = new Promise((resolve) => {
    open = resolve;
  });
  const lending = bed.lend(0, bed.holder());
  await expect.poll(() => bed.mapped).toEqual([0]);
  await bed.domain.renew();
  open();
  await lending;
  expect([bed.mapped, bed.live.size]).toEqual([[0, 0], 1]);
  await bed.domain.close();
});

it('unmaps with a holder what only it had, whatever it had on loan', async () => {
  const bed = new Bed();
  const [a, b] = [bed.holder(), bed.holder()];
  await bed.lend(0, a);
  await bed.lend(1, a);
  await bed.lend(1, b);
  bed.domain.drop(a);
  await bed.domain.unmapped();
  expect([...bed.live]).toEqual([2]);
  bed.domain.drop(b);
  await bed.domain.unmapped();
  expect(bed.live.size).toBe(0);
});

it('is a fault for who needs it when nothing can be mapped', async () => {
  const domain = new ForeignDomain({
    limit: CHUNK,
    nextMemory: () => 1,
    mappings: () => 0,
    room: () => Promise.resolve(),
    turn: (job) => job(),
    sweep: () => undefined,
    retire: (_memory, close) => close(),
  });
  const wanted = { guestAddr: 0, length: CHUNK, part: false, again: false };
  const map = () => Promise.reject(new Error('there is no room'));
  const lent = await domain.lend(wanted, { ended: () => undefined }, map, () => true);
  expect([lent?.missing?.includes(0), domain.mapped]).toEqual([false, 0]);
});

it('maps by the next descriptor what one that has gone was to map, and keeps no fault of it', async () => {
  const bed = new Bed();
  const wanted = { guestAddr: 3 * CHUNK, length: CHUNK, part: false, again: false };
  const refused = (): Promise<ForeignPages> => Promise.reject(new TypeError('the region is gone'));
  const gone = bed.domain.lend(wanted, bed.holder(), refused, () => false);
  const lent = await bed.lend(3, bed.holder());
  expect([await gone, lent.missing, bed.mapped]).toEqual([undefined, undefined, [3]]);
  await bed.domain.close();
  expect(bed.live.size).toBe(0);
});

it('is found by its number for as long as somebody lends some of it, and keeps one page to keep the number', async () => {
  const retired = new RetiredMemory(async () => new Set());
  const domains = new ForeignDomains(retired, () => 1, CHUNK);
  const pinned = new Set<string>();
  const proof = (name: string): ForeignPages => {
    pinned.add(name);
    const close = (): void => void pinned.delete(name);
    return { hostAddress: 4096, errors: new Int32Array(1), vacate: async () => close(), close };
  };
  const first = domains.join(7, proof('a'));
  expect(domains.join(7, proof('b'))).toBe(first);
  expect(domains.join(8, proof('c'))).not.toBe(first);
  expect([...pinned]).toEqual(['a', 'c']);
  await domains.leave(7, first);
  expect(domains.join(7, proof('d'))).toBe(first);
  await domains.leave(7, first);
  expect([...pinned]).toEqual(['a', 'c']);
  await domains.leave(7, first);
  expect([...pinned]).toEqual(['c']);
  // Another domain that got the number.
  const later = domains.join(7, proof('e'));
  expect(later).not.toBe(first);
  await domains.leave(7, first);
  expect(domains.join(7, proof('f'))).toBe(later);
  expect(domains.count).toBe(2);
  expect([...pinned]).toEqual(['c', 'e']);
});

it('counts the page that keeps its number in what may stay mapped', async () => {
  const retired = new RetiredMemory(async () => new Set());
  let memory = 0;
  const domains = new ForeignDomains(retired, () => ++memory, 2 * CHUNK);
  const pages = (count: number): ForeignPages => ({
    hostAddress: 4096,
    errors: new Int32Array(count),
    vacate: async () => undefined,
    close: () => undefined,
  });
  const domain = domains.join(7, pages(1));
  const holder: ChunkHolder = { ended: () => undefined };
  for (let i = 0; i < 2; i++) {
    const wanted = { guestAddr: i * CHUNK, length: CHUNK, part: false, again: false };
    const lent = await domain.lend(
      wanted,
      holder,
      async () => pages(PAGES),
      () => true,
    );
    new ChunkLoans((lent as ChunkMapping).loans, (lent as ChunkMapping).clock).release();
  }
  // Two chunks and that page are more than two chunks.
  expect(domain.mapped).toBe(CHUNK);
  await domains.leave(7, domain);
});

it('lets domains take turns', async () => {
  const turns = new ForeignTurns();
  const order: string[] = [];
  const job = (name: string) => async () => {
    await Promise.resolve();
    order.push(name);
  };
  await Promise.all([
    turns.run(1, job('1a')),
    turns.run(1, job('1b')),
    turns.run(1, job('1c')),
    turns.run(2, job('2a')),
    turns.run(3, job('3a')),
  ]);
  expect(order).toEqual(['1a', '1b', '2a', '3a', '1c']);
  await expect(turns.run(1, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  await turns.run(1, job('again'));
  expect(order.at(-1)).toBe('again');
});

it('has no turn for what nobody wants any more, and who gives up waits for no other domain', async () => {
  const turns = new ForeignTurns();
  const order: string[] = [];
  let open = (): void => undefined;
  const slow = turns.run(1, () => new Promise<void>((resolve) => (open = resolve)));
  let wanted = true;
  const job = (name: string) => () =>
    turns.run(
      2,
      async () => order.push(name),
      () => wanted,
    );
  const given = [job('a')(), job('b')()];
  const kept = turns.run(2, async () => order.push('kept'));
  wanted = false;
  turns.sweep(2);
  expect(await Promise.all(given)).toEqual([undefined, undefined]);
  expect(order).toEqual([]);
  const late = job('late')();
  open();
  await Promise.all([slow, kept, late]);
  expect(order).toEqual(['kept']);
});

it('ends without mapping what it was asked for and nobody wants, while another domain is at it', async () => {
  const turns = new ForeignTurns();
  let open = (): void => undefined;
  const other = turns.run(9, () => new Promise<void>((resolve) => (open = resolve)));
  let mapped = 0;
  const domain = new ForeignDomain({
    limit: CHUNK,
    nextMemory: () => 1,
    mappings: () => 0,
    room: () => Promise.resolve(),
    turn: (run, wanted) => turns.run(1, run, wanted),
    sweep: () => turns.sweep(1),
    retire: (_memory, close) => close(),
  });
  const map = (): Promise<ForeignPages> => {
    mapped++;
    return Promise.reject(new Error('nobody wants it'));
  };
  const holder = { ended: () => undefined };
  let alive = true;
  const wants = Array.from({ length: 64 }, (_, i) => {
    const wanted = { guestAddr: i * CHUNK, length: CHUNK, part: false, again: false };
    return domain.lend(wanted, holder, map, () => alive);
  });
  alive = false;
  domain.drop(holder);
  expect(await Promise.all(wants)).toEqual(wants.map(() => undefined));
  await domain.close();
  expect(mapped).toBe(0);
  open();
  await other;
});
