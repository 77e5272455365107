import {
  VIRTQ_DESC_F_INDIRECT,
  VIRTQ_DESC_F_NEXT,
  VIRTQ_DESC_F_WRITE,
} from '@node-vmm/virtio-bindings';
import type { RawDescriptor, RawRing } from '@node-vmm/virtio-queue/driver';
import { guestAddress } from '@node-vmm/vm-memory';
import type { BenchQueue } from '../bench-queue.ts';
import type { DeviceBench } from '../device-bench.ts';
import { GUEST_BASE } from '../guest.ts';
import { Random } from './random.ts';
import { alive, connect, type DeviceCase, leavesNothing, probe, serves } from './subject.ts';

/** Below the parts of guest memory that a bench hands out: nobody else uses it. */
const DATA = GUEST_BASE + 0x1000n;
const TABLE = GUEST_BASE + 0x8000n;
const SIZE = 64;
const TOP = 0xffff_ffff_ffff_ffffn;
/** Questions after a kick, in which a device has the time to see it. */
const PATIENCE = 20;

const NEXT = VIRTQ_DESC_F_NEXT;
const WRITE = VIRTQ_DESC_F_WRITE;
const INDIRECT = VIRTQ_DESC_F_INDIRECT;

interface Hostility {
  readonly section: string;
  readonly name: string;
  /** The descriptor table; its first is made available. */
  readonly chain?: readonly RawDescriptor[];
  /** Descriptors of an indirect table at `TABLE`. */
  readonly table?: readonly RawDescriptor[];
  /** Anything else done to the ring. */
  readonly spoil?: (ring: RawRing) => void;
}

const good = { addr: DATA, len: 16, flags: 0 };
const out = { ...good, flags: WRITE };
const indirect = (len: number, flags = INDIRECT): RawDescriptor => ({ addr: TABLE, len, flags });

const TABLE_SECTION = 'VIRTIO 1.3 §2.7.5.2';
const INDIRECT_SECTION = 'VIRTIO 1.3 §2.7.5.3.1';
const AVAIL_SECTION = 'VIRTIO 1.3 §2.7.6';

const HOSTILITIES: readonly Hostility[] = [
  ...Object.entries({
    'a chain that is its own end': [{ ...good, flags: NEXT, next: 0 }],
    'a chain that is a loop': [
      { ...good, flags: NEXT, next: 1 },
      { ...out, flags: NEXT | WRITE, next: 0 },
    ],
    'a next descriptor beyond the table': [{ ...good, flags: NEXT, next: 0xffff }],
    'a readable buffer after a writable one': [{ ...out, flags: NEXT | WRITE, next: 1 }, good],
    'an address in no region': [{ ...good, addr: 0n }],
    'a writable address in no region': [{ ...out, addr: 1n << 52n }],
    'an address at the top': [{ ...out, addr: TOP - 7n }],
    'a buffer over the end of memory': [{ ...out, addr: GUEST_BASE + 0xff_fff8n }],
    'a buffer before the beginning of memory': [{ ...good, addr: GUEST_BASE - 8n }],
    'a length of 4 GiB': [{ ...out, len: 0xffff_ffff }],
    'a readable buffer without length': [{ ...good, len: 0 }],
    'a writable buffer without length': [{ ...out, len: 0 }],
    'flags that do not exist': [{ ...good, flags: 0xfff8 }],
    'every flag': [{ ...good, flags: 0xffff, next: 0 }],
    'the ring itself as a buffer': [{ ...out, addr: GUEST_BASE + 0x20_0000n, len: 4096 }],
  }).map(([name, chain]) => ({ section: TABLE_SECTION, name, chain })),
  ...Object.entries({
    'an indirect table that is its own': [indirect(16), [{ ...indirect(16) }]],
    'an indirect table in no region': [{ ...indirect(16), addr: 0n }, []],
    'an indirect table over the end of memory': [
      { ...indirect(0x1_0000), addr: GUEST_BASE + 0xff_fff0n },
      [],
    ],
    'an indirect table without length': [indirect(0), [good]],
    'an indirect table of one and a half descriptors': [indirect(24), [good, good]],
    'an indirect table with a next descriptor': [indirect(16, INDIRECT | NEXT), [good]],
    'an indirect table that the device writes': [indirect(16, INDIRECT | WRITE), [good]],
    'an indirect table that is a loop': [
      indirect(32),
      [
        { ...good, flags: NEXT, next: 1 },
        { ...good, flags: NEXT, next: 0 },
      ],
    ],
    'an indirect table whose chain leaves it': [indirect(16), [{ ...good, flags: NEXT, next: 7 }]],
    'an indirect table of 4 GiB': [indirect(0xffff_fff0), [good]],
  } satisfies Record<string, [RawDescriptor, RawDescriptor[]]>).map(([name, [head, table]]) => ({
    section: INDIRECT_SECTION,
    name,
    chain: [head],
    table,
  })),
  ...Object.entries({
    'a chain that begins beyond the table': (ring) => ring.offer(SIZE),
    'a chain that begins at 65535': (ring) => ring.offer(0xffff),
    'the same chain twice': (ring) => {
      ring.setDescriptor(0, out);
      ring.offer(0, 0);
    },
    'more chains than the ring has entries': (ring) => {
      ring.availIndex = SIZE + 1;
    },
    'an index that jumps': (ring) => {
      ring.availIndex = 40_000;
    },
    'an index that goes back': (ring) => {
      ring.availIndex = 0xffff;
    },
    'a used index that is not ours': (ring) => {
      ring.setDescriptor(0, out);
      ring.usedIndex = 12_345;
      ring.offer(0);
    },
  } satisfies Record<string, (ring: RawRing) => void>).map(([name, spoil]) => ({
    section: AVAIL_SECTION,
    name,
    spoil,
  })),
];

