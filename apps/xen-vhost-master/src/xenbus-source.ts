import type {
  DeviceDescription,
  DeviceSink,
  DeviceSite,
  DeviceSource,
  HoldGuest,
} from '@node-vmm/vhost-bridge';
import { errorCode, type Logger } from '@node-vmm/vmm-sys-util';
import { type XenStore, XenStoreError } from '@node-vmm/xen-store';
import { AnnouncedDevices } from './announced-devices.ts';
import {
  type BackendNode,
  backendState,
  isClosing,
  siteOf,
  type XenbusProtocol,
  XenbusState,
} from './backend-node.ts';
import { announcementOf, Failures } from './failures.ts';
import { Rescan } from './rescan.ts';

type Known = 'adding' | 'up' | 'failed' | 'removing';

/**
 * Devices as the toolstack announces them in the xenstore, and our half of the handshake: a back-end's
 * state is InitWait once the guest can use the device, and Closed once nothing of it remains. `xl create`
 * waits for the first of `virtio_disk` devices, but not of `virtio` ones (4.20); tools may watch it.
 *
 * Every change makes it compare what there is with what it knows, so that no sequence of events can
 * be missed. What the xenstore refuses for a moment is done again a little later.
 */
export class XenbusSource implements DeviceSource {
  readonly #store: XenStore;
  readonly #logger: Logger;
  readonly #hold: HoldGuest;
  readonly #protocol: XenbusProtocol;
  // Relative to our own domain's directory: dom0's, or a driver domain's.
  readonly #root: string;
  readonly #announced: AnnouncedDevices;
  readonly #known = new Map<string, Known>();
  readonly #failures: Failures;
  /** Devices on their way down. */
  readonly #going = new Map<string, Promise<void>>();
  /** Devices of other servers, by key, and what was announced where that may yet make them ours. */
  readonly #foreign = new Map<string, string | undefined>();
  // Guests that stand still until their new devices are in place, by device.
  readonly #held = new Map<string, (() => void) | undefined>();
  /** States that the toolstack could not be told, by device. */
  readonly #owed = new Map<string, number>();
  readonly #rescan = new Rescan(() => this.#scan());
  #sink: DeviceSink | undefined;
  #watch: Disposable | undefined;

  /**
   * @param components - `hold`: `xl create` does not wait for virtio devices, and a guest that touches
   * a window that nobody has claimed yet dies of it
   */
  constructor(components: {
    readonly store: XenStore;
    readonly logger: Logger;
    readonly hold: HoldGuest;
    readonly protocol: XenbusProtocol;
  }) {
    this.#store = components.store;
    this.#logger = components.logger;
    this.#hold = components.hold;
    this.#protocol = components.protocol;
    this.#root = `backend/${components.protocol.kind}`;
    const { kind } = components.protocol;
    const entries = [...new Set([...components.protocol.entries, 'state', 'online'])];
    this.#announced = new AnnouncedDevices({ ...components, kind, entries });
    this.#failures = new Failures(components.logger, () => void this.#rescan.changed());
  }

