import { CHUNK_LENGTH, ChunkClock } from '@node-vmm/vm-memory';
import { describe, expect, it } from 'vitest';
import { TouchSize } from '../../src/control/touch-size.ts';

const MIB = 2 ** 20;
const KIB = 2 ** 10;

function of(limit = 16 * MIB) {
  const clock = ChunkClock.create();
  const touch = new TouchSize(limit, clock);
  const evict = (times: number, lent: number, length = CHUNK_LENGTH): void => {
    for (let i = 0; i < times; i++) touch.evicted(length, lent);
  };
  /** @returns bytes that borrowers are to ask for */
  const told = (own = 8, all = 8): number => {
    touch.tell(own, all);
    return clock.touch;
  };
  return { touch, evict, told };
}

describe('How much is mapped where memory is touched', () => {
  it('is little once chunks are taken away after few uses, over and over', () => {
    const { evict, told, touch } = of();
    evict(3, 1);
    expect([told(), touch.slack]).toEqual([0, 0]);
    evict(1, 1);
    expect([told(), touch.slack]).toEqual([64 * KIB, MIB]);
  });

  it('is all of a chunk while chunks are used much before they are taken away', () => {
    const { evict, told } = of();
    for (let i = 0; i < 20; i++) {
      evict(1, 1);
      evict(1, 500);
    }
    expect(told()).toBe(0);
  });

  it('is all of a chunk again when those that come about anyhow are used much, and when all ends', () => {
    const { evict, told, touch } = of();
    evict(1000, 1);
    // Whatever becomes of small ones.
    evict(1000, 500, 64 * KIB);
    evict(12, 500);
    expect(told()).toBe(64 * KIB);
    evict(1, 500);
    expect(told()).toBe(0);
    evict(8, 1);
    expect(told()).toBe(64 * KIB);
    touch.reset();
    expect(told()).toBe(0);
  });

  it.each([
    [2 * MIB, 64 * KIB],
    [16 * MIB - 4 * KIB, 64 * KIB],
    [64 * MIB, 256 * KIB],
    [300 * MIB, 2 * MIB],
    [1024 * MIB, 2 * MIB],
  ])('is so much that few mappings make up a limit of %i bytes', (limit, small) => {
    const { evict, told } = of(limit);
    evict(100, 1);
    expect(told()).toBe(small === CHUNK_LENGTH ? 0 : small);
    expect(limit / small).toBeLessThanOrEqual(512);
  });

  it('is all of a chunk where the domain, or the process, has many mappings', () => {
    const { evict, told } = of();
    evict(100, 1);
    expect([told(511, 8191), told(512, 512), told(8, 8192)]).toEqual([64 * KIB, 0, 0]);
  });
});
