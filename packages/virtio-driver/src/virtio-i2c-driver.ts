import {
  featureWord,
  VIRTIO_F_VERSION_1,
  VIRTIO_I2C_F_ZERO_LENGTH_REQUEST,
  VIRTIO_I2C_FLAGS_FAIL_NEXT,
  VIRTIO_I2C_FLAGS_M_RD,
  VIRTIO_I2C_IN_HDR,
  VIRTIO_I2C_MSG_OK,
  VIRTIO_I2C_OUT_HDR,
  VIRTIO_ID_I2C_ADAPTER,
  VIRTIO_RING_F_EVENT_IDX,
} from '@node-vmm/virtio-bindings';
import type { DriverBuffer } from '@node-vmm/virtio-queue/driver';
import type { GuestPlatform } from '@node-vmm/vm-device';
import { type GuestAddress, guestAddress } from '@node-vmm/vm-memory';
import { DriverQueue, type DriverQueueOptions } from './driver-queue.ts';
import { DriverError } from './errors.ts';
import { GuestHeap } from './guest-heap.ts';
import { MmioDriverTransport } from './mmio-driver-transport.ts';

const REQUEST_QUEUE = 0;
const BUFFER_SPACE = 128 * 1024;
const NO_STATUS = 0xff;

/** One message of an I2C transfer. `address` is a 7-bit client address. */
export type I2cMessage =
  | { readonly address: number; readonly read: true; readonly length: number }
  | { readonly address: number; readonly read: false; readonly data: Uint8Array };

/** What became of a message. */
export interface I2cResult {
  readonly ok: boolean;
  /** What was read; empty for writes and failures. */
  readonly data: Uint8Array;
}

/** Where the adapter is; the queue's options besides. */
export interface I2cDriverOptions extends DriverQueueOptions {
  readonly base: bigint;
  readonly irq: number;
  /** Guest memory for rings and buffers, default a heap over the first region. */
  readonly heap?: GuestHeap;
}

interface PlacedMessage {
  readonly message: I2cMessage;
  readonly buffer: GuestAddress;
  readonly status: GuestAddress;
}

const lengthOf = (message: I2cMessage): number =>
  message.read ? message.length : message.data.length;

/**
 * A driver of virtio I2C adapters that does what Linux's `i2c-virtio` does: every message is a chain
 * of header, data and status; all but the last carry FAIL_NEXT. Calls block.
 */
export class VirtioI2cDriver {
  readonly transport: MmioDriverTransport;
  /** Negotiated. */
  readonly features: bigint;
  readonly #platform: GuestPlatform;
  readonly #queue: DriverQueue;
  readonly #space: GuestAddress;

  /**
   * Finds the adapter and starts it.
   *
   * @throws {DriverError} NO_DEVICE, WRONG_DEVICE, FEATURES_REFUSED, QUEUE_REFUSED, TIMEOUT
   */
  constructor(platform: GuestPlatform, options: I2cDriverOptions) {
    const heap = options.heap ?? new GuestHeap(platform.memory);
    this.#platform = platform;
    this.transport = MmioDriverTransport.probe(platform, options.base, VIRTIO_ID_I2C_ADAPTER);
    // As Linux: an adapter without zero-length requests is not driven.
    this.features = this.transport.negotiate(
      featureWord(VIRTIO_RING_F_EVENT_IDX),
      featureWord(VIRTIO_F_VERSION_1, VIRTIO_I2C_F_ZERO_LENGTH_REQUEST),
    );
    const place = { index: REQUEST_QUEUE, irq: options.irq, features: this.features };
    this.#queue = new DriverQueue({ platform, transport: this.transport, heap }, place, options);
    this.#space = heap.allocate(BUFFER_SPACE);
    this.transport.driverOk();
  }

