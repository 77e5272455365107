import type { RingLayout } from '../ring-layout.ts';
import { splitInflightSize } from './inflight-layout.ts';
import { distance, SPLIT_FRESH_POSITION, splitIndices } from './split-indices.ts';
import { readRecord } from './split-inflight.ts';
import { SplitObserver } from './split-observer.ts';
import { isSplitPosition, splitRingSizes } from './split-ring.ts';
import { SplitVirtqueue } from './split-virtqueue.ts';

/** Split virtqueues: VIRTIO 1.3 §2.7. */
export const SPLIT_LAYOUT: RingLayout = {
  freshPosition: SPLIT_FRESH_POSITION,
  isPosition: isSplitPosition,
  ringSizes: splitRingSizes,
  inflightSize: splitInflightSize,
  create: (memory, config, position, inflight) =>
    SplitVirtqueue.create(memory, config, position, inflight),

  resumePosition(memory, place) {
    const { used, avail } = splitIndices(memory, place);
    return distance(used, avail) <= place.size ? used : undefined;
  },

  isWaiting(memory, place, position, inflight) {
    const { used, avail } = splitIndices(memory, place);
    const { size } = place;
    const record = inflight === undefined ? undefined : readRecord(inflight, size, used);
    if (record !== undefined) {
      const ahead = distance(used, avail);
      return ahead >= record.heads.length && ahead <= size;
    }
    if (used === position) return true;
    const waiting = distance(position, avail);
    return (
      waiting > 0 &&
      waiting <= size &&
      distance(used, position) <= size &&
      distance(used, avail) <= size
    );
  },

  observe: (memory, place, origin) => new SplitObserver(memory, place, origin),
};
