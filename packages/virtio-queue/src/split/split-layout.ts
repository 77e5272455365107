import type { RingLayout } from '../ring-layout.ts';
import { distance, SPLIT_FRESH_POSITION, splitIndices } from './split-indices.ts';
import { SplitObserver } from './split-observer.ts';
import { isSplitPosition, splitRingSizes } from './split-ring.ts';
import { SplitVirtqueue } from './split-virtqueue.ts';

/** Split virtqueues: VIRTIO 1.3 §2.7. */
export const SPLIT_LAYOUT: RingLayout = {
  freshPosition: SPLIT_FRESH_POSITION,
  isPosition: isSplitPosition,
  ringSizes: splitRingSizes,
  create: (memory, config, position) => SplitVirtqueue.create(memory, config, position),

  resumePosition(memory, place) {
    const { used, avail } = splitIndices(memory, place);
    return distance(used, avail) <= place.size ? used : undefined;
  },

  isWaiting(memory, place, position) {
    const { used, avail } = splitIndices(memory, place);
    if (used === position) return true;
    const { size } = place;
    const waiting = distance(position, avail);
    return (
      waiting > 0 &&
      waiting <= size &&
      distance(used, position) <= size &&
      distance(used, avail) <= size
    );
  },

  observe: (memory, place) => new SplitObserver(memory, place),
};
