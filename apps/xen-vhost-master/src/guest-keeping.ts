import { readFileSync } from 'node:fs';
import type { KeptXenVm } from '@node-vmm/ioreq-eventfd/xen';
import type { Bridge, KeptDevices } from '@node-vmm/vhost-bridge';
import { errorMessage, type Logger } from '@node-vmm/vmm-sys-util';
import type { AttachedXenGuest } from './attach-xen-guest.ts';
import type { Domains } from './domains.ts';
import { BridgeError } from './errors.ts';
import type { KeptGuest } from './kept-guest.ts';
import type { StateDir } from './state-dir.ts';

/** Of the domain that the bridge runs in: another after each of its boots. A sandbox may hide it. */
const BOOT_ID = '/proc/sys/kernel/random/boot_id';

/** Guests on their way from one bridge to the next, and how they are known again. */
export class GuestKeeping {
  readonly #dir: StateDir;
  readonly #domains: Domains;
  readonly #logger: Logger;
  readonly #bootId: string;
  /** What the bridge before left, until it is attached to. */
  readonly #left = new Map<number, KeptGuest>();
  readonly #attached = new Map<number, AttachedXenGuest>();
  /** Asked for while somebody answers. */
  readonly #identities = new Map<number, Promise<string | undefined>>();

  constructor(components: {
    readonly dir: StateDir;
    readonly domains: Domains;
    readonly logger: Logger;
    /** Default: of this domain, as its kernel says. */
    readonly bootId?: string;
  }) {
    this.#dir = components.dir;
    this.#domains = components.domains;
    this.#logger = components.logger;
    this.#bootId = components.bootId ?? readBootId();
  }

  /**
   * Finds what the bridge before left of guests that are there still. Those that are gone are forgotten, but
   * for what the toolstack may still wait for of their devices.
   *
   * @returns keys of the devices that it left, and whether each is certainly ours; else it is so where nobody
   * else serves its guest
   */
  async find(): Promise<ReadonlyMap<string, boolean>> {
    const keys = new Map<string, boolean>();
    for (const guest of this.#dir.take()) {
      const { domid, identity, bootId } = guest;
      const now = bootId === this.#bootId ? await this.#domains.identityOf(domid) : 'another boot';
      if (now === identity) this.#left.set(domid, guest);
      else this.#logger.info({ domid, identity }, 'a guest that was kept is gone');
      // Another guest's of that number has devices of its own.
      if (now !== identity && now !== undefined) continue;
      for (const { description } of guest.devices) keys.set(description.key, true);
      for (const { site, ours } of guest.vacancies) keys.set(site.key, ours);
    }
    return keys;
  }

  /** What is left of a guest that is to be attached to; once. */
  claim(domid: number): KeptXenVm | undefined {
    const left = this.#left.get(domid);
    this.#left.delete(domid);
    return left?.xen;
  }

  /** Takes up all that was found. Before the bridge hears of any device. */
  takeUp(bridge: Bridge): void {
    for (const { domid, devices, vacancies } of [...this.#left.values()]) {
      try {
        bridge.takeUp(domid, { devices, vacancies });
      } catch (error) {
        const text = 'what was kept of a guest cannot be used, its devices are made anew';
        this.#logger.warn({ domid, reason: errorMessage(error) }, text);
      } finally {
        this.#left.delete(domid);
      }
    }
  }

  /** A guest is attached to, and may be kept one day. */
  attached(domid: number, guest: AttachedXenGuest): void {
    this.#attached.set(domid, guest);
    const identity = this.#domains.identityOf(domid);
    // Whoever keeps the guest hears of it.
    identity.catch(() => undefined);
    this.#identities.set(domid, identity);
  }

  /** Leaves every guest to the next bridge. */
  async keep(bridge: Bridge): Promise<void> {
    const identities = new Map<number, string | undefined>();
    for (const [domid, identity] of this.#identities) {
      identities.set(domid, await identity.catch(() => undefined));
    }
    await bridge.keep((domid, kept) => this.#save(domid, identities.get(domid), kept));
  }

  #save(domid: number, identity: string | undefined, kept: KeptDevices): void {
    const xen = this.#attached.get(domid)?.kept();
    if (identity === undefined || xen === undefined) {
      throw new BridgeError(
        'NOT_READY',
        `Cannot keep domain ${domid}: its entry "vm" in the xenstore cannot be read, so that it could not be told from another of its number`,
      );
    }
    this.#dir.write({ bootId: this.#bootId, domid, identity, xen, ...kept });
  }
}

function readBootId(): string {
  try {
    return readFileSync(BOOT_ID, 'utf8').trim();
  } catch {
    return '';
  }
}
