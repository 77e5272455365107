// A Xen guest that uses more memory than stays mapped, a little here and a little there.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeDomain, mapperOf } from '../../src/testing/index.ts';
import { answerAt, type Connected, ForeignBench, put } from '../support/foreign-bench.ts';

const CHUNK = 2 ** 21;
const PAGE = 4096;
const CHUNKS = 24;
const LIMIT = 4 * CHUNK;
/** Pages of a small part: of a limit of 8 MiB. */
const SMALL = 16;

describe('Memory that is used here and there', () => {
  let domain: FakeDomain;
  let bed: ForeignBench;
  let guest: Connected;
  beforeEach(async () => {
    domain = new FakeDomain(7, (CHUNKS + 1) * CHUNK);
    bed = new ForeignBench({ mapForeign: mapperOf(domain), foreignLimit: LIMIT });
    guest = await bed.connect(domain, 0);
  });
  afterEach(async () => {
    await bed.close();
    domain.close();
  });

  /** Has a request served of each chunk. @returns pages of each call that this took */
  async function round(offset = 0): Promise<number[]> {
    domain.asked.length = 0;
    for (let i = 1; i <= CHUNKS; i++) {
      const at = i * CHUNK + offset;
      put(domain, at, [i, 2, 3, offset % 251]);
      expect(await bed.echo(guest, at)).toBe(4);
      expect(answerAt(domain, at)).toEqual([i, 2, 3, offset % 251]);
    }
    return calls();
  }

  /** Pages of each call, but of those for what the ring is in. */
  function calls(): number[] {
    return domain.asked.filter(([offset]) => offset >= CHUNK).map(([, pages]) => pages);
  }

  it('is mapped by small parts, all of which stay where the chunks that they are of would not', async () => {
    const first = await round();
    // Until four were taken away after few uses.
    expect(first.slice(0, 5)).toEqual(Array(5).fill(512));
    expect(first.slice(8)).toEqual(Array(CHUNKS - 8).fill(SMALL));
    await round();
    expect(await round()).toEqual([]);
    expect(domain.peak).toBeLessThanOrEqual(LIMIT);
  });

  it('is within the limit, however many places of it are used', async () => {
    for (let i = 0; i < 20; i++) await round(((i * 7) % 32) * SMALL * PAGE);
    expect(domain.peak).toBeLessThanOrEqual(LIMIT);
    expect(domain.live.size).toBeLessThan(400);
  }, 60_000);

  it('is mapped by a whole chunk again where neighbours are used', async () => {
    await round();
    await round();
    domain.asked.length = 0;
    // One chunk, page after page, but for the part that is mapped.
    const at = 12 * CHUNK + CHUNK / 2;
    for (let page = 0; page < 256; page++) await bed.echo(guest, at + page * PAGE);
    expect(calls()).toEqual([...Array(11).fill(SMALL), 512]);
  });
});
