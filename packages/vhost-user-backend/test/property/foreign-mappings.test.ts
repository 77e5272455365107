// Linux keeps the list of a foreign mapping's pages for as long as any of it is there: none may go in part.
import { ForeignKernel } from '@node-vmm/vm-memory/testing';
import { ForeignPages } from '@node-vmm/vm-memory/xen';
import type { Fd } from '@node-vmm/vmm-sys-util';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeDomain, GUEST_BASE } from '../../src/testing/index.ts';
import { answerAt, type Connected, ForeignBench, put } from '../support/foreign-bench.ts';

const PAGE = 4096;
const CHUNK = 2 ** 21;
/** Chunks that the domain has, and that may stay mapped. */
const CHUNKS = 16;
const LIMIT = 4 * CHUNK;

const frameAt = (offset: number): bigint => (GUEST_BASE + BigInt(offset)) / BigInt(PAGE);

let domain: FakeDomain;
let kernel: ForeignKernel;
let bed: ForeignBench;
/** Pages of each mapping that was asked for. */
let asked: number[];

beforeEach(async () => {
  domain = new FakeDomain(7, CHUNKS * CHUNK);
  asked = [];
  kernel = await ForeignKernel.start(domain.fds[0] as Fd, GUEST_BASE, CHUNKS * CHUNK);
  bed = new ForeignBench({
    foreignLimit: LIMIT,
    mapForeign: ({ domid, fd, guestAddr, length }) => {
      asked.push(Number(length) / PAGE);
      return ForeignPages.map(domid, fd, guestAddr / BigInt(PAGE), Number(length) / PAGE);
    },
  });
});
afterEach(async () => {
  await bed.close();
  expect(kernel.violations).toEqual([]);
  kernel[Symbol.dispose]();
  domain.close();
});

interface Place {
  readonly chunk: number;
  readonly page: number;
}
type Step =
  | ({ readonly do: 'echo'; readonly who: number } & Place)
  | { readonly do: 'tell'; readonly who: number }
  | ({ readonly do: 'take' | 'give' } & Place);

const place = {
  chunk: fc.integer({ min: 1, max: CHUNKS - 1 }),
  page: fc.constantFrom(0, 1, 255, 510, 511),
};
const who = fc.nat(1);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('echo' as const), who, ...place }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('tell' as const), who }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constantFrom('take' as const, 'give' as const), ...place }),
  },
);

