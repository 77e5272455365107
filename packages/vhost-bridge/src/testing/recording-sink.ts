import type { DeviceDescription, DeviceSink, DeviceSite } from '../device-source.ts';

/** A device on its way up, which the test decides about. */
export interface Adding {
  readonly device: DeviceDescription;
  readonly place: () => void;
  readonly succeed: () => void;
  readonly fail: (error: Error) => void;
}

/** A bridge whose devices come up when the test says so, or at once. */
export class RecordingSink implements DeviceSink {
  /** Every device that was announced, in that order. */
  readonly added: DeviceDescription[] = [];
  /** Every window that was claimed without a device, in that order. */
  readonly claimed: DeviceSite[] = [];
  /** Guests that somebody else serves devices of. */
  readonly shared = new Set<number>();
  /** Keys of every device that was withdrawn, in that order. */
  readonly removed: string[] = [];
  /** Devices that are coming up, by key; none while `auto`. */
  readonly adding = new Map<string, Adding>();
  /** Devices come up by themselves. */
  auto = true;
  /** What the removal of a device waits for. */
  removal: Promise<void> = Promise.resolve();

  add(device: DeviceDescription, onPlaced: () => void): Promise<void> {
    this.added.push(device);
    if (this.auto) {
      onPlaced();
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      this.adding.set(device.key, { device, place: onPlaced, succeed: resolve, fail: reject });
    });
  }

  claim(site: DeviceSite): boolean {
    if (this.shared.has(site.guest)) return false;
    this.claimed.push(site);
    return true;
  }

  async remove(key: string): Promise<void> {
    this.removed.push(key);
    this.adding.get(key)?.fail(new Error('aborted'));
    this.adding.delete(key);
    await this.removal;
  }

  /** Keys of the devices that were added and not removed since. */
  get present(): string[] {
    const keys = this.added.map(({ key }) => key);
    for (const key of this.removed) {
      const at = keys.indexOf(key);
      if (at >= 0) keys.splice(at, 1);
    }
    return keys.sort();
  }
}
