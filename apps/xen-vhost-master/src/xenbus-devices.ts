import type { DeviceDescription, DeviceSink, DeviceSite, HoldGuest } from '@node-vmm/vhost-bridge';
import type { Logger } from '@node-vmm/vmm-sys-util';
import type { XenStore } from '@node-vmm/xen-store';
import {
  type BackendNode,
  backendState,
  isClosing,
  siteOf,
  type XenbusProtocol,
  XenbusState,
} from './backend-node.ts';
import { DeviceHolds } from './device-holds.ts';
import { Failures } from './failures.ts';
import { ForeignDevices } from './foreign-devices.ts';
import type { Rescan } from './rescan.ts';
import { ToolstackStates } from './toolstack-states.ts';

type Known = 'adding' | 'up' | 'failed' | 'removing';

/**
 * What becomes of devices that a toolstack announces: each comes up, fails, goes, or is another server's,
 * and the toolstack is told of it.
 */
export class XenbusDevices {
  readonly holds: DeviceHolds;
  readonly states: ToolstackStates;
  readonly #logger: Logger;
  readonly #protocol: XenbusProtocol;
  readonly #rescan: Rescan;
  readonly #known = new Map<string, Known>();
  readonly #failures: Failures;
  /** Devices on their way down. */
  readonly #going = new Map<string, Promise<void>>();
  readonly #foreign = new ForeignDevices();
  /** Devices that an earlier bridge left, by key: whether they are ours, whoever else serves their guests. */
  readonly #left: Map<string, boolean>;
  #sink: DeviceSink | undefined;

  constructor(components: {
    readonly store: XenStore;
    readonly logger: Logger;
    readonly hold: HoldGuest;
    readonly protocol: XenbusProtocol;
    /** Looks at all that is announced. */
    readonly rescan: Rescan;
    readonly left?: ReadonlyMap<string, boolean>;
  }) {
    const { store, logger, rescan } = components;
    this.#logger = logger;
    this.#protocol = components.protocol;
    this.#rescan = rescan;
    this.#left = new Map(components.left);
    this.holds = new DeviceHolds(components.hold);
    this.states = new ToolstackStates(store, logger, () => rescan.later());
    this.#failures = new Failures(logger, () => void rescan.changed());
  }

  /** From now on devices can be taken. */
  start(sink: DeviceSink): void {
    this.#sink = sink;
  }

  /** Takes every device down. */
  async close(): Promise<void> {
    this.#failures.close();
    this.holds.close();
    await Promise.all([...this.#known.keys()].map((key) => this.#remove(key)));
  }

  /** What the toolstack wants gone goes; the rest is somebody else's from now on, also what has failed. */
  async leave(): Promise<void> {
    this.#failures.close();
    this.holds.close();
    this.#known.clear();
    await Promise.all(this.#going.values());
  }

  /** Whether a device is ours, up or not. */
  has(key: string): boolean {
    return this.#known.has(key);
  }

  /**
   * Takes down what is gone, or wanted gone.
   *
   * @param nodes - what is announced
   * @param complete - that is all of it, as far as it is not known already
   */
  withdraw(nodes: ReadonlyMap<string, BackendNode>, complete: boolean): void {
    for (const key of [...this.#left.keys()]) {
      if (complete || nodes.has(key)) this.#takeLeft(key, nodes.get(key));
    }
    for (const [key, state] of this.#known) {
      const node = nodes.get(key);
      if ((node === undefined || isClosing(node)) && state !== 'removing') void this.#remove(key);
    }
    this.#foreign.retain(nodes);
  }

  /** What was to close while nobody served it has nobody else who could say that it is closed. */
  #takeLeft(key: string, node: BackendNode | undefined): void {
    const ours = this.#left.get(key);
    this.#left.delete(key);
    if (node === undefined || !isClosing(node) || this.#known.has(key)) return;
    if (ours === true || this.#claim(siteOf(node)) === true) this.#known.set(key, 'up');
  }

  /** Whether it is to be decided what becomes of a device. */
  isOpen(node: BackendNode): boolean {
    const { key } = node;
    const state = this.#known.get(key);
    if (state === 'failed') return this.#failures.isDue(node);
    return state === undefined && !this.#foreign.isLeft(node);
  }

  /** The device is another server's. */
  leaveToOthers(node: BackendNode): void {
    if (this.#foreign.add(node)) {
      this.#logger.debug({ device: node.key }, "device is another server's");
    }
  }

  /** Takes a device that is new or failed. */
  take(node: BackendNode, description: DeviceDescription): void {
    const { key, domid } = node;
    // One that had a server has a guest that runs; it need not wait, nor need one for what is tried again.
    const isNew = backendState(node) <= XenbusState.Initialising;
    if (isNew && this.#failures.hasChanged(node)) this.holds.hold(key, domid);
    void this.#add(node, description);
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
      this.#foreign.forget(key);
      this.#failures.forget(key);
      await this.states.tell(key, XenbusState.InitWait);
    } catch (error) {
      if (this.#known.get(key) === 'adding') this.fail(node, error);
    } finally {
      this.holds.letGo(key);
    }
  }

  /** The guest may touch the device's window from now on. */
  #placed(key: string): void {
    this.holds.letGo(key);
    if (this.#protocol.awaited) void this.states.tell(key, XenbusState.InitWait);
  }

  /**
   * A device that cannot be served is tried again. The state stays Initialising: that is all that the
   * protocol has to say it with. Its window is claimed, so that the guest finds no device there, unless it
   * may be another server's.
   */
  fail(node: BackendNode, error: unknown): void {
    const { key } = node;
    // Where a user's rule says whose a device is, it is ours, whoever else is there.
    const mayBeOthers = this.#protocol.exclusive;
    if (this.#claim(siteOf(node)) === false && mayBeOthers) {
      this.#known.delete(key);
      this.#failures.forget(key);
      this.#foreign.leave(node);
      this.#logger.warn(
        { device: key, err: error },
        'device cannot be served here, and is left to whoever else serves its guest',
      );
    } else {
      this.#known.set(key, 'failed');
      this.#failures.add(node, error);
    }
    this.holds.letGo(key);
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
      if (ours) await this.states.tell(key, XenbusState.Closed);
    } catch (error) {
      this.#logger.error({ device: key, err: error }, 'device did not close cleanly');
    } finally {
      this.#known.delete(key);
      this.#failures.somethingIsFree();
      // The toolstack may have announced it anew meanwhile.
      void this.#rescan.changed();
    }
  }
}
