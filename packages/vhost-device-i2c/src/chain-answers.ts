import {
  VIRTIO_I2C_IN_HDR,
  VIRTIO_I2C_MSG_ERR,
  VIRTIO_I2C_MSG_OK,
} from '@node-vmm/virtio-bindings';
import type { DescriptorChain } from '@node-vmm/virtio-queue';
import type { I2cCounters } from './counters.ts';
import { I2C_MESSAGE_MAX } from './i2c-host.ts';
import type { I2cRequest } from './request.ts';

/** Returns a chain to the driver. */
export type Complete = (chain: DescriptorChain, written: number) => void;

/** Most bytes of an answer. */
const ANSWER_MAX = I2C_MESSAGE_MAX + VIRTIO_I2C_IN_HDR.SIZE;

/** Writes the answers of requests, and counts them. */
export class ChainAnswers {
  readonly #counters: I2cCounters;
  readonly #complete: Complete;
  readonly #status = new Uint8Array(VIRTIO_I2C_IN_HDR.SIZE);
  readonly #zeroes = new Uint8Array(ANSWER_MAX);

  constructor(counters: I2cCounters, complete: Complete) {
    this.#counters = counters;
    this.#complete = complete;
  }

  /** @param data - what was read, or written */
  succeed({ chain, read }: I2cRequest, data: Uint8Array): void {
    this.#counters.requests++;
    this.#status[0] = VIRTIO_I2C_MSG_OK;
    const written = read ? chain.write(data, 0) : 0;
    this.#complete(chain, written + chain.write(this.#status, written));
  }

  /**
   * Answers VIRTIO_I2C_MSG_ERR in the last writable byte, whatever the request looks like. The bytes
   * in front of it are zeroed, so that the length that we report is the length that we wrote
   * (VIRTIO 1.3 §2.7.8.2); where they are more than any request may have, the length is 0.
   */
  fail(chain: DescriptorChain): void {
    this.#counters.requests++;
    this.#counters.errors++;
    const data = chain.writableLength - VIRTIO_I2C_IN_HDR.SIZE;
    if (data < 0) {
      this.#complete(chain, 0);
      return;
    }
    const whole = data < ANSWER_MAX;
    const zeroed = whole ? chain.write(this.#zeroes.subarray(0, data), 0) : 0;
    this.#status[0] = VIRTIO_I2C_MSG_ERR;
    const status = chain.write(this.#status, data);
    this.#complete(chain, whole ? zeroed + status : 0);
  }
}