  async start(sink: DeviceSink): Promise<void> {
    this.#sink = sink;
    this.#watch = await this.#store.watch(this.#root, {
      onEvent: ({ path }) => this.#onEvent(path),
    });
    this.#logger.debug({ path: this.#root }, 'watching the xenstore');
  }

  async close(): Promise<void> {
    this.#watch?.[Symbol.dispose]();
    this.#watch = undefined;
    await this.#rescan.close();
    this.#failures.close();
    // A guest that is left standing stands for ever.
    for (const key of [...this.#held.keys()]) this.#letGo(key);
    await Promise.all([...this.#known.keys()].map((key) => this.#remove(key)));
  }

  async leave(): Promise<void> {
    this.#watch?.[Symbol.dispose]();
    this.#watch = undefined;
    await this.#rescan.close();
    this.#failures.close();
    for (const key of [...this.#held.keys()]) this.#letGo(key);
    // What the toolstack wants gone goes; the rest is somebody else's from now on, also what has failed.
    this.#known.clear();
    await Promise.all(this.#going.values());
  }

  #onEvent(path: string): void {
    const device = this.#announced.changed(path);
    // At once, before anything is read: the guest may be about to run. One that is known to be there
    // already changes or goes, and its guest runs on.
    if (
      this.#protocol.exclusive &&
      device !== undefined &&
      !this.#announced.nodes.has(device.key)
    ) {
      this.#holdFor(device.key, device.domid);
    }
    void this.#rescan.changed();
  }

  #holdFor(key: string, domid: number): void {
    if (!this.#held.has(key)) this.#held.set(key, this.#hold(domid));
  }

  #letGo(key: string): void {
    this.#held.get(key)?.();
    this.#held.delete(key);
  }

  async #scan(): Promise<boolean> {
    // A device comes as a burst of events.
    await new Promise(setImmediate);
    const held = [...this.#held.keys()];
    try {
      let complete = await this.#announced.refresh();
      if (this.#rescan.closed) return true;
      const { nodes } = this.#announced;
      for (const [key, state] of this.#known) {
        const node = nodes.get(key);
        if ((node === undefined || isClosing(node)) && state !== 'removing') void this.#remove(key);
      }
      for (const key of this.#foreign.keys()) if (!nodes.has(key)) this.#foreign.delete(key);
      for (const node of nodes.values()) {
        if (isClosing(node) || !this.#isOpen(node)) continue;
        if (!(await this.#consider(node))) complete = false;
      }
      return (await this.#tellOwed()) && complete;
    } catch (error) {
      this.#logger.error({ err: error }, 'cannot read the devices');
      return !this.#store.live;
    } finally {
      for (const key of held) if (!this.#known.has(key)) this.#letGo(key);
    }
  }

  /** Whether it is to be decided what becomes of a device. */
  #isOpen(node: BackendNode): boolean {
    const { key } = node;
    const state = this.#known.get(key);
    if (state === 'failed') return this.#failures.isDue(node);
    const left = this.#foreign.get(key);
    return state === undefined && (left === undefined || left !== announcementOf(node));
  }

  /**
   * Takes a device that is new or failed, if it is ours.
   *
   * @returns false when the xenstore did not say whether it is
   */
  async #consider(node: BackendNode): Promise<boolean> {
    const { key, domid } = node;
    try {
      const description = await this.#protocol.describe(node);
      if (this.#rescan.closed) return true;
      if (description === undefined) {
        if (this.#foreign.has(key)) return true;
        this.#foreign.set(key, undefined);
        this.#logger.debug({ device: key }, "device is another server's");
        return true;
      }
      // One that had a server has a guest that runs; it need not wait, nor need one for what is tried again.
      const isNew = backendState(node) <= XenbusState.Initialising;
      if (isNew && this.#failures.hasChanged(node)) this.#holdFor(key, domid);
      void this.#add(node, description);
    } catch (error) {
      if (!this.#store.live) throw error;
      if (XenStoreError.is(error)) {
        this.#logger.warn({ device: key, err: error }, 'cannot read of a device, trying again');
        return false;
      }
      this.#fail(node, error);
    }
    return true;
  }

  async #add(node: BackendNode, description: DeviceDescription): Promise<void> {
    const { key } = node;
    const isFirst = !this.#known.has(key);
    this.#known.set(key, 'adding');
    try {
      const kept = this.#sink?.isKept?.(description) === true;
      if (isFirst && backendState(node) > XenbusState.Initialising && !kept) {
        this.#logger.warn(
          { device: key },
          'taking over a device that another bridge served: its guest must reset it',
        );
      }
      await this.#sink?.add(description, () => this.#placed(key));
      if (this.#known.get(key) !== 'adding') return;
      this.#known.set(key, 'up');
      this.#foreign.delete(key);
      this.#failures.forget(key);
      await this.#tell(key, XenbusState.InitWait);
    } catch (error) {
      if (this.#known.get(key) === 'adding') this.#fail(node, error);
    } finally {
      this.#letGo(key);
    }
  }

  /**
   * A device that cannot be served is tried again. The state stays Initialising: that is all that the
   * protocol has to say it with. Its window is claimed, so that the guest finds no device there, unless it
   * may be another server's.
   */
  #fail(node: BackendNode, error: unknown): void {
    const { key } = node;
    // Where a user's rule says whose a device is, it is ours, whoever else is there.
    const mayBeOthers = this.#protocol.exclusive;
    if (this.#claim(siteOf(node)) === false && mayBeOthers) {
      this.#known.delete(key);
      this.#failures.forget(key);
      this.#foreign.set(key, announcementOf(node));
      this.#logger.warn(
        { device: key, err: error },
        'device cannot be served here, and is left to whoever else serves its guest',
      );
    } else {
      this.#known.set(key, 'failed');
      this.#failures.add(node, error);
    }
    this.#letGo(key);
  }

  /** @returns whether the device is ours; undefined where that cannot be told */
  #claim(site: DeviceSite | undefined): boolean | undefined {
    if (site === undefined) return undefined;
    try {
      return this.#sink?.claim(site);
    } catch (error) {
      const context = { device: site.key, err: error };
      this.#logger.debug(context, 'window of a device that is not served not claimed');
      return undefined;
    }
  }

  /** The guest may touch the device's window from now on. */
  #placed(key: string): void {
    this.#letGo(key);
    if (this.#protocol.awaited) void this.#tell(key, XenbusState.InitWait);
  }

  /** Tells the toolstack, later if not now. Rejects never. */
  async #tell(key: string, state: number): Promise<void> {
    try {
      this.#owed.delete(key);
      await this.#setState(key, state);
    } catch (error) {
      this.#logger.error({ device: key, err: error }, 'the toolstack could not be told');
      // What came in the meantime is newer.
      if (this.#owed.has(key)) return;
      this.#owed.set(key, state);
      this.#rescan.later();
    }
  }

  /** @returns false when there is still something to be told */
  async #tellOwed(): Promise<boolean> {
    for (const [key, state] of [...this.#owed]) await this.#tell(key, state);
    return this.#owed.size === 0;
  }

  #remove(key: string): Promise<void> {
    let going = this.#going.get(key);
    if (going === undefined) {
      going = this.#takeDown(key).finally(() => this.#going.delete(key));
      this.#going.set(key, going);
    }
    return going;
  }

  async #takeDown(key: string): Promise<void> {
    // Closed means that nobody serves it: of one that failed that is ours to say only if nobody else may.
    const inDoubt = this.#known.get(key) === 'failed' && this.#protocol.exclusive;
    const ours = !inDoubt || this.#claim(this.#failures.siteOf(key)) === true;
    this.#known.set(key, 'removing');
    this.#failures.forget(key);
    try {
      await this.#sink?.remove(key);
      if (ours) await this.#tell(key, XenbusState.Closed);
    } catch (error) {
      this.#logger.error({ device: key, err: error }, 'device did not close cleanly');
    } finally {
      this.#known.delete(key);
      this.#failures.somethingIsFree();
      // The toolstack may have announced it anew meanwhile.
      void this.#rescan.changed();
    }
  }

  /** Writes the state of a device that still exists: a write alone would make its directory anew. */
  async #setState(key: string, state: number): Promise<void> {
    const path = `backend/${key}/state`;
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
}
