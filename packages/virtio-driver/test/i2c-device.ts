import { featureWord, type QueueConfig, type VirtioDevice } from '@node-vmm/virtio-device';
import {
  VIRTIO_I2C_F_ZERO_LENGTH_REQUEST,
  VIRTIO_I2C_FLAGS_FAIL_NEXT,
  VIRTIO_I2C_FLAGS_M_RD,
  VIRTIO_I2C_OUT_HDR,
  VIRTIO_ID_I2C_ADAPTER,
} from '@node-vmm/virtio-driver';
import {
  createVirtqueue,
  VIRTIO_F_RING_RESET,
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
  type Virtqueue,
} from '@node-vmm/virtio-queue';
import { type GuestMemory, guestAddress } from '@node-vmm/vm-memory';

/**
 * An I2C adapter in this process with one client at 0x50: 256 registers, and a pointer that the first
 * byte written sets.
 */
export class TestI2cDevice implements VirtioDevice {
  readonly deviceId: number = VIRTIO_ID_I2C_ADAPTER;
  readonly vendorId = 1;
  features = featureWord(
    VIRTIO_I2C_F_ZERO_LENGTH_REQUEST,
    VIRTIO_RING_F_EVENT_IDX,
    VIRTIO_F_VERSION_1,
    VIRTIO_F_RING_RESET,
  );
  readonly queueMaxSizes = [64];
  readonly registers = new Uint8Array(256);
  readonly config = Uint8Array.of(1, 2, 3, 4);
  /** Requests seen: client, flags, length. */
  readonly seen: string[] = [];
  /** True to serve nothing. */
  deaf = false;
  interrupt: () => void = () => undefined;
  readonly #memory: GuestMemory;
  #queue: Virtqueue | undefined;
  #pointer = 0;

  constructor(memory: GuestMemory) {
    this.#memory = memory;
  }

  readConfig(offset: number, target: Uint8Array): boolean {
    target.set(this.config.subarray(offset, offset + target.length));
    return offset + target.length <= this.config.length;
  }

  writeConfig(): undefined {
    // There is nothing to write.
  }

  acceptFeatures(): boolean {
    return true;
  }

  activate(features: bigint, queues: readonly QueueConfig[]): void {
    for (const queue of queues) this.startQueue(features, queue);
  }

  startQueue(features: bigint, queue: QueueConfig): void {
    this.#queue = createVirtqueue(this.#memory, {
      size: queue.size,
      descTable: guestAddress(queue.descTable),
      availRing: guestAddress(queue.availRing),
      usedRing: guestAddress(queue.usedRing),
      features,
    });
  }

  async stopQueue(): Promise<void> {
    await this.reset();
  }

  async reset(): Promise<void> {
    this.#queue?.[Symbol.dispose]();
    this.#queue = undefined;
  }

  notifyQueue(): void {
    const queue = this.#queue;
    if (queue === undefined || this.deaf) return;
    do this.#serve(queue);
    while (queue.enableNotification());
    if (queue.flush()) this.interrupt();
  }

  #serve(queue: Virtqueue): void {
    const batch = queue.popBatch();
    let failed = false;
    for (let i = 0; i < batch.length; i++) {
      const chain = batch.at(i);
      const header = new Uint8Array(VIRTIO_I2C_OUT_HDR.SIZE);
      chain.read(header, 0);
      const { addr, flags } = VIRTIO_I2C_OUT_HDR.decode(header);
      const reads = (flags & VIRTIO_I2C_FLAGS_M_RD) !== 0;
      const length = reads ? chain.writableLength - 1 : chain.readableLength - header.length;
      this.seen.push(`${addr >> 1} ${flags} ${length}`);
      failed ||= addr >> 1 !== 0x50;
      const data = new Uint8Array(length);
      if (!failed && !reads) {
        chain.read(data, header.length);
        this.#write(data);
      } else if (!failed) {
        for (let j = 0; j < length; j++) data[j] = this.registers[this.#pointer++ & 0xff] as number;
      }
      const status = Uint8Array.of(failed ? 1 : 0);
      chain.write(reads ? Uint8Array.of(...data, ...status) : status, 0);
      queue.complete(chain, reads ? length + 1 : 1);
      if ((flags & VIRTIO_I2C_FLAGS_FAIL_NEXT) === 0) failed = false;
    }
  }

  #write(data: Uint8Array): void {
    if (data.length === 0) return;
    this.#pointer = data[0] as number;
    for (const byte of data.subarray(1)) this.registers[this.#pointer++ & 0xff] = byte;
  }
}
