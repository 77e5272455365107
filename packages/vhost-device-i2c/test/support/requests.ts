import {
  VIRTIO_I2C_FLAGS_FAIL_NEXT,
  VIRTIO_I2C_FLAGS_M_RD,
  VIRTIO_I2C_OUT_HDR,
} from '@node-vmm/virtio-bindings';
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

export function header(addr: number, flags: number): Uint8Array {
  return VIRTIO_I2C_OUT_HDR.encode({ addr, flags });
}

/** The readable and writable part of a request as Linux's driver lays it out. */
export function requestParts(shape: RequestShape): { out: Uint8Array; inLength: number } {
  const { address, write = [], read, failNext = false } = shape;
  const flags =
    (failNext ? VIRTIO_I2C_FLAGS_FAIL_NEXT : 0) | (read === undefined ? 0 : VIRTIO_I2C_FLAGS_M_RD);
  return {
    out: Uint8Array.from([...header(address << 1, flags), ...write]),
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
