import type { GuestMemory } from '@node-vmm/vm-memory';
import type { QueueLayout } from '../driver/split-driver-queue.ts';
import type { VirtqueueDriver } from '../driver/virtqueue-driver.ts';
import type { VirtqueueConfig } from '../virtqueue-config.ts';

/** A descriptor as written by a driver that obeys no rule. */
export interface HostileDescriptor {
  readonly addr: bigint;
  readonly len: number;
  /** Without VIRTQ_DESC_F_NEXT, which the driver adds between the descriptors of a chain. */
  readonly flags: number;
}

/** A driver that also breaks rules, as far as both layouts have them. */
export interface HostileDriver extends VirtqueueDriver {
  /** Makes a chain of these descriptors available, from the ring's first descriptor on. */
  offer(descriptors: readonly HostileDescriptor[]): void;
  /** Says that more is available than the ring holds. */
  overrun(): void;
}

/** A layout of rings, as the compliance suite drives it. */
export interface VirtqueueSubject {
  /** Feature bits that choose the layout. */
  readonly features: bigint;
  /** Where driver and device both begin: fresh, and before each wrap that the layout has. */
  readonly starts: readonly number[];
  /** Positions that no queue can be at. */
  readonly impossible: readonly number[];
  /** Places the three parts from address 0 on. */
  layout(size: number): QueueLayout;
  /** Sets up a ring whose device begins at `position`. */
  driver(memory: GuestMemory, config: VirtqueueConfig, position: number): HostileDriver;
}
