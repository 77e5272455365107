import { hasFeature, VIRTIO_F_RING_PACKED } from '@node-vmm/virtio-bindings';
import type { GuestMemory } from '@node-vmm/vm-memory';
import { VirtioQueueError } from './errors.ts';
import type { InflightRegion } from './inflight-region.ts';
import type { RingLayout, RingMemory, RingSizes } from './ring-layout.ts';
import type { RingIndices, RingObserver } from './ring-observer.ts';
import { SPLIT_LAYOUT } from './split/split-layout.ts';
import type { Virtqueue } from './virtqueue.ts';
import type { VirtqueueConfig } from './virtqueue-config.ts';

// What users of virtqueues call. All of it finds the layout by the features that were negotiated, so
// that nobody else needs to know which one a ring has.

/** The part of the configuration that a look at a ring needs. */
export type RingPlaceConfig = Omit<VirtqueueConfig, 'descTable'>;

/**
 * Takes over the device side of a queue and asks the driver for notifications. Chains that are
 * available already are announced by nobody: look once.
 *
 * @param memory - stays the caller's, and stays mapped until the queue is disposed of
 * @param position - where a predecessor stopped ({@link Virtqueue.position}), what SET_VRING_BASE
 * said, or what {@link resumePosition} found; what it does not say, the queue reads from the ring.
 * Default: a ring that its driver has just set up, in which nothing is read
 * @param inflight - where to keep a record of the chains that are taken and not returned; stays the
 * caller's, and stays mapped until the queue is disposed of. Where a predecessor left a record, that
 * says where to go on, not `position`: the first batches have the chains that it did not return, in
 * the order in which it took them
 * @throws {VirtioQueueError} UNSUPPORTED_LAYOUT, BAD_SIZE, MISALIGNED, RING_NOT_IN_MEMORY,
 * RING_NOT_READY, BAD_STATE, BAD_RECORD
 */
export function createVirtqueue(
  memory: GuestMemory,
  config: VirtqueueConfig,
  position?: number,
  inflight?: InflightRegion,
): Virtqueue {
  return layoutOf(config.features).create(memory, config, position, inflight);
}

/**
 * Bytes of the three parts of a queue.
 *
 * @throws {VirtioQueueError} UNSUPPORTED_LAYOUT
 */
export function ringSizes({
  size,
  features,
}: Pick<VirtqueueConfig, 'size' | 'features'>): RingSizes {
  return layoutOf(features).ringSizes(size);
}

/**
 * Bytes of one queue's region in an area that records chains in flight, see {@link InflightRegion}.
 *
 * @throws {VirtioQueueError} UNSUPPORTED_LAYOUT: the record of a packed ring is another
 */
export function inflightSize({
  size,
  features,
}: Pick<VirtqueueConfig, 'size' | 'features'>): number {
  return layoutOf(features).inflightSize(size);
}

/**
 * Position of a ring that no device has served. A position is an unsigned 32-bit number and opaque:
 * only what made a queue of the same layout understands it.
 *
 * @throws {VirtioQueueError} UNSUPPORTED_LAYOUT
 */
export function freshPosition(features: bigint): number {
  return layoutOf(features).freshPosition;
}

/**
 * True when a queue can be at `position`: what a peer sends may be any number.
 *
 * @throws {VirtioQueueError} UNSUPPORTED_LAYOUT
 */
export function isPosition(features: bigint, position: number): boolean {
  return layoutOf(features).isPosition(position);
}

/**
 * Where a device goes on after one that died without saying where it was: what was in flight is
 * served again, which is right for devices that complete in order.
 *
 * @returns undefined when the ring is in a state that no device can go on with
 * @throws {VirtioQueueError} UNSUPPORTED_LAYOUT
 * @throws {VmMemoryError} OUT_OF_RANGE
 */
export function resumePosition(memory: RingMemory, config: RingPlaceConfig): number | undefined {
  return layoutOf(config.features).resumePosition(memory, config);
}

/**
 * True when a ring plainly waits for a device that goes on at `position`, so that it may be served
 * without a kick: either all that was taken has been returned there, or chains are available and the
 * ring's indices and `position` are those of one ring. Before the first kick a ring may hold what
 * firmware left behind, which is neither. Where the ring has a record of chains in flight, a device has
 * served it before: it waits unless its indices cannot be.
 *
 * @throws {VirtioQueueError} UNSUPPORTED_LAYOUT, BAD_RECORD
 * @throws {VmMemoryError} OUT_OF_RANGE
 */
export function isWaiting(
  memory: RingMemory,
  config: RingPlaceConfig,
  position: number,
  inflight?: InflightRegion,
): boolean {
  return layoutOf(config.features).isWaiting(memory, config, position, inflight);
}

/**
 * Observes a ring from the machine of its driver. To be made before the ring is given to its first
 * back-end, or with what an earlier observer said that was.
 *
 * @param origin - `RingObserver.origin` of that one
 * @throws {VirtioQueueError} UNSUPPORTED_LAYOUT
 * @throws {VmMemoryError} OUT_OF_RANGE
 */
export function observeRing(
  memory: RingMemory,
  config: RingPlaceConfig,
  origin?: RingIndices,
): RingObserver {
  return layoutOf(config.features).observe(memory, config, origin);
}

function layoutOf(features: bigint): RingLayout {
  if (!hasFeature(features, VIRTIO_F_RING_PACKED)) return SPLIT_LAYOUT;
  throw new VirtioQueueError(
    'UNSUPPORTED_LAYOUT',
    'Cannot use a packed virtqueue: only split ones are implemented. Do not offer VIRTIO_F_RING_PACKED',
    {},
  );
}
