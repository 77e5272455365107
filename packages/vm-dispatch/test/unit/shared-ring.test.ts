import { EventFd, EventLoop } from '@node-vmm/vmm-sys-util';
import { describe, expect, it } from 'vitest';
import { Channel } from '../../src/channel.ts';
import { RING_BYTES, SharedRing } from '../../src/shared-ring.ts';

describe('SharedRing', () => {
  it('hands over records in order, over its end and for more than its size', () => {
    const ring = new SharedRing();
    const other = new SharedRing(ring.buffer);
    expect(other.take()).toBeUndefined();
    for (let round = 0; round < 40; round++) {
      const records = [0, 1, 5000, 777].map((size) => new Uint8Array(size).fill(round + size));
      for (const record of records) expect(ring.push(record)).toBe(true);
      expect(other.empty).toBe(false);
      for (const record of records) expect(other.take()).toEqual(record);
    }
    expect(other.empty).toBe(true);
  });

  it('refuses what has no room now, and throws for what never has', () => {
    const ring = new SharedRing();
    const half = new Uint8Array(RING_BYTES / 2);
    expect(ring.push(half)).toBe(true);
    expect(ring.push(half)).toBe(false);
    ring.take();
    expect(ring.push(new Uint8Array(RING_BYTES - 4))).toBe(true);
    expect(() => ring.push(new Uint8Array(RING_BYTES - 3))).toThrow(RangeError);
  });

  it('goes on where its counts begin again', () => {
    const ring = new SharedRing();
    new Int32Array(ring.buffer, 0, 2).fill(-6);
    for (let i = 0; i < 4; i++) {
      ring.push(Uint8Array.of(i, 1, 2));
      expect(ring.take()).toEqual(Uint8Array.of(i, 1, 2));
    }
  });
});

describe('Channel', () => {
  it('keeps what finds no room until there is some, in order', () => {
    const [there, back] = [new SharedRing(), new SharedRing()];
    const [a, b, stop] = [EventFd.create(), EventFd.create(), EventFd.create()];
    const loop = new EventLoop(stop);
    const got: bigint[] = [];
    const here = new Channel<unknown, unknown>(
      { outgoing: there, incoming: back, out: a, in: b },
      () => undefined,
    );
    const other = new Channel<unknown, { n: bigint }>(
      { outgoing: back, incoming: there, out: b, in: a },
      ({ n }) => got.push(n),
    );
    const bytes = new Uint8Array(9000);
    for (let n = 0n; n < 30n; n++) here.post({ n, bytes });
    here.watch(loop);
    other.watch(loop);
    while (got.length < 30) loop.turn(1000);
    expect(got).toEqual(Array.from({ length: 30 }, (_, n) => BigInt(n)));
    loop.close();
    for (const eventfd of [a, b, stop]) eventfd.close();
  });
});
