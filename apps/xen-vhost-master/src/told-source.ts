import type { DeviceSink, DeviceSource, HoldGuest } from '@node-vmm/vhost-bridge';
import { errorMessage, type Logger } from '@node-vmm/vmm-sys-util';
import type { Domains } from './domains.ts';
import { BridgeError } from './errors.ts';
import { matchesDomain } from './fields.ts';
import { Rescan } from './rescan.ts';
import { Retries } from './retries.ts';
import { describeTold, type ToldDevice } from './told-device.ts';
import { ToldGuest } from './told-guest.ts';

/** A domain that devices are told of. */
interface Found {
  readonly devices: readonly ToldDevice[];
  readonly name: string | undefined;
  readonly introduced: boolean;
}

/**
 * Devices that the user told of, for toolstacks that announce none. A guest is found by its name or
 * number in the xenstore, and stands still from then on until its windows are claimed. Nothing is
 * written to the xenstore.
 *
 * A toolstack makes a domain and names it, builds it, introduces it to xenstored, and lets it run.
 * Only from its introduction on it has the memory and vCPUs that a device needs; xenstored forgets it
 * as soon as it is dying.
 */
export class ToldSource implements DeviceSource {
  readonly #domains: Domains;
  readonly #logger: Logger;
  readonly #hold: HoldGuest;
  readonly #devices: readonly ToldDevice[];
  readonly #guests = new Map<number, ToldGuest>();
  /** Domains that are dying, whose nodes are still there. */
  readonly #gone = new Set<number>();
  readonly #rescan = new Rescan(() => this.#scan());
  readonly #retries = new Retries();
  #sink: DeviceSink | undefined;
  #unwatch: (() => Promise<void>) | undefined;
  #first = true;

  constructor(components: {
    readonly domains: Domains;
    readonly logger: Logger;
    readonly hold: HoldGuest;
    readonly devices: readonly ToldDevice[];
  }) {
    this.#domains = components.domains;
    this.#logger = components.logger;
    this.#hold = components.hold;
    this.#devices = components.devices;
  }

  async start(sink: DeviceSink): Promise<void> {
    this.#sink = sink;
    this.#unwatch = await this.#domains.watch(() => void this.#rescan.changed());
    await this.#rescan.changed();
  }

  async close(): Promise<void> {
    const unwatched = this.#unwatch?.();
    await this.#rescan.close();
    this.#retries.close();
    await Promise.all([...this.#guests.values()].map((guest) => this.#leave(guest)));
    await unwatched;
  }

  async leave(): Promise<void> {
    const unwatched = this.#unwatch?.();
    await this.#rescan.close();
    this.#retries.close();
    for (const guest of this.#guests.values()) {
      guest.left ??= Promise.resolve();
      guest.letGo();
      await guest.left;
    }
    await unwatched;
  }

  async #scan(): Promise<boolean> {
    try {
      const found = await this.#find();
      if (this.#rescan.closed) return true;
      for (const guest of this.#guests.values()) {
        const domain = found.get(guest.domid);
        if (domain === undefined || (guest.served && !domain.introduced)) void this.#leave(guest);
      }
      for (const [domid, domain] of found) this.#meet(domid, domain);
      this.#first = false;
      return true;
    } catch (error) {
      this.#logger.error({ err: error }, 'cannot read the domains');
      return !this.#domains.live;
    }
  }

  #meet(domid: number, domain: Found): void {
    let guest = this.#guests.get(domid);
    if (guest === undefined) {
      guest = new ToldGuest(domid, this.#hold, this.#logger);
      this.#guests.set(domid, guest);
      guest.holdWhileBuilt();
    }
    if (domain.introduced && !guest.served && !guest.leaving) this.#serve(guest, domain);
  }

  #serve(guest: ToldGuest, { devices, name }: Found): void {
    guest.served = true;
    const { domid } = guest;
    const keeps = (told: ToldDevice): boolean =>
      this.#sink?.isKept?.(describeTold(told, domid, told.memory)) === true;
    if (this.#first && !devices.every(keeps)) {
      this.#logger.warn(
        { domid, name },
        'guest is there already: if it has looked for its devices before, it must do so again (reboot it, or bind the driver)',
      );
    }
    const memory = devices.find((device) => device.memory !== undefined)?.memory;
    // For the whole of the loop, so that the first device in place does not let the guest go.
    const started = guest.holdForDevice();
    for (const told of devices) {
      const description = describeTold(told, domid, memory);
      const device = { told, description, failed: undefined };
      if (guest.devices.has(description.key)) {
        const text = `Cannot serve device ${description.key} twice: both "${name}" and ${domid} name its guest; tell of it once`;
        const context = { device: description.key, err: new BridgeError('BAD_DEVICE', text) };
        this.#logger.error(context, 'device cannot be served');
        continue;
      }
      guest.devices.set(description.key, device);
      void this.#add(guest, description.key);
    }
    started();
  }

