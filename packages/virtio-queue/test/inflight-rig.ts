import {
  createVirtqueue,
  type DescriptorChain,
  type InflightRegion,
  inflightSize,
  type Virtqueue,
} from '@node-vmm/virtio-queue';
import { chainsOf, Rig, type RigOptions, writable } from './rig.ts';

/** Of `QueueRegionSplit` and `DescStateSplit`, in bytes: vhost-user.rst, "Inflight I/O tracking". */
export const RECORD = { version: 8, descNum: 10, lastBatchHead: 12, usedIdx: 14, entry: 16 };
export const ENTRY = { size: 16, inflight: 0, next: 6, counter: 8 };

/** A ring whose devices keep a record, and come and go. */
export class InflightRig extends Rig {
  readonly region: InflightRegion;
  readonly view: DataView;
  device: Virtqueue;

  constructor(options: RigOptions & { readonly queueSize?: number } = {}) {
    super(options);
    const size = options.queueSize ?? this.config.size;
    const bytes = new Uint8Array(inflightSize({ size, features: this.config.features }));
    this.region = { bytes, queueSize: size };
    this.view = new DataView(bytes.buffer);
    this.device = this.next(options.start ?? 0);
  }

  /** Another device, with what its predecessor left behind. */
  next(position = 0): Virtqueue {
    this.device = createVirtqueue(this.memory, this.config, position, this.region);
    return this.device;
  }

  /** Makes `count` requests of a byte to write available. @returns their heads */
  request(count: number): number[] {
    const heads = Array.from({ length: count }, (_, i) => this.driver.add([writable(i, 1)]));
    this.driver.publish();
    return heads;
  }

  /** Takes what is available, for later. */
  take(max?: number): DescriptorChain[] {
    return chainsOf(this.device.popBatch(max)).map((chain) => chain.detach());
  }

  /** Heads that the driver got back. */
  returned(): number[] {
    const heads: number[] = [];
    for (let used = this.driver.poll(); used !== undefined; used = this.driver.poll()) {
      heads.push(used.head);
    }
    return heads;
  }

  u16(offset: number): number {
    return this.view.getUint16(offset, true);
  }

  entry(head: number): { inflight: number; next: number; counter: bigint } {
    const at = RECORD.entry + head * ENTRY.size;
    return {
      inflight: this.view.getUint8(at + ENTRY.inflight),
      next: this.view.getUint16(at + ENTRY.next, true),
      counter: this.view.getBigUint64(at + ENTRY.counter, true),
    };
  }

  /** Heads that the record has as taken and not returned. */
  get flagged(): number[] {
    const heads = Array.from({ length: this.config.size }, (_, head) => head);
    return heads.filter((head) => this.entry(head).inflight === 1);
  }
}
