import * as d from '@node-vmm/virtio-device';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bench, FEATURES_SET, READY_TO_NEGOTIATE, RUNNING } from '../harness.ts';

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      offset: fc.constantFrom(
        ...Object.entries(d)
          .filter(([name]) => name.startsWith('VIRTIO_MMIO_'))
          .map(([, value]) => value as number)
          .filter((value) => value <= 0x100 && value % 4 === 0),
      ),
      size: fc.constantFrom(4, 4, 4, 4, 1, 2, 8),
      value: fc.oneof(
        fc.constantFrom(0n, 1n, 2n, 16n, 0x1000n, 0x100n, 0xffff_ffffn),
        fc.constantFrom(READY_TO_NEGOTIATE, FEATURES_SET, RUNNING, RUNNING | 0x80).map(BigInt),
        fc.bigInt(0n, 0xffff_ffff_ffff_ffffn),
      ),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('read' as const),
      offset: fc.integer({ min: 0, max: 0x1ff }),
      size: fc.constantFrom(1, 2, 4, 8),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.constantFrom(
      { kind: 'negotiate' as const },
      { kind: 'queue' as const },
      { kind: 'driverOk' as const },
      { kind: 'reset' as const },
      { kind: 'finish' as const },
      { kind: 'interrupt' as const },
      { kind: 'config' as const },
      { kind: 'needsReset' as const },
    ),
  },
);

/** Replays what the device was told and checks that it makes sense. */
function checkCalls(b: Bench): void {
  let accepted: bigint | undefined;
  let active = false;
  const running = new Set<number>();
  for (const call of b.device.calls) {
    switch (call.name) {
      case 'acceptFeatures':
        expect(active).toBe(false);
        accepted = call.features;
        expect(d.hasFeature(accepted as bigint, d.VIRTIO_F_VERSION_1)).toBe(true);
        expect((accepted as bigint) & ~b.device.features).toBe(0n);
        break;
      case 'activate':
        expect(active).toBe(false);
        expect(call.features).toBe(accepted);
        active = true;
        for (const queue of call.queues ?? []) running.add(queue.index);
        break;
      case 'startQueue':
        expect(active).toBe(true);
        for (const queue of call.queues ?? []) {
          expect(running.has(queue.index)).toBe(false);
          running.add(queue.index);
        }
        break;
      case 'stopQueue':
        expect(running.delete(call.index as number)).toBe(true);
        break;
      case 'notifyQueue':
        expect(running.has(call.index as number)).toBe(true);
        break;
      case 'reset':
        active = false;
        accepted = undefined;
        running.clear();
        break;
      case 'writeConfig':
        break;
    }
    for (const queue of call.queues ?? []) {
      const max = b.device.queueMaxSizes[queue.index] as number;
      expect(queue.size > 0 && queue.size <= max && (queue.size & (queue.size - 1)) === 0).toBe(
        true,
      );
    }
  }
}

describe('any order of accesses', () => {
  it.each([false, true])(
    '§2.1 nothing throws and the device is only told what makes sense (slow device: %s)',
    async (manual) => {
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 80, size: 'max' }), async (steps) => {
          const b = new Bench({ manual, config: new Uint8Array(16) });
          for (const s of steps) {
            switch (s.kind) {
              case 'write':
                void b.transport.write(s.offset, s.size, s.value);
                break;
              case 'read': {
                const value = b.transport.read(s.offset, s.size);
                expect(value >= 0n && value < 1n << BigInt(8 * s.size)).toBe(true);
                break;
              }
              case 'negotiate':
                b.negotiate();
                break;
              case 'queue':
                b.setUpQueue(0);
                break;
              case 'driverOk':
                b.write(d.VIRTIO_MMIO_STATUS, RUNNING);
                break;
              case 'reset':
                void b.write(d.VIRTIO_MMIO_STATUS, 0);
                break;
              case 'finish':
                b.device.finish();
                await new Promise(setImmediate);
                break;
              case 'interrupt':
                b.transport.queueInterrupt();
                break;
              case 'config':
                b.transport.configChanged();
                break;
              case 'needsReset':
                b.transport.needsReset();
                break;
            }
            const { status } = b.transport;
            if ((status & d.VIRTIO_CONFIG_S_DRIVER_OK) !== 0) {
              expect(status & d.VIRTIO_CONFIG_S_FEATURES_OK).not.toBe(0);
            }
          }
          checkCalls(b);
          b.device.finish();
          await new Promise(setImmediate);
          const reset = b.write(d.VIRTIO_MMIO_STATUS, 0);
          b.device.finish();
          await reset;
          expect(b.read(d.VIRTIO_MMIO_STATUS)).toBe(0);
          expect(b.transport.state.queues.every((queue) => !queue.ready)).toBe(true);
        }),
        { numRuns: 400 },
      );
    },
  );
});
