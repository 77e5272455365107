import { PropertyRun, propertyCases } from '@node-vmm/vhost-user-backend/testing';
import {
  featureWord,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
} from '@node-vmm/virtio-bindings';
import { createVirtqueue, type DescriptorChain } from '@node-vmm/virtio-queue';
import { type RawDescriptor, SplitDriverQueue } from '@node-vmm/virtio-queue/driver';
import { GuestMemoryMmap, guestAddress } from '@node-vmm/vm-memory';
import { EventFd, EventLoop, silentLogger } from '@node-vmm/vmm-sys-util';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { EntropyRead, EntropySource } from '../../src/entropy-source.ts';
import { KernelSource } from '../../src/kernel-source.ts';
import { RNG_REQUEST_MAX, RngDevice } from '../../src/rng-device.ts';

/** How many random tables of descriptors each source sees. */
const CASES = propertyCases(500);
const TIMEOUT = 60_000 + CASES * 5;

const SIZE = 8;
const MEMORY = 0x4_0000;
const DATA = 0x1_0000;
const TABLE = 0x8000;
const TABLE_SIZE = 4;
const CANARY_STEP = 64;
const FEATURES = featureWord(VIRTIO_RING_F_EVENT_IDX) | featureWord(VIRTIO_RING_F_INDIRECT_DESC);

const NEXT = VIRTQ_DESC_F_NEXT;
const WRITE = VIRTQ_DESC_F_WRITE;
const INDIRECT = VIRTQ_DESC_F_INDIRECT;

type Descriptor = Required<RawDescriptor>;

interface HostileTable {
  readonly ring: readonly Descriptor[];
  /** At `TABLE`. */
  readonly indirect: readonly Descriptor[];
  readonly heads: readonly number[];
  /** The device does what it has put off between two batches. */
  readonly late: boolean;
}

const descriptor: fc.Arbitrary<Descriptor> = fc.record({
  addr: fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: DATA, max: DATA + 4096 }).map(BigInt) },
    {
      weight: 2,
      arbitrary: fc.constantFrom(BigInt(TABLE), BigInt(MEMORY - 8), 1n << 40n, (1n << 64n) - 8n),
    },
  ),
  len: fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 0, max: 100 }) },
    { weight: 2, arbitrary: fc.constantFrom(16, 32, 64, 24, 0x1_0000, 0x1_0001, 0xffff_ffff) },
  ),
  flags: fc.constantFrom(WRITE, WRITE, WRITE | NEXT, WRITE | NEXT, NEXT, 0, INDIRECT, 0xffff),
  next: fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 7, 7, 8, 0xffff),
});
const hostileTable: fc.Arbitrary<HostileTable> = fc.record({
  ring: fc.array(descriptor, { minLength: SIZE, maxLength: SIZE }),
  indirect: fc.array(descriptor, { minLength: TABLE_SIZE, maxLength: TABLE_SIZE }),
  heads: fc.array(fc.constantFrom(0, 1, 2, 3, 4, 5, 6, 7, 8, 0xffff), {
    minLength: 1,
    maxLength: SIZE,
  }),
  late: fc.boolean(),
});

/** The kernel's generator as a source that answers when it is told to. */
class LaterSource implements EntropySource {
  readonly most = 0x1_0000;
  readonly #kernel = new KernelSource();
  #answer: (() => void) | undefined;

  read(bytes: number, done: EntropyRead): void {
    this.#answer = () => this.#kernel.read(bytes, done);
  }
  unread(): void {}
  answer(): void {
    const answer = this.#answer;
    this.#answer = undefined;
    answer?.();
  }
  [Symbol.dispose](): void {
    this.#kernel[Symbol.dispose]();
  }
}

function tableBytes(table: readonly Descriptor[]): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(16 * table.length));
  table.forEach(({ addr, len, flags, next }, i) => {
    bytes.setBigUint64(16 * i, addr, true);
    bytes.setUint32(16 * i + 8, len, true);
    bytes.setUint16(16 * i + 12, flags & 0xffff, true);
    bytes.setUint16(16 * i + 14, next, true);
  });
  return new Uint8Array(bytes.buffer);
}

