import {
  ACCESS_READ,
  ACCESS_READ_WRITE,
  CHUNK_LENGTH,
  ChunkClock,
  ChunkLoans,
  type ChunkMapping,
  GuestMemoryDemand,
  GuestMemoryMmap,
  guestAddress,
  HostWindows,
  LEND_FAULT,
  LEND_NOT_YET,
  LEND_READY,
  MappedRegion,
  mappingsOf,
  SegmentTable,
  type WantedChunk,
  windowsOfMapping,
} from '@node-vmm/vm-memory';
import { Mapping, PAGE_SIZE } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { testGuestMemory } from '../guest-memory-rules.ts';

/** Maps anonymous memory: the same for the same place, so that what was written is there again. */
class Owner {
  readonly wanted: WantedChunk[] = [];
  /** All that was. */
  readonly asked: WantedChunk[] = [];
  readonly idle: number[] = [];
  readonly missing = new Set<number>();
  readonly shown = new Set<number>();
  readonly loans = new Map<number, ChunkLoans>();
  readonly clock = ChunkClock.create();
  readonly #pages = new Map<number, Mapping>();
  #next = 0;
  memory: GuestMemoryDemand | undefined;

  /** @param atOnce - answers within the call */
  readonly #atOnce: boolean;
  constructor(atOnce = false) {
    this.#atOnce = atOnce;
  }

  make(layout: readonly { guestAddr: bigint; length: number | bigint }[]): GuestMemoryDemand {
    this.memory = new GuestMemoryDemand(
      layout.map(({ guestAddr, length }) => ({ guestAddr: guestAddress(guestAddr), length })),
      {
        want: (chunks) => {
          this.wanted.push(...chunks);
          this.asked.push(...chunks);
          if (this.#atOnce) this.answer();
        },
        idle: (memory) => this.idle.push(memory),
        show: (chunk) => {
          this.shown.add(chunk.memory);
          return this.#show(chunk);
        },
        hide: ({ memory }) => this.shown.delete(memory),
      },
    );
    return this.memory;
  }

  /** Brings what was asked for. @returns its numbers */
  answer(count = this.wanted.length): number[] {
    const chunks = this.wanted.splice(0, count).map((chunk) => this.#map(chunk));
    this.memory?.arrived(chunks);
    return chunks.map(({ memory }) => memory);
  }

  #map({ guestAddr, length, part }: WantedChunk): ChunkMapping {
    const memory = ++this.#next;
    const loans = ChunkLoans.create(this.clock.words);
    this.loans.set(memory, loans);
    const pages = Array.from({ length: length / PAGE_SIZE }, (_, i) =>
      this.missing.has(guestAddr + i * PAGE_SIZE) ? 1 : 0,
    );
    const missing = pages.includes(1) ? Uint8Array.from(pages) : undefined;
    return {
      memory,
      guestAddr: BigInt(guestAddr),
      length,
      hostAddress: this.#hostAddress(guestAddr),
      part,
      missing,
      loans: loans.words,
      clock: this.clock.words,
    };
  }

  // Chunks of a grid are one mapping, which parts are within.
  #hostAddress(guestAddr: number): number {
    const grid = guestAddr - (guestAddr % CHUNK_LENGTH);
    let mapping = this.#pages.get(grid);
    if (mapping === undefined) {
      mapping = Mapping.create({ length: CHUNK_LENGTH });
      this.#pages.set(grid, mapping);
    }
    return Number(mapping.pointer) + guestAddr - grid;
  }

  #show(chunk: ChunkMapping): HostWindows {
    return windowsOfMapping(chunk);
  }

  close(): void {
    for (const mapping of this.#pages.values()) mapping.close();
  }
}

const BASE = 0x4000_0000n;
const owners: Owner[] = [];
afterEach(() => {
  for (const owner of owners.splice(0)) owner.close();
});
const owner = (atOnce = false): Owner => {
  const made = new Owner(atOnce);
  owners.push(made);
  return made;
};

testGuestMemory('GuestMemoryDemand', (layout) => owner(true).make(layout));
testGuestMemory('GuestMemoryDemand, by small parts', (layout) => {
  const from = owner(true);
  from.clock.touch = 16 * PAGE_SIZE;
  return from.make(layout);
});

