import type { AddressRange } from '@node-vmm/vm-device';
import type { SeatMessage } from './protocol.ts';
import type { SeatedDevice } from './seated-device.ts';

interface ToldWindow {
  readonly range: AddressRange;
  /** Accesses wait for the main thread's handler. */
  gated: boolean;
  device?: SeatedDevice;
  /** Number of the message by which the thread was told of the device. */
  told: number;
  /** Some thread has served its registers: what is in its memory counts. */
  served: boolean;
}

type Lend = (memory: SharedArrayBuffer) => void;

/** Windows of a guest as its dispatch thread is told of them, and their devices. */
export class ToldWindows {
  readonly #post: (message: SeatMessage) => number;
  readonly #windows = new Map<number, ToldWindow>();

  /** @param post - returns the number of the message */
  constructor(post: (message: SeatMessage) => number) {
    this.#post = post;
  }

  add(id: number, range: AddressRange, gated: boolean): void {
    const window = { range: { ...range }, gated, told: Number.POSITIVE_INFINITY, served: false };
    this.#windows.set(id, window);
    this.#tell(id, window);
  }

  #tell(id: number, { range, gated }: ToldWindow): void {
    this.#post({ type: 'map', window: id, range, gated });
  }

  /** Nobody waits for its handler any longer. */
  open(id: number): void {
    const window = this.#windows.get(id);
    if (window === undefined) return;
    window.gated = false;
    this.#post({ type: 'ready', window: id });
  }

  delete(id: number): void {
    if (this.#windows.delete(id)) this.#post({ type: 'unmap', window: id });
  }

  /** @param lend - sends memory, before the message that it belongs to */
  serve(id: number, device: SeatedDevice, lend: Lend): void {
    const window = this.#windows.get(id);
    if (window === undefined) return;
    window.device = device;
    this.#tellDevice(id, window, lend);
  }

  #tellDevice(id: number, window: ToldWindow, lend: Lend): void {
    const { device, served } = window;
    if (device === undefined) return;
    lend(device.shared);
    const data = { ...device.data, resumed: served };
    window.told = this.#post({ type: 'device', window: id, data });
  }

  device(id: number): SeatedDevice | undefined {
    return this.#windows.get(id)?.device;
  }

  /** The thread has died. @param heard - messages that it had done */
  left(heard: number): void {
    for (const window of this.#windows.values()) {
      window.served ||= window.told <= heard;
      if (window.served) window.device?.moved();
    }
  }

  /** Tells a thread that knows of none. */
  tellAll(lend: Lend): void {
    for (const [id, window] of this.#windows) {
      this.#tell(id, window);
      this.#tellDevice(id, window, lend);
    }
  }

  /** No other comes. */
  gone(): void {
    for (const { device } of this.#windows.values()) device?.gone();
    this.#windows.clear();
  }
}
