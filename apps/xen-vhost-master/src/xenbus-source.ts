import { errorCode, type Logger } from '@node-vmm/vmm-sys-util';
import type { XenStore } from '@node-vmm/xen-store';
import {
  BACKEND_ENTRIES,
  type BackendNode,
  backendState,
  describeDevice,
  isClosing,
  XenbusState,
} from './backend-node.ts';
import type { DeviceSink, DeviceSource } from './device-source.ts';

// Relative to our own domain's directory: dom0's, or a driver domain's.
const ROOT = 'backend/virtio';
/** More devices than any guest has; what a directory could otherwise make us walk through. */
const MAX_DEVICES = 4096;

/** Holds a guest still; the function lets it go. Undefined where that is not possible. */
export type HoldGuest = (domid: number) => (() => void) | undefined;

type Known = 'adding' | 'up' | 'failed' | 'removing';

/**
 * Devices as the toolstack announces them in the xenstore, and our half of the handshake: a back-end's
 * state is InitWait once the guest can use the device, and Closed once nothing of it remains. `xl create`
 * (4.20) does not wait for the first; tools may watch it.
 *
 * Every change makes it compare what there is with what it knows, so that no sequence of events can
 * be missed.
 */
export class XenbusSource implements DeviceSource {
  readonly #store: XenStore;
  readonly #logger: Logger;
  readonly #hold: HoldGuest;
  readonly #known = new Map<string, Known>();
  // Guests that stand still until their new devices are in place, by device.
  readonly #held = new Map<string, (() => void) | undefined>();
  #sink: DeviceSink | undefined;
  #watch: Disposable | undefined;
  #scanning: Promise<void> | undefined;
  #again = false;
  #closed = false;

  /**
   * @param components - `hold`: `xl create` does not wait for virtio devices, and a guest that touches
   * a window that nobody has claimed yet dies of it
   */
  constructor(components: {
    readonly store: XenStore;
    readonly logger: Logger;
    readonly hold: HoldGuest;
  }) {
    this.#store = components.store;
    this.#logger = components.logger;
    this.#hold = components.hold;
  }

  async start(sink: DeviceSink): Promise<void> {
    this.#sink = sink;
    this.#watch = await this.#store.watch(ROOT, {
      onEvent: ({ path }) => this.#onEvent(path),
    });
    this.#logger.info({ path: ROOT }, 'watching for devices');
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#watch?.[Symbol.dispose]();
    this.#watch = undefined;
    await this.#scanning;
    // A guest that is left standing stands for ever.
    for (const key of [...this.#held.keys()]) this.#letGo(key);
    await Promise.all([...this.#known.keys()].map((key) => this.#remove(key)));
  }

  #onEvent(path: string): void {
    const match = /^backend\/virtio\/(\d{1,5})\/\d{1,5}(?=\/|$)/.exec(path);
    const key = match?.[0].slice(ROOT.length + 1);
    // At once, before anything is read: the guest may be about to run.
    if (key !== undefined && !this.#known.has(key) && !this.#held.has(key)) {
      this.#held.set(key, this.#hold(Number(match?.[1])));
    }
    this.#changed();
  }

  #letGo(key: string): void {
    this.#held.get(key)?.();
    this.#held.delete(key);
  }

  #changed(): void {
    if (this.#closed) return;
    if (this.#scanning !== undefined) {
      this.#again = true;
      return;
    }
    this.#scanning = this.#scan()
      .catch((error: unknown) => this.#logger.error({ err: error }, 'cannot read the devices'))
      .finally(() => {
        this.#scanning = undefined;
        if (!this.#again) return;
        this.#again = false;
        this.#changed();
      });
  }

  async #scan(): Promise<void> {
    const held = [...this.#held.keys()];
    try {
      const nodes = await this.#list();
      if (this.#closed) return;
      for (const [key, state] of this.#known) {
        const node = nodes.get(key);
        if ((node === undefined || isClosing(node)) && state !== 'removing') void this.#remove(key);
      }
      for (const [key, node] of nodes) {
        if (!this.#known.has(key) && !isClosing(node)) void this.#add(key, node);
      }
    } finally {
      for (const key of held) if (!this.#known.has(key)) this.#letGo(key);
    }
  }

  async #add(key: string, node: BackendNode): Promise<void> {
    this.#known.set(key, 'adding');
    try {
      if (backendState(node) > XenbusState.Initialising) {
        this.#logger.warn(
          { device: key },
          'taking over a device that another bridge served: its guest must reset it',
        );
      }
      await this.#sink?.add(describeDevice(node), () => this.#letGo(key));
      if (this.#known.get(key) !== 'adding') return;
      this.#known.set(key, 'up');
      await this.#setState(key, XenbusState.InitWait);
    } catch (error) {
      const state = this.#known.get(key);
      if (state !== 'adding' && state !== 'up') return;
      // The state stays Initialising: that is all that the protocol has to say it with.
      if (state === 'adding') this.#known.set(key, 'failed');
      this.#logger.error({ device: key, err: error }, 'device cannot be served');
    } finally {
      this.#letGo(key);
    }
  }

  async #remove(key: string): Promise<void> {
    this.#known.set(key, 'removing');
    try {
      await this.#sink?.remove(key);
      await this.#setState(key, XenbusState.Closed);
    } catch (error) {
      this.#logger.error({ device: key, err: error }, 'device did not close cleanly');
    } finally {
      this.#known.delete(key);
      // The toolstack may have announced it anew meanwhile.
      this.#changed();
    }
  }

  /** Writes the state of a device that still exists: a write alone would make its directory anew. */
  async #setState(key: string, state: number): Promise<void> {
    const path = `${ROOT}/${key}/state`;
    try {
      await this.#store.transaction(async (transaction) => {
        const before = Number(await transaction.read(path));
        // The toolstack may want it gone while it comes up: that must not be undone.
        if (before < state) await transaction.write(path, String(state));
      });
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
    }
  }

  async #list(): Promise<Map<string, BackendNode>> {
    const nodes = new Map<string, BackendNode>();
    for (const domid of await this.#numbers(ROOT)) {
      for (const devid of await this.#numbers(`${ROOT}/${domid}`)) {
        if (nodes.size === MAX_DEVICES) return nodes;
        const path = `${ROOT}/${domid}/${devid}`;
        const texts = await Promise.all(
          BACKEND_ENTRIES.map((name) => this.#store.tryRead(`${path}/${name}`)),
        );
        const entries = new Map<string, string>();
        texts.forEach((text, i) => {
          if (text !== undefined) entries.set(BACKEND_ENTRIES[i] as string, text);
        });
        // libxl writes a device in one transaction; without a state it is being removed.
        if (entries.has('state')) nodes.set(`${domid}/${devid}`, { domid, devid, entries });
      }
    }
    return nodes;
  }

  async #numbers(path: string): Promise<number[]> {
    return (await this.#directory(path)).filter((name) => /^\d{1,5}$/.test(name)).map(Number);
  }

  async #directory(path: string): Promise<readonly string[]> {
    try {
      return await this.#store.directory(path);
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return [];
      throw error;
    }
  }
}
