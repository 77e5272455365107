import { VIRTIO_I2C_OUT_HDR } from '@node-vmm/virtio-bindings';
import type { I2cMessage } from './i2c-host.ts';
import type { I2cRequest } from './request.ts';

const INITIAL_SIZE = 4096;

/** Memory for the data of one transfer after the other: of a full one, about 340 KiB. */
export class TransferBuffer {
  #bytes = new Uint8Array(INITIAL_SIZE);

  /** The buffer, at least `size` long; the one before must not be in use any more. */
  reserve(size: number): Uint8Array {
    if (size > this.#bytes.length) this.#bytes = new Uint8Array(2 ** Math.ceil(Math.log2(size)));
    return this.#bytes;
  }
}

/**
 * A transfer from its start to its end. What it writes is copied from the guest and what it reads is
 * copied to it, so that a bus that takes its time needs no memory that may go meanwhile.
 */
export class Transfer {
  readonly messages: readonly I2cMessage[];
  #count: number;

  constructor(requests: readonly I2cRequest[], buffer: TransferBuffer) {
    const bytes = buffer.reserve(requests.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    this.messages = requests.map(({ chain, address, read, length }) => {
      const data = bytes.subarray(at, at + length);
      at += length;
      if (!read) chain.read(data, VIRTIO_I2C_OUT_HDR.SIZE);
      return { address, read, data };
    });
    this.#count = requests.length;
  }

  /** How many requests wait for it. */
  get count(): number {
    return this.#count;
  }

  /** Nobody waits for it any more. */
  drop(): void {
    this.#count = 0;
  }
}