/** A guest whose memory has zeros but where a writable descriptor of the table is. */
class Guest implements Disposable {
  readonly memory = GuestMemoryMmap.create([{ guestAddr: guestAddress(0n), length: MEMORY }]);
  readonly #layout = SplitDriverQueue.layout(SIZE, guestAddress(0n));
  readonly #zeros = new Uint8Array(MEMORY);
  readonly #seen = new Uint8Array(MEMORY);

  /** Has a device serve a table, and looks at what it did. */
  serve(device: RngDevice, table: HostileTable, step: () => void): number {
    const { memory } = this;
    memory.write(guestAddress(0n), this.#zeros);
    const config = { ...this.#layout, features: FEATURES };
    const { raw } = new SplitDriverQueue(memory, config);
    memory.write(guestAddress(BigInt(TABLE)), tableBytes(table.indirect));
    table.ring.forEach((one, i) => {
      raw.setDescriptor(i, one);
    });
    raw.offer(...table.heads);
    const queue = createVirtqueue(memory, config);
    const taken: number[] = [];
    const completed: number[] = [];
    const view = {
      index: 0,
      resumed: false,
      complete(chain: DescriptorChain, written: number): void {
        const { writableLength } = chain;
        expect(written).toBeLessThanOrEqual(Math.min(writableLength, RNG_REQUEST_MAX));
        if (writableLength > 0) expect(written).toBeGreaterThan(0);
        completed.push(chain.head);
        queue.complete(chain, written);
      },
      flush: () => void queue.flush(),
    };
    for (;;) {
      const batch = queue.popBatch(256);
      if (batch.length === 0) break;
      for (let i = 0; i < batch.length; i++) taken.push(batch.at(i).head);
      device.process(view, batch);
      expect(queue.completeRest()).toBe(0);
      if (table.late) step();
    }
    for (let i = 0; completed.length < taken.length && i < 100; i++) step();
    expect(completed).toEqual(taken);
    view.flush();
    this.#checkCanaries(table);
    device.reset();
    queue[Symbol.dispose]();
    return taken.length;
  }

  #checkCanaries({ ring, indirect }: HostileTable): void {
    const open = [...ring, ...indirect]
      .filter(({ flags }) => (flags & WRITE) !== 0)
      .map(({ addr, len }) => [Number(addr), Number(addr) + len] as const);
    this.memory.read(guestAddress(0n), this.#seen);
    for (let at = TABLE + 0x1000; at < MEMORY; at += CANARY_STEP) {
      if (this.#seen[at] === 0 || open.some(([from, to]) => at >= from && at < to)) continue;
      throw new Error(`byte 0x${at.toString(16)} is in no writable buffer and was written`);
    }
  }

  [Symbol.dispose](): void {
    this.memory.close();
  }
}

it.each([
  ['that always has enough', () => new KernelSource()],
  ['that answers later', () => new LaterSource()],
])(
  'a source %s fills what is valid of any table, in order, and nothing else',
  (name, make) => {
    using guest = new Guest();
    const stop = EventFd.create();
    const loop = new EventLoop(stop);
    const source = make();
    const device = new RngDevice(source, { logger: silentLogger, poller: loop });
    const step = (): void => {
      if (source instanceof LaterSource) source.answer();
      loop.turn(0);
    };
    const run = new PropertyRun(`a source ${name}`, CASES);
    let chains = 0;
    fc.assert(
      fc.property(hostileTable, (table) => {
        chains += guest.serve(device, table, step);
        run.ended();
      }),
      { numRuns: CASES },
    );
    const report = run.check();
    expect(chains).toBeGreaterThan(CASES / 2);
    if (run.long) console.log({ ...report, chains });
    device[Symbol.dispose]();
    loop.close();
    stop.close();
  },
  TIMEOUT,
);
