import type { GuestAddress, GuestMemory } from '@node-vmm/vm-memory';
import type { InflightRegion } from './inflight-region.ts';
import type { RingIndices, RingObserver } from './ring-observer.ts';
import type { Virtqueue } from './virtqueue.ts';
import type { VirtqueueConfig } from './virtqueue-config.ts';

/** Bytes of a virtqueue's three parts. */
export interface RingSizes {
  readonly desc: number;
  readonly avail: number;
  readonly used: number;
}

/** What of guest memory is read to look at a ring from outside: `GuestMemory` is one. */
export interface RingMemory {
  readU16(guestAddr: GuestAddress): number;
}

/** Where a ring's indices are. */
export type RingPlace = Omit<VirtqueueConfig, 'descTable' | 'features'>;

/** Everything that differs between the layouts of rings; `rings.ts` says what each of it means. */
export interface RingLayout {
  readonly freshPosition: number;
  isPosition(position: number): boolean;
  ringSizes(size: number): RingSizes;
  /** Bytes of one queue's record of chains in flight. */
  inflightSize(queueSize: number): number;
  create(
    memory: GuestMemory,
    config: VirtqueueConfig,
    position: number | undefined,
    inflight: InflightRegion | undefined,
  ): Virtqueue;
  resumePosition(memory: RingMemory, place: RingPlace): number | undefined;
  isWaiting(
    memory: RingMemory,
    place: RingPlace,
    position: number,
    inflight: InflightRegion | undefined,
  ): boolean;
  observe(memory: RingMemory, place: RingPlace, origin?: RingIndices): RingObserver;
}
