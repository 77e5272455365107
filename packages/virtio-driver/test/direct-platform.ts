import { type VirtioDevice, VirtioMmioTransport } from '@node-vmm/virtio-device';
import { Bus, type GuestPlatform } from '@node-vmm/vm-device';
import { type GuestMemory, guestAddress } from '@node-vmm/vm-memory';
import { GuestMemoryBuffer } from '@node-vmm/vm-memory/testing';

export const BASE = 0x200_0000n;
export const IRQ = 33;

/** A guest whose accesses are function calls into the device model. */
export class DirectPlatform implements GuestPlatform {
  readonly memory: GuestMemory = GuestMemoryBuffer.create([
    { guestAddr: guestAddress(0x4000_0000n), length: 1024 * 1024 },
  ]);
  readonly bus = new Bus('memory');
  interrupts = 0;
  transport: VirtioMmioTransport | undefined;

  plug(device: VirtioDevice): VirtioMmioTransport {
    const transport = new VirtioMmioTransport(device, { interrupt: () => void this.interrupts++ });
    this.bus.map({ base: BASE, length: 0x200 }, transport);
    this.transport = transport;
    return transport;
  }

  read(guestAddr: bigint, size: number): bigint {
    return this.bus.read(Number(guestAddr), size);
  }

  write(guestAddr: bigint, size: number, value: bigint): void {
    this.bus.write(Number(guestAddr), size, value);
  }

  waitInterrupt(): boolean {
    if (this.interrupts === 0) return false;
    this.interrupts = 0;
    return true;
  }
}
