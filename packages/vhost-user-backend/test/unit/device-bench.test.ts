import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GuestHeap } from '../../src/testing/guest-heap.ts';
import { connectDevice, openFds } from '../../src/testing/index.ts';
import { ECHO } from '../bench.ts';

const THROW = 0xff;
const HOLD = 0xfe;

describe('connectDevice', () => {
  let before: number;
  beforeEach(() => {
    before = openFds();
  });
  afterEach(() => expect.poll(() => openFds()).toBe(before));

  it('gives queues whose requests are answered, many at once and by indirect tables', async () => {
    await using bench = await connectDevice({ module: ECHO });
    expect(bench.queues).toHaveLength(2);
    const queue = bench.queue(1);
    const requests = Array.from({ length: 40 }, (_, i) =>
      queue.add([Uint8Array.of(i), Uint8Array.of(1, 2)], [2, 100], { indirect: i % 2 === 0 }),
    );
    queue.publish();
    for (const [i, answer] of (await Promise.all(requests)).entries()) {
      // As far as they were written: the device returns what it read.
      expect(answer).toEqual([Uint8Array.of(i, 1), Uint8Array.of(2)]);
    }
  });

  it('reads and writes configuration space', async () => {
    await using bench = await connectDevice({ module: ECHO, options: { config: [1, 2, 3, 4] } });
    expect(await bench.readConfig(1, 2)).toEqual(Uint8Array.of(2, 3));
    expect(await bench.writeConfig(1, Uint8Array.of(9))).toBe(0);
    expect(await bench.readConfig(0, 4)).toEqual(Uint8Array.of(1, 9, 3, 4));
    expect(await bench.readConfig(4, 1)).toHaveLength(0);
  });

  it('ends requests with an error when the device fails, those before and those after', async () => {
    await using bench = await connectDevice({ module: ECHO });
    const held = bench.queue(0).request([Uint8Array.of(HOLD)], [4]);
    const fatal = bench.queue(0).request([Uint8Array.of(THROW)], [4]);
    await expect(fatal).rejects.toThrow('the connection has ended');
    await expect(held).rejects.toThrow('the connection has ended');
    await expect(bench.queue(1).request([Uint8Array.of(1)], [1])).rejects.toThrow('has ended');
  });

  it.each([
    ['a loop', 'for (;;);', /device device: process does not come back; look there for a loop/],
    ['an exception', "throw new Error('a bug');", /device device: a bug$/],
  ])('says why the device gave no answer: %s in process', async (_, body, text) => {
    const module = new URL(
      `data:text/javascript,${encodeURIComponent(`export const createDevice = () => ({
        features: 0n, queueMaxSizes: [64], process() { ${body} }, [Symbol.dispose]() {},
      });`)}`,
    );
    await using bench = await connectDevice({ module });
    await expect(bench.queue(0).request([], [4])).rejects.toMatchObject({
      message: expect.stringMatching(text),
      cause: { context: { device: 'device' } },
    });
  });

  it('says that a queue is full, and goes on when it is not', async () => {
    await using bench = await connectDevice({ module: ECHO, queueSize: 4 });
    const queue = bench.queue(0);
    const add = () => queue.add([Uint8Array.of(1)], [1]);
    const answers = [add(), add()];
    expect(add).toThrow(/queue 0: it is full; wait for an answer/);
    queue.publish();
    await Promise.all(answers);
    expect(await queue.request([Uint8Array.of(7)], [1])).toEqual([Uint8Array.of(7)]);
  });

  it('starts a ring anew, where requests without an answer end', async () => {
    await using bench = await connectDevice({ module: ECHO });
    const queue = bench.queue(0);
    const held = queue.request([Uint8Array.of(HOLD)], [4]);
    await queue.restart(2048, 65_535);
    await expect(held).rejects.toThrow('started anew');
    for (let i = 0; i < 3; i++) {
      expect(await queue.request([Uint8Array.of(i)], [1])).toEqual([Uint8Array.of(i)]);
    }
    expect(await queue.stop()).toBe(2);
  });

  it('leaves nothing of a device that cannot be made', async () => {
    const options = { throws: 'not today' };
    await expect(connectDevice({ module: ECHO, options })).rejects.toThrow(/device/);
    await expect(connectDevice({ socketPath: '/nonexistent/socket' })).rejects.toMatchObject({
      code: 'ENOENT',
    });
  });
});

describe('GuestHeap', () => {
  it('gives parts that do not overlap, and takes them back whole', () => {
    const heap = new GuestHeap(0x1000n, 0x2000n);
    const parts = [1, 16, 17, 0].map((length) => ({ at: heap.allocate(length), length }));
    expect(parts.map(({ at }) => at)).toEqual([0x1000n, 0x1010n, 0x1020n, 0x1040n]);
    expect(() => heap.allocate(0x1000)).toThrow('no such room');
    for (const { at, length } of parts.reverse()) heap.free(at, length);
    expect(heap.allocate(0x1000)).toBe(0x1000n);
  });
});
