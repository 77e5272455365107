import type { DeviceDescription, DeviceSink } from '../src/device-source.ts';

export interface Adding {
  readonly device: DeviceDescription;
  readonly place: () => void;
  readonly succeed: () => void;
  readonly fail: (error: Error) => void;
}

/** A bridge whose devices come up when the test says so, or at once. */
export class RecordingSink implements DeviceSink {
  readonly added: DeviceDescription[] = [];
  readonly removed: string[] = [];
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

/** Counts how often guests were held and let go. */
export class Holds {
  readonly held: number[] = [];
  readonly released: number[] = [];
  possible = true;

  readonly hold = (domid: number): (() => void) | undefined => {
    if (!this.possible) return undefined;
    this.held.push(domid);
    return () => this.released.push(domid);
  };

  /** Times that a guest is held now. */
  of(domid: number): number {
    const count = (list: readonly number[]): number => list.filter((id) => id === domid).length;
    return count(this.held) - count(this.released);
  }
}
