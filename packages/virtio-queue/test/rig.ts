import {
  type ChainBatch,
  createVirtqueue,
  type DescriptorChain,
  featureWord,
  VIRTIO_RING_F_INDIRECT_DESC,
  type Virtqueue,
  type VirtqueueConfig,
} from '@node-vmm/virtio-queue';
import { SplitDriverQueue } from '@node-vmm/virtio-queue/driver';
import { type GuestAddress, type GuestMemory, guestAddress } from '@node-vmm/vm-memory';
import { GuestMemoryBuffer, LoanLedger } from '@node-vmm/vm-memory/testing';

/** Where buffers are: [DATA, END), with a region border at BORDER; nothing from END on. */
export const DATA = 0x1_0000;
export const BORDER = 0x2_0000;
export const END = 0x3_0000;
/** Where tests put indirect tables. */
export const TABLE: GuestAddress = guestAddress(0x1_8000);

export interface RigOptions {
  readonly size?: number;
  readonly features?: readonly number[];
  /** First value of both indices. */
  readonly start?: number;
  readonly memory?: GuestMemory;
}

/** Both sides of a queue over small guest memory that counts loans. */
export class Rig {
  readonly memory: LoanLedger;
  readonly config: VirtqueueConfig;
  readonly driver: SplitDriverQueue;
  readonly queue: Virtqueue;

  constructor(options: RigOptions = {}) {
    const { size = 8, features = [VIRTIO_RING_F_INDIRECT_DESC], start } = options;
    this.memory = new LoanLedger(
      options.memory ??
        GuestMemoryBuffer.create([
          { guestAddr: guestAddress(0), length: BORDER },
          { guestAddr: guestAddress(BORDER), length: END - BORDER },
        ]),
    );
    this.config = { ...SplitDriverQueue.layout(size), features: featureWord(...features) };
    this.driver = new SplitDriverQueue(this.memory, this.config, start);
    this.queue = createVirtqueue(this.memory, this.config, start);
  }

  /** Another device over the same ring. */
  successor(position: number): Virtqueue {
    return createVirtqueue(this.memory, this.config, position);
  }
}

export const chainsOf = (batch: ChainBatch): DescriptorChain[] =>
  Array.from({ length: batch.length }, (_, i) => batch.at(i));

export const readable = (offset: number, length: number) => ({
  guestAddr: guestAddress(DATA + offset),
  length,
  writable: false,
});

export const writable = (offset: number, length: number) => ({
  guestAddr: guestAddress(DATA + offset),
  length,
  writable: true,
});

/** A deterministic run of bytes. */
export const pattern = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + seed) & 0xff);