function writeTable(bench: DeviceBench, table: readonly RawDescriptor[]): void {
  const bytes = new DataView(new ArrayBuffer(16 * table.length));
  table.forEach(({ addr, len, flags, next = 0 }, i) => {
    bytes.setBigUint64(16 * i, addr, true);
    bytes.setUint32(16 * i + 8, len, true);
    bytes.setUint16(16 * i + 12, flags, true);
    bytes.setUint16(16 * i + 14, next, true);
  });
  bench.memory.write(guestAddress(TABLE), new Uint8Array(bytes.buffer));
}

/** Kicks, and gives the device the time to see it: until it says something, or for some questions. */
async function kick(bench: DeviceBench, { ring }: BenchQueue): Promise<void> {
  const { usedIndex } = ring.driver.raw;
  ring.kick.signal();
  for (let i = 0; i < PATIENCE; i++) {
    if (ring.err.drain() || ring.driver.raw.usedIndex !== usedIndex) return;
    if (!(await alive(bench))) return;
  }
}

/** Shows that a ring that was spoiled stops, and is served when it is set up anew. */
async function recovers(
  bench: DeviceBench,
  queue: BenchQueue,
  subject: Parameters<DeviceCase['run']>[0],
): Promise<void> {
  if (await alive(bench)) {
    await queue.restart(SIZE);
    if (queue.index === subject.probe.queue) await probe(bench, subject);
  }
  await bench.close();
  await serves(subject);
}

const hostileChainCases = HOSTILITIES.map(
  ({ section, name, chain = [], table = [], spoil }): DeviceCase => ({
    section,
    name: `${name} stops neither the daemon nor the ring for good`,
    async run(subject) {
      for (let index = 0; index < subject.queues; index++) {
        await using bench = await connect(subject, { queueSize: SIZE });
        const queue = bench.queue(index);
        const { raw } = queue.ring.driver;
        writeTable(bench, table);
        chain.forEach((descriptor, i) => {
          raw.setDescriptor(i, descriptor);
        });
        if (chain.length > 0) raw.offer(0);
        spoil?.(raw);
        await kick(bench, queue);
        await recovers(bench, queue, subject);
      }
    },
  }),
);

const ADDRESSES = [DATA, DATA, DATA, TABLE, GUEST_BASE, GUEST_BASE + 0xff_fff8n, 0n, TOP] as const;
const LENGTHS = [0, 1, 4, 16, 16, 32, 4096, 0x1_0000, 0xffff_ffff] as const;
const FLAGS = [0, 0, WRITE, WRITE, NEXT, NEXT, NEXT | WRITE, INDIRECT, 0xffff] as const;

function randomDescriptor(random: Random): RawDescriptor {
  return {
    addr: random.of(ADDRESSES),
    len: random.of(LENGTHS),
    flags: random.of(FLAGS),
    next: random.below(8),
  };
}

/** What a guest may do to a ring: no device, ring or daemon is lost by it. */
export const hostileRingCases: readonly DeviceCase[] = [
  ...hostileChainCases,
  {
    section: TABLE_SECTION,
    name: 'random chains of random descriptors stop neither the daemon nor a ring for good',
    run: (subject) =>
      leavesNothing(subject, async () => {
        const random = new Random(1);
        for (let round = 0; round < 20; round++) {
          await using bench = await connect(subject, { queueSize: SIZE });
          const queue = bench.queue(random.below(subject.queues));
          const { raw } = queue.ring.driver;
          const table = Array.from({ length: 8 }, () => randomDescriptor(random));
          writeTable(bench, table);
          for (let turn = 0; turn < 20; turn++) {
            for (let i = 0; i < 8; i++) raw.setDescriptor(i, randomDescriptor(random));
            raw.offer(random.below(8), random.below(8));
            queue.ring.kick.signal();
          }
          await kick(bench, queue);
          await recovers(bench, queue, subject);
        }
      }),
  },
  {
    section: 'VIRTIO 1.3 §2.7.4.1',
    name: 'requests of any content and shape stop nothing',
    run: (subject) =>
      leavesNothing(subject, async () => {
        const random = new Random(2);
        for (let index = 0; index < subject.queues; index++) {
          await using bench = await connect(subject, { queueSize: SIZE });
          const queue = bench.queue(index);
          for (let turn = 0; turn < 100; turn++) {
            const readable = Array.from({ length: random.below(4) }, () =>
              random.bytes(random.of([0, 1, 2, 4, 8, 16, 64, 5000])),
            );
            const writable = Array.from({ length: random.below(4) }, () =>
              random.of([0, 1, 2, 4, 8, 16, 64, 5000]),
            );
            if (readable.length + writable.length === 0) continue;
            if (queue.ring.driver.free < 8 || !(await alive(bench))) break;
            // Whether it is answered is the device's matter.
            void queue.request(readable, writable);
          }
          await kick(bench, queue);
          await recovers(bench, queue, subject);
        }
      }),
  },
];