  /**
   * Carries out messages as one transfer.
   *
   * @returns one result for each message, in order; after a failure the rest has failed too
   * @throws {DriverError} TOO_LARGE, TIMEOUT; BROKEN, also ever after a TIMEOUT
   */
  transfer(messages: readonly I2cMessage[]): I2cResult[] {
    this.#queue.checkIdle();
    const placed = this.#place(messages);
    for (const one of placed) this.#add(one, one !== placed.at(-1));
    this.#queue.run(() => undefined);
    let failed = false;
    return placed.map(({ message, buffer, status }) => {
      failed ||= this.#platform.memory.readU8(status) !== VIRTIO_I2C_MSG_OK;
      const data = new Uint8Array(!failed && message.read ? message.length : 0);
      if (data.length > 0) this.#platform.memory.read(buffer, data);
      return { ok: !failed, data };
    });
  }

  /** Writes bytes to a client. @throws {DriverError} I2C_FAILED and as `transfer` */
  write(address: number, data: Uint8Array): void {
    this.#must([{ address, read: false, data }]);
  }

  /** Reads bytes from a client. @throws {DriverError} I2C_FAILED and as `transfer` */
  read(address: number, length: number): Uint8Array {
    return this.#must([{ address, read: true, length }]);
  }

  /** Writes (a register number, say), then reads with a repeated start. */
  writeRead(address: number, data: Uint8Array, length: number): Uint8Array {
    return this.#must([
      { address, read: false, data },
      { address, read: true, length },
    ]);
  }

  #must(messages: readonly I2cMessage[]): Uint8Array {
    const results = this.transfer(messages);
    const message = results.findIndex((result) => !result.ok);
    if (message < 0) return results.at(-1)?.data ?? new Uint8Array(0);
    const address = messages[message]?.address.toString(16).padStart(2, '0');
    throw new DriverError('I2C_FAILED', `Cannot transfer with I2C client 0x${address}: no answer`, {
      message,
    });
  }

  #place(messages: readonly I2cMessage[]): PlacedMessage[] {
    let used = 0;
    const take = (length: number): GuestAddress => {
      const at = used;
      used += length;
      return guestAddress(this.#space + BigInt(at));
    };
    const placed = messages.map((message) => {
      const header = take(VIRTIO_I2C_OUT_HDR.SIZE);
      const status = take(VIRTIO_I2C_OUT_HDR.SIZE);
      return { message, header, status, buffer: take(Math.ceil(lengthOf(message) / 8) * 8) };
    });
    // Three descriptors for each message, at most.
    if (used > BUFFER_SPACE || 3 * messages.length > this.#queue.ring.free) {
      throw new DriverError(
        'TOO_LARGE',
        `Cannot transfer ${messages.length} messages of ${used} bytes: the queue holds ` +
          `${Math.floor(this.#queue.ring.free / 3)} messages of ${BUFFER_SPACE} bytes`,
      );
    }
    return placed;
  }

  #add({ message, buffer, status }: PlacedMessage, failNext: boolean): void {
    const { memory } = this.#platform;
    const length = lengthOf(message);
    const header = guestAddress(status - BigInt(VIRTIO_I2C_OUT_HDR.SIZE));
    memory.write(
      header,
      VIRTIO_I2C_OUT_HDR.encode({
        addr: message.address << 1,
        flags:
          (message.read ? VIRTIO_I2C_FLAGS_M_RD : 0) | (failNext ? VIRTIO_I2C_FLAGS_FAIL_NEXT : 0),
      }),
    );
    memory.writeU8(status, NO_STATUS);
    if (!message.read) memory.write(buffer, message.data);
    const chain: DriverBuffer[] = [
      { guestAddr: header, length: VIRTIO_I2C_OUT_HDR.SIZE, writable: false },
    ];
    if (length > 0) chain.push({ guestAddr: buffer, length, writable: message.read });
    chain.push({ guestAddr: status, length: VIRTIO_I2C_IN_HDR.SIZE, writable: true });
    this.#queue.add(chain);
  }
}
