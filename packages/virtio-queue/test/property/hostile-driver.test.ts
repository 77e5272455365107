import {
  createVirtqueue,
  featureWord,
  ringSizes,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from '@node-vmm/virtio-queue';
import { type RawDescriptor, SplitDriverQueue } from '@node-vmm/virtio-queue/driver';
import { guestAddress } from '@node-vmm/vm-memory';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { BORDER, chainsOf, DATA, END, Rig } from '../rig.ts';

const SIZE = 16;

const address = fc.oneof(
  fc.integer({ min: DATA, max: END }).map(BigInt),
  fc.integer({ min: 0, max: 0x800 }).map(BigInt),
  fc.constantFrom(BigInt(BORDER) - 3n, BigInt(END) - 1n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 64n - 1n),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
);
const length = fc.oneof(
  fc.nat(64),
  fc.nat(20).map((n) => 16 * n),
  fc.constantFrom(0, 1, 0x10_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff),
);
const descriptor: fc.Arbitrary<RawDescriptor> = fc.record({
  addr: address,
  len: length,
  flags: fc.oneof({ weight: 6, arbitrary: fc.nat(7) }, { weight: 1, arbitrary: fc.nat(0xffff) }),
  next: fc.oneof({ weight: 8, arbitrary: fc.nat(SIZE) }, { weight: 1, arbitrary: fc.nat(0xffff) }),
});
const round = fc.record({
  descriptors: fc.array(fc.tuple(fc.nat(SIZE - 1), descriptor), { maxLength: 24, size: 'max' }),
  /** Indirect tables are where descriptors may point at them. */
  bytes: fc.array(fc.tuple(fc.integer({ min: DATA, max: DATA + 0x200 }), descriptor), {
    maxLength: 24,
    size: 'max',
  }),
  heads: fc.array(
    fc.oneof({ weight: 60, arbitrary: fc.nat(SIZE - 1) }, { weight: 1, arbitrary: fc.nat(0xffff) }),
    { maxLength: SIZE },
  ),
  jump: fc.oneof(
    { weight: 12, arbitrary: fc.constant(0) },
    { weight: 1, arbitrary: fc.nat(0xffff) },
  ),
  max: fc.integer({ min: 1, max: SIZE + 4 }),
  keep: fc.nat(2),
});

it('survives any descriptors: nothing thrown, lent out of range, lost or written', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(0, 65_530),
      fc.boolean(),
      fc.array(round, { maxLength: 12 }),
      (start, eventIdx, rounds) => {
        const features = [VIRTIO_RING_F_INDIRECT_DESC];
        if (eventIdx) features.push(VIRTIO_RING_F_EVENT_IDX);
        const rig = new Rig({ size: SIZE, features, start });
        const { driver, queue, memory } = rig;
        const { raw } = driver;
        const usedStart = Number(rig.config.usedRing);
        const usedEnd = usedStart + ringSizes(rig.config).used;
        const kept: ReturnType<typeof chainsOf> = [];
        let returned = 0;
        let popped = 0;
        for (const { descriptors, bytes, heads, jump, max, keep } of rounds) {
          for (const [index, values] of descriptors) raw.setDescriptor(index, values);
          for (const [at, { addr, len, flags, next = 0 }] of bytes) {
            memory.writeU64(guestAddress(at & ~15), addr);
            memory.writeU32(guestAddress((at & ~15) + 8), len);
            memory.writeU32(guestAddress((at & ~15) + 12), (flags | (next << 16)) >>> 0);
          }
          raw.offer(...heads);
          if (jump !== 0) raw.availIndex = jump;
          const before = memory.regions.map((region) => region.bytes.slice());

          const batch = queue.popBatch(max);
          popped += batch.length;
          for (const chain of chainsOf(batch)) {
            const { segments, firstSegment: first } = chain;
            let total = 0;
            for (let i = first; i < first + chain.readableCount + chain.writableCount; i++) {
              const region = segments.regionAt(i);
              expect(memory.regions).toContain(region);
              expect(segments.lengthAt(i)).toBeGreaterThan(0);
              expect(segments.offsetAt(i) + segments.lengthAt(i)).toBeLessThanOrEqual(
                region.length,
              );
              total += segments.lengthAt(i);
            }
            expect(total).toBe(chain.readableLength + chain.writableLength);
            expect(chain.head).toBeLessThan(SIZE);
            const target = new Uint8Array(100);
            expect(chain.read(target, 0)).toBe(Math.min(100, chain.readableLength));
            if (keep > 0) kept.push(chain.detach());
            else queue.complete(chain, 5);
          }
          if (keep < 2) for (const chain of kept.splice(0)) queue.complete(chain, 0xffff_ffff);
          queue.flush();
          returned = (raw.usedIndex - start) & 0xffff;
          const { chains, malformedChains } = queue.counters;
          expect(chains).toBe(popped);
          expect(returned).toBe(chains + malformedChains - queue.inflight);
          expect(queue.inflight).toBe(kept.length);
          expect(queue.inflight).toBeLessThanOrEqual(SIZE);
          queue.enableNotification();

          // The device completes without writing data: only the used ring may have changed.
          memory.regions.forEach((region, i) => {
            const after = region.bytes.slice();
            if (i === 0) {
              const old = before[i]?.subarray(usedStart, usedEnd) ?? [];
              after.set(old, usedStart);
            }
            expect(Buffer.compare(after, before[i] ?? after)).toBe(0);
          });
        }
        for (const chain of kept) queue.complete(chain, 0);
        expect(memory.segmentsOut).toBe(0);
      },
    ),
    { numRuns: 200 },
  );
});

it('survives random bytes in all three parts', () => {
  const config = {
    ...SplitDriverQueue.layout(SIZE),
    features: featureWord(VIRTIO_RING_F_INDIRECT_DESC, VIRTIO_RING_F_EVENT_IDX),
  };
  const { byteLength } = SplitDriverQueue.layout(SIZE);
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: byteLength, maxLength: byteLength }),
      fc.nat(SIZE),
      (bytes, ahead) => {
        const { memory } = new Rig({ size: SIZE });
        memory.write(guestAddress(0), bytes);
        const idx = memory.readU16(guestAddress(config.availRing + 2n));
        const nextAvail = (idx - ahead) & 0xffff;
        memory.writeU16(guestAddress(config.usedRing + 2n), nextAvail);
        const queue = createVirtqueue(memory, config, nextAvail);
        for (let i = 0; i < 3; i++) {
          queue.popBatch();
          queue.completeRest();
          queue.flush();
          queue.enableNotification();
        }
        const { chains, malformedChains } = queue.counters;
        const used = memory.readU16(guestAddress(config.usedRing + 2n));
        if (chains + malformedChains > 0) {
          expect((used - nextAvail) & 0xffff).toBe(chains + malformedChains);
        }
        expect(queue.broken !== undefined || chains + malformedChains === ahead).toBe(true);
        expect(memory.segmentsOut).toBe(0);
      },
    ),
    { numRuns: 500 },
  );
});
