import { errorCode, type Logger } from '@node-vmm/vmm-sys-util';
import type { XenStore } from '@node-vmm/xen-store';
import { DOMID_FIRST_RESERVED } from '@node-vmm/xen-sys';

/** Where xenstored keeps each domain's nodes. */
export const DOMAINS = '/local/domain';

/** What the xenstore knows of a domain. */
export interface DomainEntry {
  /** Undefined where it has none, or where we may not read it. */
  readonly name: string | undefined;
  /**
   * False until the toolstack has built the domain, and again once it is dying: in between it has the
   * memory and vCPUs that a device needs.
   */
  readonly introduced: boolean;
}

/**
 * Domains as the xenstore knows them. Outside the control domain other domains' nodes may not be
 * readable: that is warned of once, and they are as good as not there.
 */
export class Domains {
  readonly #store: XenStore;
  readonly #logger: Logger;
  #warned = false;

  constructor(store: XenStore, logger: Logger) {
    this.#store = store;
    this.#logger = logger;
  }

  /** Numbers of all domains but the control domain. */
  async list(): Promise<readonly number[]> {
    const names = await this.#orDenied(DOMAINS, () => this.#store.directory(DOMAINS));
    return (names ?? [])
      .filter((name) => /^[1-9]\d{0,4}$/.test(name))
      .map(Number)
      .filter((domid) => domid < DOMID_FIRST_RESERVED);
  }

  /** A domain's name, undefined where there is none. */
  nameOf(domid: number): Promise<string | undefined> {
    const path = `${DOMAINS}/${domid}/name`;
    return this.#orDenied(path, () => this.#store.read(path));
  }

  /**
   * What tells a domain from others of its number: its path below `/vm`, which has its UUID, and where the
   * toolstack says so when it was started. Undefined where there is nothing, or nothing for us.
   */
  async identityOf(domid: number): Promise<string | undefined> {
    const read = (path: string): Promise<string | undefined> =>
      this.#orDenied(path, () => this.#store.read(path));
    const vm = await read(`${DOMAINS}/${domid}/vm`);
    if (vm === undefined || !/^\/vm\/[-\w]{1,64}$/.test(vm)) return undefined;
    const started = await read(`${vm}/start_time`);
    return started === undefined ? vm : `${vm} ${started}`;
  }

  /**
   * Undefined when there is no such domain, or nothing of it that we may know. A toolstack removes the
   * nodes of a domain before it destroys it.
   */
  async find(domid: number): Promise<DomainEntry | undefined> {
    const path = `${DOMAINS}/${domid}`;
    const [name, exists, introduced] = await Promise.all([
      this.nameOf(domid),
      this.#orDenied(path, async () => (await this.#store.tryRead(path)) !== undefined),
      this.#orDenied(path, () => this.#store.isDomainIntroduced(domid)),
    ]);
    // Each of the two may be kept from us: then the other tells.
    if (!(exists ?? introduced ?? false)) return undefined;
    return { name, introduced: introduced ?? true };
  }

  /** False once the connection to xenstored is lost. */
  get live(): boolean {
    return this.#store.live;
  }

  /**
   * Calls `then` for every change in which domains there are and what they are called.
   *
   * @returns what ends that
   */
  async watch(then: () => void): Promise<() => Promise<void>> {
    const paths = ['@introduceDomain', '@releaseDomain', DOMAINS];
    const onEvent = ({ path }: { readonly path: string }): void => {
      // Guests write below their own directories all the time.
      if (path.startsWith('@') || /^\/local\/domain(\/\d+(\/name)?)?$/.test(path)) then();
    };
    const watches = await Promise.all(
      paths.map((path) => this.#orDenied(path, () => this.#store.watch(path, { onEvent }))),
    );
    return async () => {
      await Promise.all(watches.map((watch) => watch?.unwatch()));
    };
  }

  /** Undefined where there is nothing, or nothing for us. */
  async #orDenied<T>(path: string, ask: () => Promise<T>): Promise<T | undefined> {
    try {
      return await ask();
    } catch (error) {
      const code = errorCode(error);
      if (code === 'ENOENT') return undefined;
      if (code !== 'EACCES' && code !== 'EPERM') throw error;
      if (!this.#warned) {
        this.#warned = true;
        this.#logger.warn(
          { path },
          'other domains cannot be read in the xenstore: guests are not found by name here; run in the control domain, or grant this one read access',
        );
      }
      return undefined;
    }
  }
}
