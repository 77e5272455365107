// A domain ends, and another gets its number: Xen gives a number away when nobody maps any page of who had it.
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { MapForeign } from '../../src/control/foreign-region.ts';
import { FakeDomain } from '../../src/testing/index.ts';
import { answerAt, ForeignBench, put } from '../support/foreign-bench.ts';

const MIB = 2 ** 20;
const CHUNK = 2 * MIB;
const NUMBER = 7;
/** Beside the ring, in a chunk of its own. */
const PLACE = 3 * CHUNK;

/** Has domains under one number, one after another. */
class Numbers {
  readonly all: FakeDomain[] = [];
  #current: FakeDomain | undefined;

  /** @throws {Error} where Xen would: the one before is there, or some of its pages are */
  create(): FakeDomain {
    if (!this.free) throw new Error(`domain ${NUMBER} exists`);
    const domain = new FakeDomain(NUMBER, 16 * MIB);
    this.all.push(domain);
    this.#current = domain;
    return domain;
  }

  get free(): boolean {
    return this.#current === undefined && this.all.every(({ live }) => live.size === 0);
  }

  /** It is dying: what is mapped stays, nothing else can be. */
  destroy(): void {
    this.#current = undefined;
  }

  readonly map: MapForeign = async (range) => {
    if (this.#current === undefined) throw new Error('there is no such domain');
    return await this.#current.map(range);
  };
}

let numbers: Numbers;
let foreign: ForeignBench;
beforeEach(() => {
  numbers = new Numbers();
  foreign = new ForeignBench({ mapForeign: numbers.map });
});
afterEach(async () => {
  await foreign.close();
  for (const domain of numbers.all) domain.close();
});

it('finds nothing of the old one, of which nothing is mapped before the new one can be there', async () => {
  const old = numbers.create();
  const a = await foreign.connect(old, 1);
  put(old, PLACE, [1, 1, 1, 1]);
  expect(await foreign.echo(a, PLACE)).toBe(4);
  numbers.destroy();
  expect(numbers.free).toBe(false);
  a.frontEnd.close();
  await expect.poll(() => numbers.free).toBe(true);

  const later = numbers.create();
  put(later, PLACE, [2, 2, 2, 2]);
  const b = await foreign.connect(later, 1);
  expect(await foreign.echo(b, PLACE)).toBe(4);
  expect(answerAt(later, PLACE)).toEqual([2, 2, 2, 2]);
  expect(answerAt(old, PLACE)).toEqual([1, 1, 1, 1]);
  expect(old.live.size).toBe(0);
});

it('keeps the number from another while any connection of the old one is there, that sees nothing new', async () => {
  const old = numbers.create();
  const [first, second] = [await foreign.connect(old, 1), await foreign.connect(old, 2)];
  expect([await foreign.echo(first, PLACE), await foreign.echo(second, PLACE)]).toEqual([4, 4]);
  numbers.destroy();
  // Whose page it was that proved the first region is gone.
  first.frontEnd.close();
  // Nothing else of it is mapped: no request, and no ring.
  expect(await second.tell()).toBe(0);
  await expect.poll(() => [...old.live], { timeout: 20_000 }).toEqual([[0, 1]]);
  expect(numbers.free).toBe(false);
  expect(() => numbers.create()).toThrow('exists');
  second.frontEnd.close();
  await expect.poll(() => numbers.free).toBe(true);

  // Who comes too late proves nothing, and has not joined what was there.
  const asked = old.asked.length;
  const later = numbers.create();
  const b = await foreign.connect(later, 1);
  expect(await foreign.echo(b, PLACE)).toBe(4);
  expect(old.asked.length).toBe(asked);
});

it('is not joined by who has a page of the new one, while the old one is let go of', async () => {
  const old = numbers.create();
  const a = await foreign.connect(old, 1);
  expect(await foreign.echo(a, PLACE)).toBe(4);
  numbers.destroy();
  a.frontEnd.close();
  for (let round = 0; round < 5; round++) {
    const before = numbers.all.at(-1) as FakeDomain;
    await expect.poll(() => numbers.free).toBe(true);
    const next = numbers.create();
    put(next, PLACE, [round, 9, 9, round]);
    const c = await foreign.connect(next, 1);
    expect(await foreign.echo(c, PLACE)).toBe(4);
    expect(answerAt(next, PLACE)).toEqual([round, 9, 9, round]);
    expect(before.live.size).toBe(0);
    numbers.destroy();
    c.frontEnd.close();
  }
}, 60_000);
