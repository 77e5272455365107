import { VIRTQ_DESC_F_NEXT } from '@node-vmm/virtio-bindings';
import { SplitDriverQueue } from '../driver/split-driver-queue.ts';
import type { HostileDescriptor, HostileDriver, VirtqueueSubject } from './virtqueue-subject.ts';

class HostileSplitDriver extends SplitDriverQueue implements HostileDriver {
  offer(descriptors: readonly HostileDescriptor[]): void {
    const last = descriptors.length - 1;
    descriptors.forEach(({ addr, len, flags }, i) => {
      const next = i < last ? { flags: flags | VIRTQ_DESC_F_NEXT, next: i + 1 } : { flags };
      this.raw.setDescriptor(i, { addr, len, ...next });
    });
    this.raw.offer(0);
  }

  overrun(): void {
    this.raw.availIndex = (this.raw.usedIndex + this.size + 1) & 0xffff;
  }
}

/** Split rings: VIRTIO 1.3 §2.7. */
export const splitSubject: VirtqueueSubject = {
  features: 0n,
  starts: [0, 65_530],
  impossible: [0x1_0000, 0xffff_ffff],
  layout: (size) => SplitDriverQueue.layout(size),
  driver: (memory, config, position) => new HostileSplitDriver(memory, config, position),
};
