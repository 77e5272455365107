import type { IoExit, MmioExit } from './vcpu-exit.ts';

/**
 * What stands behind the addresses of a guest that are no memory. Called on the vCPU's thread, which stands
 * still meanwhile. `data` is valid during the call; where something is read it holds ones, which is what the
 * guest gets when nobody answers.
 */
export interface VcpuBus {
  mmioRead?(address: bigint, data: Uint8Array): void;
  mmioWrite?(address: bigint, data: Uint8Array): void;
  /** Once for each access of a string instruction. */
  portRead?(port: number, data: Uint8Array): void;
  /** As {@link portRead}. */
  portWrite?(port: number, data: Uint8Array): void;
  /** After a kick: look for what the kicker has left. */
  kicked?(): void;
}

/** Serves an access to memory. */
export function serveMmio(bus: VcpuBus, { isWrite, address, data }: MmioExit): void {
  if (isWrite) {
    bus.mmioWrite?.(address, data);
    return;
  }
  // The kernel leaves what was there before: the guest is not to get that.
  fillWithOnes(data);
  bus.mmioRead?.(address, data);
}

/** Serves accesses to a port. */
export function serveIo(bus: VcpuBus, { isWrite, port, size, count, data }: IoExit): void {
  if (!isWrite) fillWithOnes(data);
  for (let i = 0; i < count; i++) {
    const one = count === 1 ? data : data.subarray(i * size, (i + 1) * size);
    if (isWrite) bus.portWrite?.(port, one);
    else bus.portRead?.(port, one);
  }
}

/** For a few bytes a loop takes less time than the call of `fill`. */
function fillWithOnes(data: Uint8Array): void {
  for (let i = 0; i < data.length; i++) data[i] = 0xff;
}
