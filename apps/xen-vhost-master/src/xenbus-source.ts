import type {
  DeviceDescription,
  DeviceSink,
  DeviceSite,
  DeviceSource,
  HoldGuest,
} from '@node-vmm/vhost-bridge';
import { errorCode, type Logger } from '@node-vmm/vmm-sys-util';
import type { XenStore } from '@node-vmm/xen-store';
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

/** More devices than any guest has; what a directory could otherwise make us walk through. */
const MAX_DEVICES = 4096;

type Known = 'adding' | 'up' | 'failed' | 'removing';

/** What is announced now. */
interface Announced {
  readonly nodes: Map<string, BackendNode>;
  /** Guests whose directory could not be read: of them nothing is known. */
  readonly unread: Set<number>;
}

/**
 * Devices as the toolstack announces them in the xenstore, and our half of the handshake: a back-end's
 * state is InitWait once the guest can use the device, and Closed once nothing of it remains. `xl create`
 * waits for the first of `virtio_disk` devices, but not of `virtio` ones (4.20); tools may watch it.
 *
 * Every change makes it compare what there is with what it knows, so that no sequence of events can
 * be missed.
 */
export class XenbusSource implements DeviceSource {
  readonly #store: XenStore;
  readonly #logger: Logger;
  readonly #hold: HoldGuest;
  readonly #protocol: XenbusProtocol;
  // Relative to our own domain's directory: dom0's, or a driver domain's.
  readonly #root: string;
  readonly #entries: readonly string[];
  readonly #known = new Map<string, Known>();
  readonly #failures: Failures;
  /** Devices on their way down. */
  readonly #going = new Map<string, Promise<void>>();
  /** Devices of other servers, by key, and what was announced where that may yet make them ours. */
  readonly #foreign = new Map<string, string | undefined>();
  // Guests that stand still until their new devices are in place, by device.
  readonly #held = new Map<string, (() => void) | undefined>();
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
    this.#entries = [...new Set([...components.protocol.entries, 'state', 'online'])];
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
    const [, kind, domid, devid] = /^backend\/([a-z_]+)\/(\d+)\/(\d+)(?=\/|$)/.exec(path) ?? [];
    // At once, before anything is read: the guest may be about to run.
    if (this.#protocol.exclusive && isNumber(domid) && isNumber(devid)) {
      const key = `${kind}/${domid}/${devid}`;
      if (!this.#known.has(key) && !this.#foreign.has(key)) this.#holdFor(key, Number(domid));
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
    const held = [...this.#held.keys()];
    try {
      const { nodes, unread } = await this.#list();
      if (this.#rescan.closed) return true;
      for (const [key, state] of this.#known) {
        const node = nodes.get(key);
        if (node === undefined && unread.has(guestOf(key))) continue;
        if ((node === undefined || isClosing(node)) && state !== 'removing') void this.#remove(key);
      }
      for (const key of this.#foreign.keys()) if (!nodes.has(key)) this.#foreign.delete(key);
      for (const node of nodes.values()) {
        if (!isClosing(node) && this.#isOpen(node)) await this.#consider(node);
      }
      return unread.size === 0;
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

  /** Takes a device that is new or failed, if it is ours. */
  async #consider(node: BackendNode): Promise<void> {
    const { key, domid } = node;
    try {
      const description = await this.#protocol.describe(node);
      if (this.#rescan.closed) return;
      if (description === undefined) {
        if (this.#foreign.has(key)) return;
        this.#foreign.set(key, undefined);
        this.#logger.debug({ device: key }, "device is another server's");
        return;
      }
      // One that had a server has a guest that runs; it need not wait, nor need one for what is tried again.
      const isNew = backendState(node) <= XenbusState.Initialising;
      if (isNew && this.#failures.hasChanged(node)) this.#holdFor(key, domid);
      void this.#add(node, description);
    } catch (error) {
      if (!this.#store.live) throw error;
      this.#fail(node, error);
    }
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
      await this.#setState(key, XenbusState.InitWait);
    } catch (error) {
      const state = this.#known.get(key);
      if (state === 'adding') this.#fail(node, error);
      else if (state === 'up') {
        this.#logger.error({ device: key, err: error }, 'the toolstack could not be told');
      }
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
    if (!this.#protocol.awaited) return;
    this.#setState(key, XenbusState.InitWait).catch((error: unknown) => {
      this.#logger.error({ device: key, err: error }, 'the toolstack could not be told');
    });
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
      if (ours) await this.#setState(key, XenbusState.Closed);
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

  async #list(): Promise<Announced> {
    const announced: Announced = { nodes: new Map(), unread: new Set() };
    for (const domid of await this.#numbers(this.#root)) {
      try {
        await this.#listGuest(domid, announced.nodes);
      } catch (error) {
        if (!this.#store.live) throw error;
        announced.unread.add(domid);
        this.#logger.warn({ domid, err: error }, "cannot read a guest's devices");
      }
    }
    return announced;
  }

  async #listGuest(domid: number, nodes: Map<string, BackendNode>): Promise<void> {
    for (const devid of await this.#numbers(`${this.#root}/${domid}`)) {
      if (nodes.size >= MAX_DEVICES) return;
      const key = `${this.#protocol.kind}/${domid}/${devid}`;
      const texts = await Promise.all(
        this.#entries.map((name) => this.#store.tryRead(`backend/${key}/${name}`)),
      );
      const entries = new Map<string, string>();
      texts.forEach((text, i) => {
        if (text !== undefined) entries.set(this.#entries[i] as string, text);
      });
      // libxl writes a device in one transaction; without a state it is being removed.
      if (entries.has('state')) nodes.set(key, { key, domid, entries });
    }
  }

  async #numbers(path: string): Promise<number[]> {
    return (await this.#directory(path)).filter(isNumber).map(Number);
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

/** Numbers as the toolstack writes them: `01` would be a second name of `1`. */
function isNumber(text: string | undefined): boolean {
  return text !== undefined && /^(0|[1-9]\d{0,9})$/.test(text);
}

function guestOf(key: string): number {
  return Number(key.split('/')[1]);
}
