// A guest that may have 1 TiB and has next to nothing of it: what it claims costs nothing, what it uses little.
import { afterEach, beforeEach, expect, it } from 'vitest';
import { FakeDomain, mapperOf } from '../../src/testing/index.ts';
import { answerAt, type Connected, ForeignBench, put } from '../support/foreign-bench.ts';

const MIB = 2 ** 20;
const CHUNK = 2 * MIB;
const TIB = 2 ** 40;
const TOP = TIB - 4096;
const HOLE = TIB / 2 + 8192;

let domain: FakeDomain;
let foreign: ForeignBench;
beforeEach(() => {
  domain = new FakeDomain(7, 64 * MIB);
  // One page of it is the last one.
  domain.moved.set(TOP, 32 * MIB);
  foreign = new ForeignBench({ mapForeign: mapperOf(domain), workers: 1 });
});
afterEach(async () => {
  await foreign.close();
  domain.close();
});

it('is accepted by a page, whatever it claims', async () => {
  const { external, rss } = process.memoryUsage();
  const began = performance.now();
  const devices: Connected[] = [];
  for (let i = 1; i <= 4; i++) devices.push(await foreign.connect(domain, i, TIB));
  const took = performance.now() - began;
  const now = process.memoryUsage();
  // Generous, for a machine that does much else: 1 TiB page by page is 268 million pages.
  expect(took).toBeLessThan(30_000);
  // The test's own view of the memory is a window of 64 MiB.
  expect(now.external - external).toBeLessThan(128 * MIB);
  expect(now.rss - rss).toBeLessThan(256 * MIB);
  const pages = domain.asked.reduce((sum, [, count]) => sum + count, 0);
  // A new table has the others look anew for what they need, which is in one chunk.
  expect(pages).toBeLessThan(4 * 512 + 64);
  expect(domain.mapped).toBeLessThan(2 * CHUNK);
}, 60_000);

it('is served at its top and beside holes, and a request in a hole fails alone', async () => {
  const a = await foreign.connect(domain, 1, TIB);
  put(domain, 32 * MIB, [7, 6, 5, 4]);
  const before = domain.asked.length;
  expect(await foreign.echo(a, TOP)).toBe(4);
  expect(answerAt(domain, 32 * MIB)).toEqual([7, 6, 5, 4]);
  expect(await foreign.echo(a, HOLE)).toBe(0);
  // Half of it in the hole, and past the end of all.
  expect(await foreign.echo(a, TIB - 2)).toBe(0);
  expect(await foreign.echo(a, TIB + 4096)).toBe(0);
  expect(await foreign.echo(a, TOP)).toBe(4);
  expect(await foreign.echo(a, 8 * MIB)).toBe(4);
  // The chunks of those three places, and no more of them than that.
  expect(domain.asked.slice(before).map(([offset]) => offset)).toEqual(
    expect.arrayContaining([TIB - CHUNK, TIB / 2, 8 * MIB]),
  );
  expect(domain.asked.length - before).toBeLessThan(12);
  expect(domain.peak).toBeLessThan(4 * CHUNK);
  expect(foreign.bench.logger.lines.filter(({ level }) => level === 'error')).toEqual([]);
}, 60_000);

it('does not grow what is kept by requests all over it, of which none finds a page', async () => {
  const a = await foreign.connect(domain, 1, TIB);
  const { heapUsed } = process.memoryUsage();
  const places = 1500;
  for (let i = 0; i < places; i++) {
    expect(await foreign.echo(a, TIB / 4 + i * 100 * CHUNK)).toBe(0);
  }
  // Each was asked for once.
  expect(domain.asked.filter(([offset]) => offset >= TIB / 4)).toHaveLength(places);
  expect(domain.mapped).toBeLessThan(2 * CHUNK);
  expect(process.memoryUsage().heapUsed - heapUsed).toBeLessThan(64 * MIB);
}, 120_000);
