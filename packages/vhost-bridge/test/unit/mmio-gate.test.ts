import {
  VIRTIO_MMIO_DEVICE_ID,
  VIRTIO_MMIO_MAGIC,
  VIRTIO_MMIO_MAGIC_VALUE,
  VIRTIO_MMIO_VERSION,
} from '@node-vmm/virtio-device';
import type { BusHandler } from '@node-vmm/vm-device';
import { describe, expect, it } from 'vitest';
import { MmioGate } from '../../src/mmio-gate.ts';

class Target implements BusHandler {
  readonly written: [number, number, bigint][] = [];

  read(offset: number, size: number): bigint {
    return BigInt(offset * 16 + size);
  }

  write(offset: number, size: number, value: bigint): Promise<void> | undefined {
    this.written.push([offset, size, value]);
    return undefined;
  }
}

const LONG = 60_000;

describe('MmioGate', () => {
  it('holds accesses until the device is there, then passes them on', async () => {
    const gate = new MmioGate(LONG);
    let opened = false;
    const waiting = gate.ready?.then(() => {
      opened = true;
    });
    await Promise.resolve();
    expect(opened).toBe(false);
    const target = new Target();
    gate.open(target);
    await waiting;
    expect(gate.ready).toBeUndefined();
    expect(gate.read(4, 4)).toBe(68n);
    gate.write(8, 2, 7n);
    expect(target.written).toEqual([[8, 2, 7n]]);
  });

  it('§4.2.2.2 shows a device with ID 0 when the back-end takes too long', async () => {
    const gate = new MmioGate(1);
    // Its timer keeps no process alive.
    const alive = setInterval(() => undefined, 1000);
    await gate.ready;
    clearInterval(alive);
    expect(gate.ready).toBeUndefined();
    expect(gate.read(VIRTIO_MMIO_MAGIC_VALUE, 4)).toBe(BigInt(VIRTIO_MMIO_MAGIC));
    expect(gate.read(VIRTIO_MMIO_VERSION, 4)).toBe(2n);
    expect(gate.read(VIRTIO_MMIO_DEVICE_ID, 4)).toBe(0n);
    expect(gate.read(0x100, 8)).toBe(0n);
    expect(gate.write(0x70, 4, 1n)).toBeUndefined();
    const target = new Target();
    gate.open(target);
    expect(gate.read(4, 4)).toBe(68n);
  });

  it('lets nobody wait for a device that failed', async () => {
    const gate = new MmioGate(LONG);
    const waiting = gate.ready;
    gate.close();
    await waiting;
    expect(gate.ready).toBeUndefined();
    expect(gate.read(VIRTIO_MMIO_DEVICE_ID, 4)).toBe(0n);
  });
});
