import type { DeviceSink, DeviceSource, HoldGuest } from '@node-vmm/vhost-bridge';
import type { Logger } from '@node-vmm/vmm-sys-util';
import { type XenStore, XenStoreError } from '@node-vmm/xen-store';
import { AnnouncedDevices } from './announced-devices.ts';
import { type BackendNode, isClosing, type XenbusProtocol } from './backend-node.ts';
import { Rescan } from './rescan.ts';
import { XenbusDevices } from './xenbus-devices.ts';

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
  readonly #protocol: XenbusProtocol;
  // Relative to our own domain's directory: dom0's, or a driver domain's.
  readonly #root: string;
  readonly #announced: AnnouncedDevices;
  readonly #devices: XenbusDevices;
  readonly #rescan = new Rescan(() => this.#scan());
  #watch: Disposable | undefined;

  /**
   * @param components - `hold`: `xl create` does not wait for virtio devices, and a guest that touches
   * a window that nobody has claimed yet dies of it. `left`: keys of devices that an earlier bridge left, and
   * whether each is certainly ours; default: none
   */
  constructor(components: {
    readonly store: XenStore;
    readonly logger: Logger;
    readonly hold: HoldGuest;
    readonly protocol: XenbusProtocol;
    readonly left?: ReadonlyMap<string, boolean>;
  }) {
    this.#store = components.store;
    this.#logger = components.logger;
    this.#protocol = components.protocol;
    this.#root = `backend/${components.protocol.kind}`;
    const { kind } = components.protocol;
    const entries = [...new Set([...components.protocol.entries, 'state', 'online'])];
    this.#announced = new AnnouncedDevices({ ...components, kind, entries });
    this.#devices = new XenbusDevices({ ...components, rescan: this.#rescan });
  }

  async start(sink: DeviceSink): Promise<void> {
    this.#devices.start(sink);
    this.#watch = await this.#store.watch(this.#root, {
      onEvent: ({ path }) => this.#onEvent(path),
    });
    this.#logger.debug({ path: this.#root }, 'watching the xenstore');
  }

  async close(): Promise<void> {
    await this.#end();
    await this.#devices.close();
  }

  async leave(): Promise<void> {
    await this.#end();
    await this.#devices.leave();
  }

  async #end(): Promise<void> {
    this.#watch?.[Symbol.dispose]();
    this.#watch = undefined;
    await this.#rescan.close();
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
      this.#devices.holds.hold(device.key, device.domid);
    }
    void this.#rescan.changed();
  }

  async #scan(): Promise<boolean> {
    // A device comes as a burst of events.
    await new Promise(setImmediate);
    const devices = this.#devices;
    const held = devices.holds.keys;
    try {
      let complete = await this.#announced.refresh();
      if (this.#rescan.closed) return true;
      const { nodes } = this.#announced;
      devices.withdraw(nodes, complete);
      for (const node of nodes.values()) {
        if (isClosing(node) || !devices.isOpen(node)) continue;
        if (!(await this.#consider(node))) complete = false;
      }
      return (await devices.states.tellOwed()) && complete;
    } catch (error) {
      this.#logger.error({ err: error }, 'cannot read the devices');
      return !this.#store.live;
    } finally {
      for (const key of held) if (!devices.has(key)) devices.holds.letGo(key);
    }
  }

  /**
   * Takes a device that is new or failed, if it is ours.
   *
   * @returns false when the xenstore did not say whether it is
   */
  async #consider(node: BackendNode): Promise<boolean> {
    const { key } = node;
    try {
      const description = await this.#protocol.describe(node);
      if (this.#rescan.closed) return true;
      if (description === undefined) this.#devices.leaveToOthers(node);
      else this.#devices.take(node, description);
    } catch (error) {
      if (!this.#store.live) throw error;
      if (XenStoreError.is(error)) {
        this.#logger.warn({ device: key, err: error }, 'cannot read of a device, trying again');
        return false;
      }
      this.#devices.fail(node, error);
    }
    return true;
  }
}
