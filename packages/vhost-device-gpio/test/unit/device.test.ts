import { deviceModule } from '@node-vmm/vhost-user-backend';
import { connectDevice } from '@node-vmm/vhost-user-backend/testing';
import { expect, it } from 'vitest';

const module = deviceModule('./device.js', new URL('../../src/main.ts', import.meta.url).href);

it('fills every buffer of a request, and no two alike', async () => {
  await using bench = await connectDevice({ module, options: { maxBytes: 65_536 } });
  const queue = bench.queue(0);
  const answers = await Promise.all([queue.request([], [64, 100]), queue.request([], [64])]);
  expect(answers.map((buffers) => buffers.map(({ length }) => length))).toEqual([[64, 100], [64]]);
  const texts = answers.flat().map((bytes) => Buffer.from(bytes.subarray(0, 64)).toString('hex'));
  expect(new Set(texts).size).toBe(3);
});

it('gives no more than it is told to', async () => {
  await using bench = await connectDevice({ module, options: { maxBytes: 100 } });
  const [first, second] = await bench.queue(0).request([], [64, 64]);
  expect([first?.length, second?.length]).toEqual([64, 36]);
});

it('reads nothing, and returns a request without room', async () => {
  await using bench = await connectDevice({ module, options: { maxBytes: 100 } });
  expect(await bench.queue(0).request([Uint8Array.of(1, 2, 3)], [])).toEqual([]);
});
