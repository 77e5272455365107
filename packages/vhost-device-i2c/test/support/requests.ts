import {
  VIRTIO_I2C_FLAGS_FAIL_NEXT,
  VIRTIO_I2C_FLAGS_M_RD,
  VIRTIO_I2C_OUT_HDR,
} from '@node-vmm/virtio-bindings';
import { isTenBit, tenBits } from '../../src/address.ts';
import { FakeChain } from './fakes.ts';

/** Fills what the device has not written, to see what it did. */
export const UNTOUCHED = 0xee;

export interface RequestShape {
  readonly address: number;
  /** Bytes to write, or how many to read. */
  readonly write?: readonly number[];
  readonly read?: number;
  readonly failNext?: boolean;
}

/** `addr` of a request for an address (VIRTIO 1.3 §5.16.6.1). */
export function addrOf(address: number): number {
  if (!isTenBit(address)) return address << 1;
  const bits = tenBits(address);
  return ((bits & 0xff) << 8) | 0xf0 | ((bits >>> 8) << 1);
}

export function header(addr: number, flags: number): Uint8Array {
  return VIRTIO_I2C_OUT_HDR.encode({ addr, flags });
}

/** The readable and writable part of a request as Linux's driver lays it out. */
export function requestParts(shape: RequestShape): { out: Uint8Array; inLength: number } {
  const { address, write = [], read, failNext = false } = shape;
  const flags =
    (failNext ? VIRTIO_I2C_FLAGS_FAIL_NEXT : 0) | (read === undefined ? 0 : VIRTIO_I2C_FLAGS_M_RD);
  return {
    out: Uint8Array.from([...header(addrOf(address), flags), ...write]),
    inLength: (read ?? 0) + 1,
  };
}

export function chainOf(shape: RequestShape): FakeChain {
  const { out, inLength } = requestParts(shape);
  return rawChain(out, inLength);
}

export function rawChain(readable: Uint8Array, writable: number): FakeChain {
  return new FakeChain(readable, new Uint8Array(writable).fill(UNTOUCHED));
}

/** The status byte. */
export function statusOf(chain: FakeChain): number | undefined {
  return chain.writable.at(-1);
}