  async #add(guest: ToldGuest, key: string): Promise<void> {
    const device = guest.devices.get(key);
    if (device === undefined || this.#rescan.closed) return;
    // The window of one that is tried again is claimed.
    const before = device.failed;
    device.failed = undefined;
    const placed = before === undefined ? guest.holdForDevice() : (): void => undefined;
    try {
      // A guest that is created again is faster than the end of its old devices: its back-end is still
      // theirs.
      await Promise.all(
        [...this.#guests.values()].map((other) => other.serves(device.told) && other.left),
      );
      if (guest.leaving) return;
      await this.#sink?.add(device.description, placed);
      this.#retries.forget(key);
    } catch (error) {
      if (guest.leaving) return;
      device.failed = errorMessage(error);
      const level = device.failed === before ? 'debug' : 'error';
      this.#logger[level]({ device: key, err: error }, 'device cannot be served');
      this.#retries.failed(key, () => {
        if (device.failed !== undefined) void this.#add(guest, key);
      });
    } finally {
      placed();
    }
  }

  #leave(guest: ToldGuest): Promise<void> {
    guest.left ??= this.#takeDown(guest);
    return guest.left;
  }

  async #takeDown(guest: ToldGuest): Promise<void> {
    guest.letGo();
    await Promise.all([...guest.devices.keys()].map((key) => this.#remove(key)));
    this.#guests.delete(guest.domid);
    this.#gone.add(guest.domid);
    if (this.#rescan.closed) return;
    // What another guest could not have while this one had it.
    for (const other of this.#guests.values()) {
      for (const [key, { told, failed }] of other.devices) {
        if (failed !== undefined && guest.serves(told)) void this.#add(other, key);
      }
    }
    void this.#rescan.changed();
  }

  async #remove(key: string): Promise<void> {
    this.#retries.forget(key);
    try {
      await this.#sink?.remove(key);
    } catch (error) {
      this.#logger.error({ device: key, err: error }, 'device did not close cleanly');
    }
  }

  /** Domains that devices are told of, and those that are served: whatever they are called by now. */
  async #find(): Promise<Map<number, Found>> {
    const ids = new Set(this.#guests.keys());
    for (const { domain } of this.#devices) if ('id' in domain) ids.add(domain.id);
    if (this.#devices.some(({ domain }) => 'name' in domain)) {
      for (const domid of await this.#domains.list()) ids.add(domid);
    }
    for (const domid of this.#gone) ids.add(domid);
    const found = new Map<number, Found>();
    await Promise.all(
      [...ids].map(async (domid) => {
        const domain = await this.#findOne(domid);
        if (domain !== undefined) found.set(domid, domain);
      }),
    );
    return found;
  }

  async #findOne(domid: number): Promise<Found | undefined> {
    const name = await this.#domains.nameOf(domid);
    const devices = this.#devices.filter(({ domain }) => matchesDomain(domain, domid, name));
    const served = this.#guests.get(domid)?.served === true;
    if (devices.length === 0 && !served && !this.#gone.has(domid)) return undefined;
    const domain = await this.#domains.find(domid);
    if (domain === undefined || domain.introduced) this.#gone.delete(domid);
    if (domain === undefined || this.#gone.has(domid)) return undefined;
    return devices.length > 0 || served ? { ...domain, devices } : undefined;
  }
}
