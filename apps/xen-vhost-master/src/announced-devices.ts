import { errorCode, type Logger } from '@node-vmm/vmm-sys-util';
import type { XenStore } from '@node-vmm/xen-store';
import type { BackendNode } from './backend-node.ts';

/** More devices than any guest has; what a directory could otherwise make us walk through. */
const MAX_DEVICES = 4096;
/** Changes that are remembered one by one; beyond, everything is read again. */
const MAX_CHANGES = 1024;

/** Numbers as the toolstack writes them: `01` would be a second name of `1`. */
function isNumber(text: string | undefined): text is string {
  return text !== undefined && /^(0|[1-9]\d{0,9})$/.test(text);
}

/**
 * What a toolstack announces below `backend/<kind>`, read once, and after that only where something
 * changed: an event costs one read for each entry that it names, however many devices there are.
 */
export class AnnouncedDevices {
  readonly #store: XenStore;
  readonly #logger: Logger;
  readonly #kind: string;
  readonly #entries: readonly string[];
  readonly #nodes = new Map<string, BackendNode>();
  /** Paths below `backend/<kind>` of which something changed. */
  #changes = new Set<string>();
  #everything = true;

  /**
   * @param components - `kind`: the directory below `backend`; `entries`: those that are read of each
   * device, `state` among them
   */
  constructor(components: {
    readonly store: XenStore;
    readonly logger: Logger;
    readonly kind: string;
    readonly entries: readonly string[];
  }) {
    this.#store = components.store;
    this.#logger = components.logger;
    this.#kind = components.kind;
    this.#entries = components.entries;
  }

  /** What there was when it was read last, by key. */
  get nodes(): ReadonlyMap<string, BackendNode> {
    return this.#nodes;
  }

  /**
   * Something changed.
   *
   * @param path - as a watch of `backend/<kind>` reports it
   * @returns the device of which an entry was written, by key, and its guest; a device that is removed is
   * reported by its directory alone, and is none
   */
  changed(path: string): { readonly key: string; readonly domid: number } | undefined {
    const [domid, devid, entry] = path.slice(`backend/${this.#kind}/`.length).split('/');
    if (domid === undefined || domid === '') {
      this.#everything = true;
      return undefined;
    }
    if (!isNumber(domid)) return undefined;
    if (devid === undefined) {
      this.#note(domid);
      return undefined;
    }
    if (!isNumber(devid)) return undefined;
    if (entry === undefined) {
      this.#note(`${domid}/${devid}`);
      return undefined;
    }
    if (this.#entries.includes(entry)) this.#note(`${domid}/${devid}/${entry}`);
    return { key: `${this.#kind}/${domid}/${devid}`, domid: Number(domid) };
  }

  #note(change: string): void {
    if (this.#changes.size >= MAX_CHANGES) this.#everything = true;
    else this.#changes.add(change);
  }

  /**
   * Reads what changed.
   *
   * @returns false when some of it could not be read: of that nothing new is known, and it is read again
   * next time
   * @throws {XenStoreError} when nothing could be read
   */
  async refresh(): Promise<boolean> {
    const everything = this.#everything;
    const changes = this.#changes;
    this.#everything = false;
    this.#changes = new Set();
    try {
      if (everything) await this.#listGuests(changes);
      return await this.#readGuests(changes);
    } catch (error) {
      this.#everything = true;
      throw error;
    }
  }

  /** Takes every guest that there is, or was, for one that changed, and every device that is known. */
  async #listGuests(changes: Set<string>): Promise<void> {
    for (const domid of await this.#numbers(`backend/${this.#kind}`)) changes.add(domid);
    for (const key of this.#nodes.keys()) {
      const [, domid, devid] = key.split('/');
      changes.add(`${domid}`).add(`${domid}/${devid}`);
    }
  }

  async #readGuests(changes: ReadonlySet<string>): Promise<boolean> {
    const guests = new Map<string, string[]>();
    for (const change of changes) {
      const [domid = ''] = change.split('/', 1);
      guests.set(domid, [...(guests.get(domid) ?? []), change]);
    }
    let complete = true;
    for (const [domid, own] of guests) {
      try {
        await this.#readGuest(domid, own);
      } catch (error) {
        if (!this.#store.live) throw error;
        complete = false;
        for (const change of own) this.#note(change);
        this.#logger.warn({ domid: Number(domid), err: error }, "cannot read a guest's devices");
      }
    }
    return complete;
  }

  async #readGuest(domid: string, changes: readonly string[]): Promise<void> {
    const entries = new Map<string, string[]>();
    const whole = new Set<string>();
    for (const change of changes) {
      const [, devid, entry] = change.split('/');
      if (devid === undefined) {
        for (const key of await this.#listGuest(domid)) whole.add(key);
        continue;
      }
      const key = `${this.#kind}/${domid}/${devid}`;
      if (entry === undefined || !this.#nodes.has(key)) whole.add(key);
      else entries.set(key, [...(entries.get(key) ?? []), entry]);
    }
    for (const key of whole) await this.#read(key, Number(domid), this.#entries);
    for (const [key, names] of entries) {
      if (!whole.has(key)) await this.#read(key, Number(domid), names);
    }
  }

  /** Forgets the devices that a guest no longer has. @returns those that are not known yet */
  async #listGuest(domid: string): Promise<string[]> {
    const prefix = `${this.#kind}/${domid}/`;
    const devids = await this.#numbers(`backend/${this.#kind}/${domid}`);
    const there = new Set(devids.map((devid) => prefix + devid));
    for (const key of [...this.#nodes.keys()]) {
      if (key.startsWith(prefix) && !there.has(key)) this.#nodes.delete(key);
    }
    return [...there].filter((key) => !this.#nodes.has(key));
  }

  /** Reads these entries of a device; the others are as they were. */
  async #read(key: string, domid: number, names: readonly string[]): Promise<void> {
    const before = this.#nodes.get(key);
    if (before === undefined && this.#nodes.size >= MAX_DEVICES) return;
    const texts = await Promise.all(
      names.map((name) => this.#store.tryRead(`backend/${key}/${name}`)),
    );
    const entries = new Map(before?.entries);
    for (const [i, name] of names.entries()) {
      const text = texts[i];
      if (text === undefined) entries.delete(name);
      else entries.set(name, text);
    }
    // libxl writes a device in one transaction; without a state it is being removed.
    if (entries.has('state')) this.#nodes.set(key, { key, domid, entries });
    else this.#nodes.delete(key);
  }

  async #numbers(path: string): Promise<string[]> {
    try {
      return (await this.#store.directory(path)).filter(isNumber);
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return [];
      throw error;
    }
  }
}
