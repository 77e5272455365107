// Runs in a guest of plain QEMU that has a daemon of its own: asks the daemon, as a front-end with a
// guest behind it, and prints the answers as one JSON line.
//
// node i2c-front-end.js <socket> <requests as JSON>
import { connectDevice } from '@node-vmm/vhost-user-backend/testing';
import {
  VIRTIO_I2C_FLAGS_FAIL_NEXT,
  VIRTIO_I2C_FLAGS_M_RD,
  VIRTIO_I2C_OUT_HDR,
} from '@node-vmm/virtio-bindings';

/** A request as VIRTIO 1.3 §5.16.6.1 has it. */
export interface I2cRequest {
  /** `addr` of its header: the address is shifted, or in the form of 10 bits. */
  readonly addr: number;
  readonly write?: readonly number[];
  /** Bytes to read. */
  readonly read?: number;
  /** It and the next one are parts of one transfer. */
  readonly failNext?: boolean;
}

/** What became of one. */
export interface I2cAnswer {
  readonly status: number;
  readonly data: readonly number[];
}

const [socketPath = '', text = '[]'] = process.argv.slice(2);
const requests = JSON.parse(text) as readonly I2cRequest[];
const bench = await connectDevice({ socketPath });
try {
  const queue = bench.queue(0);
  const waiting = requests.map(({ addr, write = [], read, failNext = false }) => {
    const flags =
      (failNext ? VIRTIO_I2C_FLAGS_FAIL_NEXT : 0) |
      (read === undefined ? 0 : VIRTIO_I2C_FLAGS_M_RD);
    const readable = [VIRTIO_I2C_OUT_HDR.encode({ addr, flags })];
    if (write.length > 0) readable.push(Uint8Array.from(write));
    return queue.add(readable, read === undefined ? [1] : [read, 1]);
  });
  // All at once: the daemon waits for the rest of a transfer, but not for long.
  queue.publish();
  const answers = (await Promise.all(waiting)).map((parts): I2cAnswer => {
    const bytes = parts.flatMap((part) => [...part]);
    return { status: bytes.at(-1) ?? -1, data: bytes.slice(0, -1) };
  });
  process.stdout.write(`${JSON.stringify(answers)}\n`);
} finally {
  await bench[Symbol.asyncDispose]();
}
