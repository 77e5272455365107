import { featureWord, VIRTIO_RING_F_INDIRECT_DESC } from '@node-vmm/virtio-bindings';
import { createVirtqueue, type Virtqueue } from '@node-vmm/virtio-queue';
import { SplitDriverQueue } from '@node-vmm/virtio-queue/driver';
import { GuestMemoryMmap, guestAddress } from '@node-vmm/vm-memory';
import { EventFd, EventLoop, silentLogger } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GROUP_PATIENCE_MS, I2cDevice } from '../../src/backend.ts';
import { makeBoard } from '../../src/simulated/board.ts';
import { GuestI2c, type GuestRequest } from '../support/guest.ts';
import type { RequestShape } from '../support/requests.ts';

const INDIRECT = featureWord(VIRTIO_RING_F_INDIRECT_DESC);

let memory: GuestMemoryMmap;
let driver: SplitDriverQueue;
let queue: Virtqueue;
let guest: GuestI2c;
let stop: EventFd;
let loop: EventLoop;
let device: I2cDevice;
let flushes: number;

beforeEach(() => {
  memory = GuestMemoryMmap.create([{ guestAddr: guestAddress(0), length: 0x10_0000 }]);
  const config = { ...SplitDriverQueue.layout(256), features: INDIRECT };
  driver = new SplitDriverQueue(memory, config);
  queue = createVirtqueue(memory, config);
  guest = new GuestI2c(memory, driver, 0x1_0000);
  stop = EventFd.create();
  loop = new EventLoop(stop);
  flushes = 0;
  const host = makeBoard([{ chip: '24c02', address: 0x50 }], loop);
  const context = { logger: silentLogger, poller: loop, emit: () => undefined };
  device = new I2cDevice([{ host, addresses: [0x50] }], context);
  device.negotiated(device.features);
});
afterEach(() => {
  device[Symbol.dispose]();
  queue[Symbol.dispose]();
  driver[Symbol.dispose]();
  loop.close();
  stop.close();
  memory.close();
});

const deviceQueue = {
  index: 0,
  resumed: false,
  complete: (...args: Parameters<Virtqueue['complete']>) => queue.complete(...args),
  flush: () => {
    flushes++;
    queue.flush();
  },
};

/** What the framework does at a kick. */
function kick(): void {
  driver.publish();
  for (let batch = queue.popBatch(); batch.length > 0; batch = queue.popBatch()) {
    device.process(deviceQueue, batch);
    queue.flush();
  }
}

function used(): { head: number; written: number }[] {
  const all = [];
  for (let next = driver.poll(); next !== undefined; next = driver.poll()) all.push(next);
  return all;
}

function exchange(shapes: RequestShape[], piece?: number, indirect?: boolean): GuestRequest[] {
  const requests = shapes.map((shape) => guest.add(shape, piece, indirect));
  kick();
  expect(used().map(({ head }) => head)).toEqual(requests.map(({ head }) => head));
  return requests;
}

describe('requests in a real queue', () => {
  it.each([
    ['as Linux lays them out', undefined, false],
    ['byte by byte', 1, false],
    ['in odd pieces', 3, false],
    ['in one piece per direction', 1000, false],
    ['in an indirect table', undefined, true],
    ['in an indirect table byte by byte', 1, true],
  ])('come %s', (_, piece, indirect) => {
    const [write] = exchange([{ address: 0x50, write: [8, 1, 2, 3, 4, 5] }], piece, indirect);
    expect(guest.answer(write as GuestRequest).status).toBe(0);
    const [, read, absent] = exchange(
      [
        { address: 0x50, write: [9], failNext: true },
        { address: 0x50, read: 3 },
        { address: 0x51, read: 1 },
      ],
      piece,
      indirect,
    );
    expect(guest.answer(read as GuestRequest)).toEqual({ data: [2, 3, 4], status: 0 });
    expect(guest.answer(absent as GuestRequest)).toEqual({ data: [0], status: 1 });
  });

  it('make one transfer of a group that becomes available bit by bit', () => {
    exchange([{ address: 0x50, write: [0, 7, 8] }]);
    const first = guest.add({ address: 0x50, write: [0], failNext: true });
    kick();
    const second = guest.add({ address: 0x50, read: 2 });
    kick();
    expect(used().map(({ head }) => head)).toEqual([first.head, second.head]);
    expect(guest.answer(second).data).toEqual([7, 8]);
    expect(device.counters.splitGroups).toBe(0);
  });

  it('do not wait for ever for the rest of a group', () => {
    const request = guest.add({ address: 0x50, write: [0], failNext: true });
    kick();
    expect(used()).toEqual([]);
    loop.turn(GROUP_PATIENCE_MS * 10);
    expect(used()).toEqual([{ head: request.head, written: 1 }]);
    expect(flushes).toBe(1);
    expect(guest.answer(request).status).toBe(0);
  });

  it('are served ten thousand times over', () => {
    for (let i = 0; i < 10_000; i++) {
      guest.recycle();
      const [, read] = exchange([
        { address: 0x50, write: [i & 0xff, i & 0x7f] },
        { address: 0x50, write: [i & 0xff], failNext: true },
        { address: 0x50, read: 1 },
      ]).slice(1);
      expect(guest.answer(read as GuestRequest)).toEqual({ data: [i & 0x7f], status: 0 });
    }
    expect(device.counters).toMatchObject({ requests: 30_000, errors: 0, transfers: 20_000 });
  });
});
