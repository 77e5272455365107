import {
  type DescriptorChain,
  VIRTIO_RING_F_EVENT_IDX,
  VirtioQueueError,
} from '@node-vmm/virtio-queue';
import { afterEach, expect, it, vi } from 'vitest';
import { ENTRY, InflightRig, RECORD } from '../inflight-rig.ts';

/** Cases of each property: more where somebody has the time. */
const RUNS = Number(process.env['INFLIGHT_RUNS'] ?? 100_000);
const TIMEOUT = 300_000 + RUNS;
const SIZE = 8;

/** Mulberry32: the seed that a failure names repeats it. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

afterEach(() => vi.restoreAllMocks());

class Killed extends Error {}

/**
 * Runs `body` until its device has made so many atomic stores: a process may be killed before each.
 *
 * @param body - gets what runs the driver's part, which nobody kills
 */
function killedAfter(stores: number, body: (asDriver: (part: () => void) => void) => void): void {
  const { store } = Atomics;
  let left = stores;
  let driver = false;
  const counted = (array: Uint8Array, index: number, value: number): number => {
    if (!driver && left-- <= 0) throw new Killed();
    return store(array, index, value);
  };
  const spy = vi.spyOn(Atomics, 'store').mockImplementation(counted as never);
  try {
    body((part) => {
      driver = true;
      part();
      driver = false;
    });
  } catch (error) {
    if (!(error instanceof Killed)) throw error;
  } finally {
    spy.mockRestore();
  }
}

/** A device that returns what it holds in any order. */
function serve(rig: InflightRig, random: (below: number) => number, held: DescriptorChain[]): void {
  held.push(...rig.take(1 + random(SIZE)));
  for (let n = random(held.length + 1); n > 0; n--) {
    const [chain] = held.splice(random(held.length), 1);
    if (chain !== undefined) rig.device.complete(chain, 1);
  }
  rig.device.flush();
  rig.device.enableNotification();
}

it(
  'wherever devices are killed, each request comes back exactly once',
  () => {
    // A ring is made for each, which is most of the work.
    for (let seed = 0; seed < RUNS / 100; seed++) {
      const random = randomOf(seed);
      const start = [0, 65_530][random(2)] as number;
      const features = random(2) === 0 ? [] : [VIRTIO_RING_F_EVENT_IDX];
      const rig = new InflightRig({ size: SIZE, start, features });
      const out = new Set<number>();
      // The driver throws at what it did not ask for.
      const poll = () => {
        for (const head of rig.returned()) expect(out.delete(head), `seed ${seed}`).toBe(true);
      };
      let sent = 0;
      for (let life = 0; life < 8; life++) {
        killedAfter(random(40), (asDriver) => {
          rig.next(rig.driver.raw.usedIndex);
          const held: DescriptorChain[] = [];
          for (let turn = 0; turn < 10; turn++) {
            asDriver(() => {
              poll();
              const more = rig.request(random(SIZE - rig.driver.outstanding + 1));
              sent += more.length;
              for (const head of more) out.add(head);
            });
            serve(rig, random, held);
          }
        });
        poll();
      }
      rig.next(rig.driver.raw.usedIndex);
      for (const chain of rig.take()) rig.device.complete(chain, 1);
      rig.device.flush();
      poll();
      expect([out.size, rig.flagged], `seed ${seed}`).toEqual([0, []]);
      expect(rig.driver.raw.usedIndex, `seed ${seed}`).toBe((start + sent) & 0xffff);
    }
  },
  TIMEOUT,
);

/** Puts something into the record that a hostile front-end might. */
function spoil({ view, region, config }: InflightRig, random: (below: number) => number): void {
  const any16 = () => (random(3) === 0 ? random(0x1_0000) : random(SIZE + 2));
  for (let n = 1 + random(6); n > 0; n--) {
    const entry = RECORD.entry + random(config.size) * ENTRY.size;
    const kind = random(40);
    if (kind < 10) view.setUint8(entry + ENTRY.inflight, random(3));
    else if (kind < 16) view.setUint16(entry + ENTRY.next, any16(), true);
    else if (kind < 22) view.setUint32(entry + ENTRY.counter + 4 * random(2), -1 - random(3), true);
    else if (kind < 26) view.setUint16(RECORD.lastBatchHead, any16(), true);
    else if (kind < 30) view.setUint16(RECORD.usedIdx, any16(), true);
    else if (kind < 38) region.bytes[RECORD.entry + random(SIZE * ENTRY.size)] = random(256);
    else if (kind < 39) region.bytes[random(RECORD.entry)] = random(256);
    else for (let i = 0; i < region.bytes.length; i++) region.bytes[i] = random(256);
  }
}

it(
  'a hostile record, before and while it is used, harms nobody but its ring',
  () => {
    let refused = 0;
    let broken = 0;
    let again = 0;
    let rig = new InflightRig({ size: SIZE });
    for (let seed = 0; seed < RUNS; seed++) {
      const random = randomOf(seed);
      // A ring serves for some cases, with whatever the one before left in it.
      if (seed % 20 === 0) rig = new InflightRig({ size: SIZE, start: random(0x1_0000) });
      const { raw } = rig.driver;
      if (random(4) === 0)
        raw.setDescriptor(random(SIZE), { addr: 0x1_0000n, len: 1, flags: random(4) });
      raw.offer(random(SIZE), random(SIZE));
      spoil(rig, random);
      const before = raw.usedIndex;
      try {
        rig.next(random(2) === 0 ? before : random(0x1_0000));
      } catch (error) {
        if (!VirtioQueueError.is(error, 'BAD_RECORD') && !VirtioQueueError.is(error, 'BAD_STATE'))
          throw new Error(`seed ${seed}`, { cause: error });
        refused++;
        // As the front-end would after a reset of its device.
        rig.view.setUint16(RECORD.version, 0, true);
        continue;
      }
      const { device } = rig;
      if (device.position !== before) again++;
      const held: DescriptorChain[] = [];
      for (let turn = 0; turn < 3; turn++) {
        serve(rig, random, held);
        if (random(2) === 0) spoil(rig, random);
      }
      if (device.broken !== undefined) broken++;
      const { chains, malformedChains } = device.counters;
      const returned = (raw.usedIndex - before) & 0xffff;
      if (returned !== chains + malformedChains - held.length || device.inflight !== held.length) {
        throw new Error(`seed ${seed}: ${returned} returned of ${chains} + ${malformedChains}`);
      }
      for (const chain of held) {
        if (!(chain.head < SIZE)) throw new Error(`seed ${seed}: head ${chain.head}`);
        device.complete(chain, 1);
      }
      device[Symbol.dispose]();
      if (rig.memory.segmentsOut !== 0) throw new Error(`seed ${seed}: pieces stay lent`);
      raw.availIndex = raw.usedIndex;
    }
    // All three ends have been seen.
    expect(Math.min(refused, broken, again)).toBeGreaterThan(RUNS / 1000);
  },
  TIMEOUT,
);
