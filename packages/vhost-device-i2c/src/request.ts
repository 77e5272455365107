import {
  VIRTIO_I2C_FLAGS_FAIL_NEXT,
  VIRTIO_I2C_FLAGS_M_RD,
  VIRTIO_I2C_IN_HDR,
  VIRTIO_I2C_OUT_HDR,
} from '@node-vmm/virtio-bindings';
import type { DescriptorChain } from '@node-vmm/virtio-queue';
import { decodeAddr } from './address.ts';
import { I2C_MESSAGE_MAX } from './i2c-host.ts';

const KNOWN_FLAGS = VIRTIO_I2C_FLAGS_FAIL_NEXT | VIRTIO_I2C_FLAGS_M_RD;

/** Why a request cannot be executed; the counter of that name counts it. */
export type RequestFault = 'malformed' | 'oversized';

/** A decoded request (VIRTIO 1.3 §5.16.6). */
export interface I2cRequest {
  /** The chain that carries it. */
  chain: DescriptorChain;
  /** See `isI2cAddress`; meaningless when there is a fault. */
  readonly address: number;
  readonly read: boolean;
  /** Bytes of data; meaningless when there is a fault. */
  readonly length: number;
  /** The driver linked the next request to this one. */
  readonly failNext: boolean;
  readonly fault: RequestFault | undefined;
}

/**
 * Decodes requests. The header is copied out of guest memory once and then believed; how the driver
 * spread the request over descriptors plays no role.
 */
export class RequestParser {
  readonly #header = new Uint8Array(VIRTIO_I2C_OUT_HDR.SIZE);
  readonly #view = new DataView(this.#header.buffer);

  /** Decodes the request in a chain. Never throws: what is wrong is said by `fault`. */
  parse(chain: DescriptorChain): I2cRequest {
    if (chain.read(this.#header, 0) < this.#header.length) {
      return { chain, address: 0, read: false, length: 0, failNext: false, fault: 'malformed' };
    }
    const address = decodeAddr(VIRTIO_I2C_OUT_HDR.get(this.#view, 0, 'addr'));
    const flags = VIRTIO_I2C_OUT_HDR.get(this.#view, 0, 'flags');
    const read = (flags & VIRTIO_I2C_FLAGS_M_RD) !== 0;
    const written = chain.readableLength - VIRTIO_I2C_OUT_HDR.SIZE;
    const wanted = chain.writableLength - VIRTIO_I2C_IN_HDR.SIZE;
    return {
      chain,
      address: address ?? 0,
      read,
      length: read ? wanted : written,
      failNext: (flags & VIRTIO_I2C_FLAGS_FAIL_NEXT) !== 0,
      fault: fault(address, flags, read ? wanted : written, read ? written : wanted),
    };
  }
}

function fault(
  address: number | undefined,
  flags: number,
  length: number,
  inOtherDirection: number,
): RequestFault | undefined {
  // A reserved flag asks for something that we would not do.
  if ((flags & ~KNOWN_FLAGS) !== 0 || length < 0 || inOtherDirection !== 0) return 'malformed';
  if (address === undefined) return 'malformed';
  return length > I2C_MESSAGE_MAX ? 'oversized' : undefined;
}