const lender =
  (memory: GuestMemoryDemand, table: SegmentTable) => (offset: number, length: number) => {
    const address = Number(BASE) + offset;
    return memory.lend(
      address % 2 ** 32,
      Math.floor(address / 2 ** 32),
      length,
      ACCESS_READ_WRITE,
      table,
    );
  };

describe('Memory that is mapped on demand', () => {
  const LENGTH = 64 * CHUNK_LENGTH;

  it('asks once for what a loan needs, and lends it when it has come', () => {
    const from = owner();
    const memory = from.make([{ guestAddr: BASE, length: LENGTH }]);
    const table = new SegmentTable(8);
    const lend = lender(memory, table);
    expect(lend(CHUNK_LENGTH - 8, 16)).toBe(LEND_NOT_YET);
    expect(lend(CHUNK_LENGTH - 8, 16)).toBe(LEND_NOT_YET);
    let told = 0;
    memory.whenReady(() => told++);
    expect(from.wanted.map(({ guestAddr, length }) => [guestAddr - Number(BASE), length])).toEqual([
      [0, CHUNK_LENGTH],
      [CHUNK_LENGTH, CHUNK_LENGTH],
    ]);
    from.answer(1);
    // One of two: who waits looks again, and waits on.
    expect([told, lend(CHUNK_LENGTH - 8, 16)]).toEqual([1, LEND_NOT_YET]);
    memory.whenReady(() => told++);
    from.answer();
    expect([told, lend(CHUNK_LENGTH - 8, 16)]).toEqual([2, LEND_READY]);
    expect([table.count, table.lengthAt(0), table.lengthAt(1)]).toEqual([2, 8, 8]);
    memory.giveBack(table, 0, 2);
    expect(from.wanted).toEqual([]);
    memory.close();
  });

  it('keeps what a chain has come to until the rest has come, and gives back all of it afterwards', () => {
    const from = owner();
    const memory = from.make([{ guestAddr: BASE, length: LENGTH }]);
    const table = new SegmentTable(64);
    const lend = lender(memory, table);
    const chain = (): boolean => {
      for (let i = 0; i < 5; i++) {
        if (lend(i * CHUNK_LENGTH, 4096) === LEND_READY) continue;
        memory.giveBack(table, 0, table.count);
        table.truncate(0);
        return false;
      }
      return true;
    };
    let rounds = 0;
    while (!chain()) {
      memory.whenReady(() => undefined);
      // Whoever has a loan of it keeps it: none can be taken away meanwhile.
      from.answer();
      expect([...from.loans.values()].filter((loans) => loans.revoke())).toEqual([]);
      expect(++rounds).toBeLessThan(10);
    }
    expect(rounds).toBe(5);
    memory.giveBack(table, 0, table.count);
    expect([...from.loans.values()].map(({ count }) => count)).toEqual([0, 0, 0, 0, 0]);
    memory.close();
  });

  it('asks for few chunks at a time, however long a loan is', () => {
    const from = owner();
    const memory = from.make([{ guestAddr: BASE, length: LENGTH }]);
    const lend = lender(memory, new SegmentTable(128));
    expect(lend(0, LENGTH)).toBe(LEND_NOT_YET);
    expect(from.wanted).toHaveLength(8);
    memory.close();
  });

  it('lends a fault where no page is, and asks again later', () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      const from = owner();
      const memory = from.make([{ guestAddr: BASE, length: LENGTH }]);
      const table = new SegmentTable(8);
      const lend = lender(memory, table);
      const hole = 3 * PAGE_SIZE;
      from.missing.add(Number(BASE) + hole);
      expect(lend(hole, 1)).toBe(LEND_NOT_YET);
      from.answer();
      for (const [offset, length, answer] of [
        [hole, 1, LEND_FAULT],
        [hole - 1, 2, LEND_FAULT],
        [hole + PAGE_SIZE - 1, 1, LEND_FAULT],
        [hole - 1, 1, LEND_READY],
        [hole + PAGE_SIZE, 1, LEND_READY],
      ] as const) {
        expect(lend(offset, length)).toBe(answer);
      }
      expect(() => memory.slice(guestAddress(BASE + BigInt(hole)), 16, ACCESS_READ)).toThrow(
        expect.objectContaining({ code: 'NOT_YET' }),
      );
      from.answer();
      expect(() => memory.slice(guestAddress(BASE + BigInt(hole)), 16, ACCESS_READ)).toThrow(
        expect.objectContaining({ code: 'OUT_OF_RANGE' }),
      );
      expect(from.wanted).toEqual([]);
      vi.advanceTimersByTime(100);
      from.missing.clear();
      expect(lend(hole, 1)).toBe(LEND_NOT_YET);
      expect(from.wanted.map(({ again }) => again)).toEqual([true]);
      from.answer();
      expect(lend(hole, 1)).toBe(LEND_READY);
      memory.close();
    } finally {
      vi.useRealTimers();
    }
  });

  it('lends nothing of what has ended, shows what is on loan until it is back, and says when it is', () => {
    const from = owner();
    const memory = from.make([{ guestAddr: BASE, length: LENGTH }]);
    const table = new SegmentTable(8);
    const lend = lender(memory, table);
    lend(0, 4);
    const [first] = from.answer() as [number];
    // Nobody tried again: what was kept goes with the next loan that comes back.
    expect(lend(0, 4)).toBe(LEND_READY);
    table.bytesAt(0).set([1, 2, 3, 4]);
    from.loans.get(first)?.end();
    expect(memory.ended([first])).toBe(false);
    expect(lend(0, 4)).toBe(LEND_NOT_YET);
    memory.whenReady(() => undefined);
    const [second] = from.answer() as [number];
    expect(lend(0, 4)).toBe(LEND_READY);
    expect([...table.bytesAt(0)]).toEqual([1, 2, 3, 4]);
    expect([...from.shown]).toEqual([first, second]);
    expect(from.idle).toEqual([]);
    memory.giveBack(table, 0, 2);
    expect([from.idle, [...from.shown]]).toEqual([[first], [second]]);
    expect(from.loans.get(first)?.revoke()).toBe(true);
    memory.close();
    expect([...from.shown]).toEqual([]);
  });

  it('finds by itself what was taken away from it', () => {
    const from = owner();
    const memory = from.make([{ guestAddr: BASE, length: LENGTH }]);
    const table = new SegmentTable(8);
    const lend = lender(memory, table);
    lend(0, 4);
    const [first] = from.answer() as [number];
    expect(lend(0, 4)).toBe(LEND_READY);
    memory.giveBack(table, 0, 1);
    table.truncate(0);
    expect(from.loans.get(first)?.revoke()).toBe(true);
    expect(lend(0, 4)).toBe(LEND_NOT_YET);
    expect([...from.shown]).toEqual([]);
    memory.close();
  });

  it('has one loan of its owner, by two operations of Atomics, however often it lends a chunk', () => {
    const from = owner();
    const memory = from.make([{ guestAddr: BASE, length: LENGTH }]);
    const table = new SegmentTable(8);
    const lend = lender(memory, table);
    lend(0, 4);
    const loans = from.loans.get((from.answer() as [number])[0]);
    // What was kept for who waited goes with the first that comes back.
    expect(lend(0, 4)).toBe(LEND_READY);
    memory.giveBack(table, 0, 1);
    table.truncate(0);
    expect(loans?.count).toBe(0);
    const used = (['compareExchange', 'sub', 'add', 'load', 'store'] as const).map((name) =>
      vi.spyOn(Atomics, name),
    );
    for (let i = 0; i < 6; i++) expect(lend(i * PAGE_SIZE, 4)).toBe(LEND_READY);
    memory.giveBack(table, 0, 5);
    const calls = used.map(({ mock }) => mock.calls.length);
    for (const spy of used) spy.mockRestore();
    expect(calls).toEqual([1, 0, 0, 0, 0]);
    expect([loans?.count, loans?.revoke()]).toEqual([1, false]);
    memory.giveBack(table, 5, 1);
    // Once for who had waited, and six times.
    expect([loans?.count, loans?.revoke(), loans?.lent]).toEqual([0, true, 7]);
    memory.close();
  });

  it('lends nothing more of a chunk that is in use when the owner wants it back', () => {
    const from = owner();
    const memory = from.make([{ guestAddr: BASE, length: LENGTH }]);
    const table = new SegmentTable(8);
    const lend = lender(memory, table);
    lend(0, 4);
    const [first] = from.answer() as [number];
    expect(lend(0, 4)).toBe(LEND_READY);
    // Not told yet.
    from.loans.get(first)?.end();
    expect(lend(0, 4)).toBe(LEND_NOT_YET);
    expect(from.wanted).toHaveLength(1);
    memory.giveBack(table, 0, 1);
    memory.close();
  });

  it('finds each of its chunks, those that are as far apart as it remembers as well', () => {
    const from = owner();
    const far = 256 * CHUNK_LENGTH;
    const memory = from.make([{ guestAddr: BASE, length: 4 * far }]);
    const table = new SegmentTable(16);
    const lend = lender(memory, table);
    const places = [0, far, 2 * far, far + CHUNK_LENGTH];
    for (const place of places) lend(place, 4);
    from.answer();
    for (const [i, place] of places.entries()) {
      expect(lend(place + 8, 4)).toBe(LEND_READY);
      table.bytesAt(i).fill(i + 1);
    }
    for (const [i, place] of places.entries()) {
      expect(lend(place + 8, 4)).toBe(LEND_READY);
      expect([...table.bytesAt(places.length + i)]).toEqual(Array(4).fill(i + 1));
    }
    expect(from.wanted).toEqual([]);
    memory.giveBack(table, 0, table.count);
    memory.close();
  });

  it('has slices of exactly their pages, and tells when one is in what has ended', () => {
    const from = owner();
    const memory = from.make([{ guestAddr: BASE, length: LENGTH }]);
    const at = guestAddress(BASE + BigInt(CHUNK_LENGTH) - 16n);
    const take = () => memory.slice(at, 64, ACCESS_READ_WRITE);
    expect(take).toThrow(expect.objectContaining({ code: 'NOT_YET' }));
    expect(from.wanted).toEqual([
      {
        guestAddr: Number(BASE) + CHUNK_LENGTH - PAGE_SIZE,
        length: 2 * PAGE_SIZE,
        part: true,
        again: false,
      },
    ]);
    let slice: ReturnType<typeof take> | undefined;
    memory.whenReady(() => {
      slice = take();
    });
    const [part] = from.answer() as [number];
    expect(slice?.bytes).toHaveLength(64);
    expect(memory.ended([part])).toBe(true);
    slice?.release();
    slice?.release();
    expect(() => slice?.bytes).toThrow(expect.objectContaining({ code: 'CLOSED' }));
    memory.close();
  });

  it('is beside memory that is always mapped, and refuses what overlaps it', () => {
    const from = owner(true);
    const mapped = GuestMemoryMmap.create([{ guestAddr: guestAddress(0), length: 0x1000 }]);
    const regions = mappingsOf(mapped).map(
      (mapping) => new MappedRegion(guestAddress(mapping.guestAddr), windowsOfMapping(mapping)),
    );
    const source = {
      want: () => undefined,
      idle: () => undefined,
      show: () => HostWindows.CLOSED,
      hide: () => undefined,
    };
    const range = (guestAddr: bigint, length: number) => [
      { guestAddr: guestAddress(guestAddr), length },
    ];
    const memory = new GuestMemoryDemand(range(0x2000n, 0x1000), source, regions);
    memory.writeU32(guestAddress(16), 7);
    expect(mapped.readU32(guestAddress(16))).toBe(7);
    expect(memory.contains(guestAddress(0x2fff), 1)).toBe(true);
    expect(() => memory.readU8(guestAddress(0x2000))).toThrow(
      expect.objectContaining({ code: 'NOT_YET' }),
    );
    expect(() => new GuestMemoryDemand(range(0n, 0x1000), source, regions)).toThrow(
      expect.objectContaining({ code: 'OVERLAP' }),
    );
    expect(() => new GuestMemoryDemand(range(0x800n, 0x1000), source)).toThrow(
      expect.objectContaining({ code: 'BAD_REGION' }),
    );
    memory.close();
    from.close();
    mapped.close();
  });

  it('tells nobody once it is closed, and has nothing on loan that comes then', () => {
    const from = owner();
    const memory = from.make([{ guestAddr: BASE, length: LENGTH }]);
    const lend = lender(memory, new SegmentTable(8));
    lend(0, 4);
    memory.whenReady(() => {
      throw new Error('told');
    });
    memory.close();
    from.answer();
    expect(from.shown.size).toBe(0);
  });

  describe('of which the owner wants little touched', () => {
    const SMALL = 16 * PAGE_SIZE;
    let from: Owner;
    let memory: GuestMemoryDemand;
    let table: SegmentTable;
    let lend: ReturnType<typeof lender>;
    beforeEach(() => {
      from = owner(true);
      memory = from.make([{ guestAddr: BASE, length: LENGTH }]);
      table = new SegmentTable(64);
      lend = lender(memory, table);
      // What it wants is known from the first chunk on.
      touch(63 * CHUNK_LENGTH);
      from.clock.touch = SMALL;
    });

    /** @returns what was asked for, by offset and length, of one loan that is given back */
    function touch(offset: number, length = 4): number[][] {
      const asked: number[][] = [];
      for (
        let answer = lend(offset, length);
        answer !== LEND_READY;
        answer = lend(offset, length)
      ) {
        if (answer !== LEND_NOT_YET) throw new Error(`${answer}`);
      }
      for (const chunk of from.asked.splice(0)) {
        asked.push([chunk.guestAddr - Number(BASE), chunk.length]);
      }
      memory.giveBack(table, 0, table.count);
      table.truncate(0);
      return asked;
    }

    it('asks for small parts, and for all of a chunk once many of them are used', () => {
      expect(touch(CHUNK_LENGTH + 5 * SMALL + 9)).toEqual([[CHUNK_LENGTH + 5 * SMALL, SMALL]]);
      expect(touch(CHUNK_LENGTH + 5 * SMALL + 99)).toEqual([]);
      for (let i = 6; i < 17; i++) {
        expect(touch(CHUNK_LENGTH + i * SMALL)).toEqual([[CHUNK_LENGTH + i * SMALL, SMALL]]);
      }
      expect(touch(CHUNK_LENGTH + 20 * SMALL)).toEqual([[CHUNK_LENGTH, CHUNK_LENGTH]]);
      for (let i = 0; i < 32; i++) expect(touch(CHUNK_LENGTH + i * SMALL)).toEqual([]);
    });

    it('asks for all of a chunk for a loan that is long, and for few parts otherwise', () => {
      expect(touch(CHUNK_LENGTH + 1, CHUNK_LENGTH / 4)).toEqual([[CHUNK_LENGTH, CHUNK_LENGTH]]);
      const short = touch(3 * CHUNK_LENGTH - 3, CHUNK_LENGTH / 4);
      expect(short).toEqual([
        [3 * CHUNK_LENGTH - SMALL, SMALL],
        ...Array.from({ length: 8 }, (_, i) => [3 * CHUNK_LENGTH + i * SMALL, SMALL]),
      ]);
    });

    it('asks for all of a chunk again when the owner does not mind, and uses what parts it has', () => {
      touch(CHUNK_LENGTH);
      from.clock.touch = 0;
      expect(touch(CHUNK_LENGTH + 8)).toEqual([]);
      expect(touch(CHUNK_LENGTH + SMALL)).toEqual([[CHUNK_LENGTH, CHUNK_LENGTH]]);
      expect(touch(CHUNK_LENGTH + SMALL - 8, 16)).toEqual([]);
    });

    it('has the same bytes by a part, by its chunk and by both', () => {
      const at = guestAddress(BASE + BigInt(CHUNK_LENGTH));
      const bytes = Uint8Array.from({ length: 4 * SMALL }, (_, i) => i % 251);
      memory.write(at, bytes);
      from.clock.touch = 0;
      memory.write(guestAddress(at + BigInt(9 * SMALL)), Uint8Array.of(1));
      const found = new Uint8Array(bytes.length);
      memory.read(at, found);
      expect(found).toEqual(bytes);
    });
  });
});
