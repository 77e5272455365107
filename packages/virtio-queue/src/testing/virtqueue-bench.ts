import { featureWord } from '@node-vmm/virtio-bindings';
import { type GuestAddress, guestAddress } from '@node-vmm/vm-memory';
import { GuestMemoryBuffer, LoanLedger, TardyMemory } from '@node-vmm/vm-memory/testing';
import type { ChainBatch } from '../chain-batch.ts';
import type { DescriptorChain } from '../descriptor-chain.ts';
import type { DriverBuffer } from '../driver/virtqueue-driver.ts';
import { createVirtqueue, freshPosition } from '../rings.ts';
import type { Virtqueue } from '../virtqueue.ts';
import type { VirtqueueConfig } from '../virtqueue-config.ts';
import type { HostileDriver, VirtqueueSubject } from './virtqueue-subject.ts';

/** Where buffers are: [DATA, END), with a region border at BORDER; nothing from END on. */
export const DATA = 0x1_0000;
export const BORDER = 0x2_0000;
export const END = 0x3_0000;

/** Both sides of a queue of eight entries, over guest memory that counts its loans. */
export class VirtqueueBench {
  /** What is not there yet is delayed here. */
  readonly late: TardyMemory;
  readonly memory: LoanLedger;
  readonly config: VirtqueueConfig;
  readonly driver: HostileDriver;
  readonly queue: Virtqueue;
  readonly #mapped: GuestMemoryBuffer;

  /** @param start - where both sides begin, default a fresh ring */
  constructor(subject: VirtqueueSubject, features: readonly number[], start?: number) {
    this.#mapped = GuestMemoryBuffer.create([
      { guestAddr: guestAddress(0), length: BORDER },
      { guestAddr: guestAddress(BORDER), length: END - BORDER },
    ]);
    this.late = new TardyMemory(this.#mapped);
    this.memory = new LoanLedger(this.late);
    const word = subject.features | featureWord(...features);
    this.config = { ...subject.layout(8), features: word };
    this.driver = subject.driver(this.memory, this.config, start ?? freshPosition(word));
    this.queue = createVirtqueue(this.memory, this.config, start);
  }

  /** The same bytes as another memory, as after an exchange of memory tables. */
  otherMemory(): LoanLedger {
    return new LoanLedger(this.#mapped);
  }

  /** Another device over the same ring. */
  successor(position: number): Virtqueue {
    return createVirtqueue(this.memory, this.config, position);
  }

  /** Makes a request of one byte to write available. @returns its number */
  request(): number {
    const head = this.driver.add([writable(0, 1)]);
    this.driver.publish();
    return head;
  }

  /** Requests that came back: number and bytes written. */
  returned(): [head: number, written: number][] {
    const all: [number, number][] = [];
    for (let used = this.driver.poll(); used !== undefined; used = this.driver.poll()) {
      all.push([used.head, used.written]);
    }
    return all;
  }
}

export const chainsOf = (batch: ChainBatch): DescriptorChain[] =>
  Array.from({ length: batch.length }, (_, i) => batch.at(i));

export const at = (offset: number): GuestAddress => guestAddress(DATA + offset);

export const readable = (offset: number, length: number): DriverBuffer => ({
  guestAddr: at(offset),
  length,
  writable: false,
});

export const writable = (offset: number, length: number): DriverBuffer => ({
  guestAddr: at(offset),
  length,
  writable: true,
});
