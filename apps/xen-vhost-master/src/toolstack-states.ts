import { errorCode, type Logger } from '@node-vmm/vmm-sys-util';
import type { XenStore } from '@node-vmm/xen-store';

/** What the toolstack is told of devices: each one's `state`, at once or as soon as the xenstore takes it. */
export class ToolstackStates {
  readonly #store: XenStore;
  readonly #logger: Logger;
  readonly #later: () => void;
  /** States that the toolstack could not be told, by device. */
  readonly #owed = new Map<string, number>();

  /** @param later - is called when {@link tellOwed} is to be called, after a while; must not throw */
  constructor(store: XenStore, logger: Logger, later: () => void) {
    this.#store = store;
    this.#logger = logger;
    this.#later = later;
  }

  /** Tells the toolstack, later if not now. Rejects never. */
  async tell(key: string, state: number): Promise<void> {
    try {
      this.#owed.delete(key);
      await this.#write(key, state);
    } catch (error) {
      this.#logger.error({ device: key, err: error }, 'the toolstack could not be told');
      // What came in the meantime is newer.
      if (this.#owed.has(key)) return;
      this.#owed.set(key, state);
      this.#later();
    }
  }

  /** @returns false when there is still something to be told */
  async tellOwed(): Promise<boolean> {
    for (const [key, state] of [...this.#owed]) await this.tell(key, state);
    return this.#owed.size === 0;
  }

  /** Writes the state of a device that still exists: a write alone would make its directory anew. */
  async #write(key: string, state: number): Promise<void> {
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
