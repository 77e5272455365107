import { PAGE_SIZE } from '@node-vmm/vmm-sys-util';
import type { ForeignMapping } from '@node-vmm/xen-sys';
import type { GuestAddress } from '../guest-address.ts';
import type { ForeignSource } from './foreign-source.ts';

/** Ours: pages that stay mapped for the next look. */
const MAX_PAGES = 64;

interface Page {
  readonly mapped: ForeignMapping;
  readonly view: DataView<ArrayBuffer>;
}

/**
 * Single pages of a guest, mapped when they are looked at: each a mapping of its own, let go of whole, the
 * least recently used first.
 */
export class LookedAtPages {
  readonly #source: ForeignSource;
  /** By frame number; the least recently used comes first. */
  readonly #pages = new Map<number, Page>();

  constructor(source: ForeignSource) {
    this.#source = source;
  }

  /**
   * A page's bytes, for now: to be looked at and not kept.
   *
   * @param frame - guest frame number
   * @returns undefined where the guest has no page
   * @throws {VmMemoryError} FOREIGN_MAP_FAILED when the guest cannot be mapped at all
   */
  at(frame: number): DataView<ArrayBuffer> | undefined {
    const known = this.#pages.get(frame);
    if (known !== undefined) {
      this.#pages.delete(frame);
      this.#pages.set(frame, known);
      return known.view;
    }
    const guestAddr = (BigInt(frame) * BigInt(PAGE_SIZE)) as GuestAddress;
    const mapped = this.#source.map({ guestAddr, length: PAGE_SIZE });
    if (mapped.failed > 0) {
      mapped.close();
      return undefined;
    }
    const view = new DataView(mapped.mapping.buffer());
    this.#makeRoom();
    this.#pages.set(frame, { mapped, view });
    return view;
  }

  /** Lets go of all of them; what is looked at next is mapped anew. */
  clear(): void {
    for (const { mapped } of this.#pages.values()) mapped.close();
    this.#pages.clear();
  }

  #makeRoom(): void {
    for (const [frame, { mapped }] of this.#pages) {
      if (this.#pages.size < MAX_PAGES) return;
      mapped.close();
      this.#pages.delete(frame);
    }
  }
}
