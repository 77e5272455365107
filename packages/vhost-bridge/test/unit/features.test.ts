import { describe, expect, it } from 'vitest';
import { recordsInflight, returnsInOrder } from '../../src/features.ts';
import { deviceById, deviceByName, SUPPORTED_DEVICES } from '../../src/supported-devices.ts';

const IN_ORDER = 1n << 35n;

const queuesInOrder = (name: string, features = 0n): number[] => {
  const type = deviceByName(name);
  if (type === undefined) throw new Error(`no type ${name}`);
  const all = Array.from({ length: type.queues }, (_, queue) => queue);
  return all.filter((queue) => returnsInOrder(type.inOrder, features, queue));
};

describe('What back-ends return in order', () => {
  it.each([
    ['i2c', [0]],
    ['spi', [0]],
    ['rng', [0]],
    ['net', [0, 1]],
    ['blk', []],
    ['gpio', []],
    // Commands may be carried out in any order, notifications fill buffers.
    ['scmi', [1]],
    ['scsi', [1]],
    ['sound', [1]],
    ['can', [1, 2]],
  ])('of type %s is that of queues %j', (name, queues) => {
    expect(queuesInOrder(name)).toEqual(queues);
  });

  it('is all of it where VIRTIO_F_IN_ORDER was negotiated', () => {
    for (const { name, queues } of SUPPORTED_DEVICES) {
      expect(queuesInOrder(name, IN_ORDER)).toHaveLength(queues);
    }
  });

  it('is nothing of a type that is not known', () => {
    expect(returnsInOrder(deviceById(63).inOrder, 0n, 0)).toBe(false);
  });

  it('and of other queues they record the requests in flight', () => {
    const recording = SUPPORTED_DEVICES.filter(recordsInflight).map(({ name }) => name);
    expect(recording).toEqual(['blk', 'scsi', 'gpu', 'sound', 'fs', 'scmi', 'can', 'gpio']);
  });
});
