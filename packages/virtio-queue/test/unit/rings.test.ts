import {
  createVirtqueue,
  featureWord,
  freshPosition,
  isPosition,
  isWaiting,
  observeRing,
  resumePosition,
  ringSizes,
  VIRTIO_F_RING_PACKED,
} from '@node-vmm/virtio-queue';
import { describe, expect, it } from 'vitest';
import { Rig } from '../rig.ts';

describe('the layout of a ring', () => {
  it('§2.7 split: sizes of the parts', () => {
    expect(ringSizes({ size: 1, features: 0n })).toEqual({ desc: 16, avail: 8, used: 14 });
    expect(ringSizes({ size: 256, features: 0n })).toEqual({ desc: 4096, avail: 518, used: 2054 });
  });

  it('packed is refused by all that look at a ring', () => {
    const { memory, config } = new Rig();
    const features = featureWord(VIRTIO_F_RING_PACKED);
    const packed = { ...config, features };
    for (const look of [
      () => createVirtqueue(memory, packed),
      () => ringSizes(packed),
      () => freshPosition(features),
      () => isPosition(features, 0),
      () => resumePosition(memory, packed),
      () => isWaiting(memory, packed, 0),
      () => observeRing(memory, packed),
    ]) {
      expect(look).toThrow(expect.objectContaining({ code: 'UNSUPPORTED_LAYOUT' }));
    }
  });

  it.each([
    ['idle where the device stopped', 5, 5, 5, true],
    ['with chains behind the position', 5, 7, 5, true],
    ['with chains in flight and more behind', 3, 7, 5, true],
    ['across the wrap', 65_534, 2, 65_535, true],
    ['full', 5, 13, 5, true],
    ["with firmware's indices in front of a fresh driver", 3, 3, 0, false],
    ['with a used index only', 3, 0, 0, false],
    ['with all taken and some in flight', 3, 5, 5, false],
    ['with more in flight than it holds', 0, 10, 9, false],
    ['with more available than it holds', 4, 14, 5, false],
  ])('a ring %s (used %i, available %i) waits at %i: %s', (_, used, avail, position, waits) => {
    const { driver, memory, config } = new Rig();
    driver.raw.usedIndex = used;
    driver.raw.availIndex = avail;
    expect(isWaiting(memory, config, position)).toBe(waits);
  });
});