describe('Mappings of a Xen domain', () => {
  it.each([
    ['whatever guests and front-ends do', 0],
    ['also where small parts are mapped', 2],
  ])(
    'go whole or not at all, and the handler of SIGBUS knows none, %s',
    async (_, rounds) => {
      // A guest whose memory is files is served beside, and guarded.
      const files = await bed.bench.addDevice({}, { name: 'files' });
      await bed.bench.running(files);
      expect(kernel.guarded).toBeGreaterThan(0);
      let connections = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
          kernel.missing.clear();
          const devices: Connected[] = [];
          for (let i = 0; i < 2; i++) devices.push(await bed.connect(domain, i));
          connections++;
          // More than stays mapped, a page of each chunk.
          for (let i = 0; i < rounds * CHUNKS; i++) {
            await bed.echo(devices[i % 2] as Connected, (1 + (i % (CHUNKS - 1))) * CHUNK);
          }
          for (const one of steps) await run(one, devices);
          expect(kernel.guarded).toBeGreaterThan(0);
          for (const { frontEnd } of devices) frontEnd.close();
          await expect.poll(() => kernel.live).toBe(0);
          expect(kernel.violations).toEqual([]);
          for (const { device } of devices) await device.close();
        }),
        { numRuns: 8, interruptAfterTimeLimit: 60_000 },
      );
      expect(connections).toBeGreaterThan(0);
      if (rounds > 0) expect(asked).toContain(16);
      expect(kernel.counts.made).toBe(kernel.counts.unmapped + kernel.counts.overlaid);
      expect(kernel.counts.made).toBeGreaterThan(10);
    },
    120_000,
  );

  async function run(one: Step, devices: readonly Connected[]): Promise<void> {
    if (one.do === 'tell') {
      expect(await devices[one.who]?.tell()).toBe(0);
      return;
    }
    const offset = one.chunk * CHUNK + one.page * PAGE;
    if (one.do === 'take') kernel.missing.add(frameAt(offset));
    if (one.do === 'give') kernel.missing.delete(frameAt(offset));
    if (one.do === 'echo') {
      const there = !kernel.missing.has(frameAt(offset));
      put(domain, offset, [1, 2, 3, 4]);
      const written = await bed.echo(devices[one.who] as Connected, offset);
      // What was mapped before the guest gave it back may be mapped still, and what was not there is looked for later.
      if (there) expect([0, 4]).toContain(written);
      if (written > 0) expect(answerAt(domain, offset)).toEqual([1, 2, 3, 4]);
    }
  }

  describe('of which Xen refuses pages', () => {
    let guest: Connected;
    beforeEach(async () => {
      guest = await bed.connect(domain, 0);
    });

    /** Sends some bytes from one place, to be answered elsewhere. @returns how many come back */
    async function send(offset: number, length: number): Promise<number> {
      const { ring, frontEnd } = guest;
      ring.driver.add([
        { guestAddr: (GUEST_BASE + BigInt(offset)) as never, length, writable: false },
        { guestAddr: (GUEST_BASE + 0x10_0000n) as never, length, writable: true },
      ]);
      if (ring.driver.publish()) ring.kick.signal();
      return (await ring.collect(frontEnd.poller, 1))[0] as number;
    }

    it.each([
      ['in the middle of a buffer', 3 * CHUNK + PAGE, 3 * PAGE, 3 * CHUNK + 2 * PAGE],
      ['at the end of a chunk', 4 * CHUNK - 2 * PAGE, 2 * PAGE, 4 * CHUNK - PAGE],
      ['at the end of the first of two chunks', 5 * CHUNK - 2 * PAGE, 4 * PAGE, 5 * CHUNK - PAGE],
      ['at the beginning of the second of two', 6 * CHUNK - 2 * PAGE, 4 * PAGE, 6 * CHUNK],
      ['inside of the second of two', 7 * CHUNK - PAGE, 4 * PAGE, 7 * CHUNK + 2 * PAGE],
    ])(
      'is a fault for a request with such a page %s, and for no other',
      async (_, offset, length, hole) => {
        kernel.missing.add(frameAt(hole));
        expect(await send(offset, length)).toBe(0);
        // What lies before and behind is there.
        expect(await send(hole - 64, 64)).toBe(64);
        expect(await send(hole + PAGE, 64)).toBe(64);
        expect(await send(hole + PAGE - 1, 2)).toBe(0);
        expect(await send(hole - 1, 2)).toBe(0);
        kernel.missing.clear();
        await expect.poll(() => send(offset, length)).toBe(length);
      },
    );

    it('is a fault where all of a chunk is refused, of which nothing stays mapped', async () => {
      for (let page = 0; page < 512; page++) kernel.missing.add(frameAt(8 * CHUNK + page * PAGE));
      // Its ring is mapped, and where answers go.
      expect(await send(9 * CHUNK, 64)).toBe(64);
      const before = kernel.live;
      expect(await send(8 * CHUNK + 100, 64)).toBe(0);
      await expect.poll(() => kernel.live).toBe(before);
      expect(await send(9 * CHUNK, 64)).toBe(64);
    });

    it('waits for a page that is paged out, by a mapping of its own for each try', async () => {
      kernel.pagedOut.set(frameAt(10 * CHUNK + 7 * PAGE), 3);
      const { made } = kernel.counts;
      expect(await send(10 * CHUNK + 6 * PAGE, 3 * PAGE)).toBe(3 * PAGE);
      expect(kernel.counts.made - made).toBeGreaterThanOrEqual(4);
    });
  });
});
