import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deviceModule } from '@node-vmm/vhost-user-backend';
import { type BenchQueue, connectDevice, MemoryLogger } from '@node-vmm/vhost-user-backend/testing';
import { afterAll, describe, expect, it, vi } from 'vitest';
import type { RngDeviceOptions } from '../../src/device.ts';
import { openSource } from '../../src/open-source.ts';

const module = deviceModule('./device.js', new URL('../../src/main.ts', import.meta.url).href);
const directory = mkdtempSync(join(tmpdir(), 'rng-'));
afterAll(() => rmSync(directory, { recursive: true }));
const path = (name: string): string => join(directory, name);
const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('latin1');
const ofSource = (name: string, rest: RngDeviceOptions = {}): { module: URL; options: object } => ({
  module,
  options: { source: openSource(name), ...rest },
});

/** Waits until the device has taken requests, which does not mean that it has answered them. */
const taken = (queue: BenchQueue, count: number): Promise<void> =>
  vi.waitFor(() => expect(queue.ring.driver.raw.availEvent).toBe(count), { timeout: 45_000 });

describe('the kernel’s generator', () => {
  it('fills every buffer of a request, and no two alike', async () => {
    await using bench = await connectDevice({ module });
    const queue = bench.queue(0);
    const answers = await Promise.all([
      queue.request([], [64, 100]),
      queue.request([], [64]),
      queue.request([], [64, 64, 64], { indirect: true }),
    ]);
    expect(answers.map((buffers) => buffers.map(({ length }) => length))).toEqual([
      [64, 100],
      [64],
      [64, 64, 64],
    ]);
    const texts = answers.flat().map((bytes) => text(bytes.subarray(0, 64)));
    expect(new Set(texts).size).toBe(6);
  });

  it('fills more pieces than one system call takes', async () => {
    await using bench = await connectDevice({ module, queueSize: 1024 });
    const queue = bench.queue(0);
    const pieces = Array.from({ length: 40 }, () => 16);
    const answers = Array.from({ length: 60 }, () => queue.add([], pieces, { indirect: true }));
    queue.publish();
    const all = (await Promise.all(answers)).flat();
    expect(all.map(({ length }) => length)).toEqual(Array.from({ length: 2400 }, () => 16));
    expect(new Set(all.map(text)).size).toBe(2400);
  });

  it('gives a request 64 KiB of a buffer that is larger, and nothing behind them', async () => {
    await using bench = await connectDevice({ module });
    const [bytes] = await bench.queue(0).request([], [1_000_000]);
    expect(bytes?.length).toBe(0x1_0000);
    expect(new Set(bytes).size).toBe(256);
  });

  it('returns a request with a readable part, or without a writable one', async () => {
    await using bench = await connectDevice({ module });
    const queue = bench.queue(0);
    const answers = await Promise.all([
      queue.request([Uint8Array.of(1, 2, 3)], []),
      queue.request([Uint8Array.of(1, 2, 3)], [16]),
      queue.request([], [32]),
    ]);
    expect(answers.map((buffers) => buffers.map(({ length }) => length))).toEqual([[], [16], [32]]);
  });

  it('keeps to a quota and gives what waits a byte when its queue stops', async () => {
    await using bench = await connectDevice({
      module,
      options: { maxBytes: 100, period: 60_000 } satisfies RngDeviceOptions,
    });
    const queue = bench.queue(0);
    expect((await queue.request([], [64]))[0]?.length).toBe(64);
    expect((await queue.request([], [36]))[0]?.length).toBe(36);
    const late = queue.request([], [50]);
    await taken(queue, 3);
    await queue.stop();
    // The least that a driver must get, since the queue stops.
    expect((await late)[0]?.length).toBe(1);
  });
});

describe('a file', () => {
  it('is given once, in order, and what is appended to it later', async () => {
    writeFileSync(path('file'), 'abcdefghij');
    const logger = new MemoryLogger();
    await using bench = await connectDevice({ ...ofSource(path('file')), logger });
    const queue = bench.queue(0);
    const [first, second] = await Promise.all([queue.request([], [4]), queue.request([], [100])]);
    expect(text(first[0]) + text(second[0])).toBe('abcdefghij');
    const late = queue.request([], [8]);
    await vi.waitFor(
      () =>
        expect(logger.lines.map(({ message }) => message)).toContain(
          'the source gives nothing: requests wait, it is asked every second',
        ),
      { timeout: 45_000 },
    );
    appendFileSync(path('file'), 'klm');
    expect(text((await late)[0])).toBe('klm');
  });

  it('goes on with the next guest where it was', async () => {
    writeFileSync(path('two'), 'abcdefgh');
    const device = ofSource(path('two'));
    for (const expected of ['abcd', 'efgh']) {
      await using bench = await connectDevice(device);
      expect(text((await bench.queue(0).request([], [4]))[0])).toBe(expected);
    }
  });
});

describe('a FIFO', () => {
  it('holds up neither the start nor the stop of a queue, and gives what is written to it', async () => {
    execFileSync('mkfifo', [path('fifo')]);
    await using bench = await connectDevice(ofSource(path('fifo')));
    const queue = bench.queue(0);
    const answer = queue.request([], [64]);
    const writer = await open(path('fifo'), 'w');
    await writer.write('abc');
    expect(text((await answer)[0])).toBe('abc');
    await writer.close();
    const lost = queue.request([], [64]);
    await taken(queue, 2);
    expect(await queue.stop()).toBe(2);
    await queue.restart();
    await expect(lost).rejects.toThrow();
    const next = Promise.all([queue.request([], [1]), queue.request([], [1])]);
    const again = await open(path('fifo'), 'w');
    await again.write('de');
    expect((await next).map(([bytes]) => text(bytes))).toEqual(['d', 'e']);
    await again.close();
  });
});

it('reads a device whose reads may wait', async () => {
  await using bench = await connectDevice(ofSource('/dev/random'));
  const [bytes] = await bench.queue(0).request([], [256]);
  expect(new Set(bytes).size).toBeGreaterThan(64);
});
