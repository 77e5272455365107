import { VIRTIO_MMIO_WINDOW_SIZE } from '@node-vmm/virtio-device';
import type { Wiring } from '@node-vmm/vm-device';
import type { BridgedVm } from './bridged-vm.ts';
import type { DeviceDescription } from './device-source.ts';
import type { KeptDevice } from './kept-device.ts';
import { MmioGate } from './mmio-gate.ts';
import type { SocketLease } from './socket-provider.ts';

/** Where a device is that another bridge left; its guest's accesses wait. */
export interface KeptPlace {
  readonly kept: KeptDevice;
  readonly gate: MmioGate;
  readonly window: Wiring;
  /** Its back-end's socket, kept for it. */
  readonly lease: SocketLease;
}

interface TimedPlace extends KeptPlace {
  readonly timer: NodeJS.Timeout;
}

/**
 * Devices that another bridge left, from when their guest is attached to until they are announced. One
 * that nobody announces is given up after a while: its guest must not wait for ever.
 */
export class KeptPlaces {
  readonly #holdMs: number;
  readonly #onGivenUp: (kept: KeptDevice, reason: string) => void;
  readonly #places = new Map<string, TimedPlace>();

  /**
   * @param holdMs - how long a device waits to be announced, and accesses to it for its back-end
   * @param onGivenUp - nothing is left of the device; must not throw
   */
  constructor(holdMs: number, onGivenUp: (kept: KeptDevice, reason: string) => void) {
    this.#holdMs = holdMs;
    this.#onGivenUp = onGivenUp;
  }

  /**
   * @param lease - becomes the place's, whatever happens
   * @throws {VmError} when the VM refuses the window
   */
  add(kept: KeptDevice, { vm }: BridgedVm, lease: SocketLease): void {
    const { key, base } = kept.description;
    const gate = new MmioGate(this.#holdMs);
    try {
      const window = vm.map({ space: 'memory', base, length: VIRTIO_MMIO_WINDOW_SIZE }, gate);
      const giveUp = (): void => this.giveUp(key, 'nobody announces it any more');
      const timer = setTimeout(giveUp, this.#holdMs);
      timer.unref();
      this.#places.set(key, { kept, gate, window, lease, timer });
    } catch (error) {
      gate.close();
      lease.release();
      throw error;
    }
  }

  /** True when {@link claim} would find a device. */
  has(description: DeviceDescription): boolean {
    const place = this.#places.get(description.key);
    return place !== undefined && sameDevice(place.kept.description, description);
  }

  /**
   * The place of a device that is announced; the caller's from then on. One where another device is
   * announced is given up.
   */
  claim(description: DeviceDescription): KeptPlace | undefined {
    for (const [key, place] of this.#places) {
      const known = place.kept.description;
      if (sameDevice(known, description)) {
        clearTimeout(place.timer);
        this.#places.delete(key);
        return place;
      }
      const samePlace = known.guest === description.guest && known.base === description.base;
      if (key === description.key || samePlace) {
        this.giveUp(key, 'another device is announced in its place');
      }
    }
    return undefined;
  }

  /** Lets go of a guest's places, which are another bridge's: what nobody has announced yet. */
  leave(guest: number): KeptDevice[] {
    const left: KeptDevice[] = [];
    for (const [key, place] of this.#places) {
      if (place.kept.description.guest !== guest) continue;
      this.#close(key, place);
      left.push(place.kept);
    }
    return left;
  }

  /** Gives everything up. */
  close(reason: string): void {
    for (const key of [...this.#places.keys()]) this.giveUp(key, reason);
  }

  /** Takes a place from its guest, if there is one. */
  giveUp(key: string, reason: string): void {
    const place = this.#places.get(key);
    if (place === undefined) return;
    this.#close(key, place);
    this.#onGivenUp(place.kept, reason);
  }

  #close(key: string, { timer, gate, window, lease }: TimedPlace): void {
    this.#places.delete(key);
    clearTimeout(timer);
    gate.close();
    window.close();
    lease.release();
  }
}

/** What its driver would notice is the same. */
function sameDevice(a: DeviceDescription, b: DeviceDescription): boolean {
  return (
    a.key === b.key &&
    a.guest === b.guest &&
    a.deviceId === b.deviceId &&
    a.base === b.base &&
    a.irq === b.irq &&
    a.trigger === b.trigger
  );
}
