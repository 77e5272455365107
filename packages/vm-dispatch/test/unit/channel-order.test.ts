import { EventFd } from '@node-vmm/vmm-sys-util';
import { describe, expect, it } from 'vitest';
import { Channel } from '../../src/channel.ts';
import { RING_BYTES, SharedRing } from '../../src/shared-ring.ts';

/** Both ends of a channel in one thread, which turns by hand. */
class Pair implements Disposable {
  readonly #out = EventFd.create();
  readonly #in = EventFd.create();
  readonly here: Channel<string, never>;
  readonly there: Channel<never, string>;
  /** Does what the other end would with a message. */
  onMessage: (message: string) => void = () => undefined;

  constructor() {
    const [to, from] = [new SharedRing(), new SharedRing()];
    this.here = new Channel(
      { outgoing: to, incoming: from, out: this.#out, in: this.#in },
      () => undefined,
    );
    this.there = new Channel(
      { outgoing: from, incoming: to, out: this.#in, in: this.#out },
      (message: string) => this.onMessage(message),
    );
  }

  [Symbol.dispose](): void {
    this.#out.close();
    this.#in.close();
  }
}

describe('The order of messages', () => {
  it('stays when a small one would have room and a large one before it has none', () => {
    using pair = new Pair();
    const got: string[] = [];
    pair.onMessage = (message) => got.push(message[0] ?? '');
    pair.here.post('a'.repeat(RING_BYTES / 2));
    pair.here.post('b'.repeat(RING_BYTES / 2));
    pair.here.post('c');
    while (got.length < 3) {
      pair.there.take();
      pair.here.take();
    }
    expect(got).toEqual(['a', 'b', 'c']);
  });

  it('is that in which they are done with, when one of them has the next taken', () => {
    using pair = new Pair();
    const done: string[] = [];
    pair.onMessage = (message) => {
      done.push(`${message} begins`);
      pair.there.take();
      done.push(`${message} ends`);
    };
    pair.here.post('a');
    pair.here.post('b');
    pair.there.take();
    expect(done).toEqual(['a begins', 'a ends', 'b begins', 'b ends']);
  });
});

describe('A ring whose counts change their sign', () => {
  it('is full where it was before', () => {
    const ring = new SharedRing();
    new Int32Array(ring.buffer, 0, 2).fill(0x7fff_f000);
    const half = new Uint8Array(RING_BYTES / 2).fill(7);
    expect(ring.push(half)).toBe(true);
    expect(ring.push(half)).toBe(false);
    expect(ring.take()).toEqual(half);
  });
});
