import { type HostWindows, windowsOfMapping } from '@node-vmm/vm-memory';
import type { LentMapping } from '../between/worker-calls.ts';

interface Shown {
  readonly memory: number;
  readonly windows: HostWindows;
  users: number;
}

/**
 * What this thread sees of guests' memory, each mapping once, whichever devices use it; and what it has
 * shown to device code, which nobody can take back: the addresses of such a mapping must not become another
 * guest's before nobody has it any more.
 */
export class WorkerViews {
  readonly #shown = new Map<string, Shown>();
  /** By memory: what device code may have kept. */
  readonly #stale = new Map<number, WeakRef<ArrayBufferLike>[]>();

  /** One more user of a mapping, which stays mapped until its `release`. */
  retain(mapping: LentMapping): HostWindows {
    const key = keyOf(mapping);
    let shown = this.#shown.get(key);
    if (shown === undefined) {
      shown = { memory: mapping.memory, windows: windowsOfMapping(mapping), users: 0 };
      this.#shown.set(key, shown);
    }
    shown.users++;
    return shown.windows;
  }

  /** One user less. */
  release(mapping: LentMapping): void {
    const key = keyOf(mapping);
    const shown = this.#shown.get(key);
    if (shown === undefined || --shown.users > 0) return;
    this.#shown.delete(key);
    const exposed = shown.windows.close();
    if (exposed.length === 0) return;
    this.#stale.set(shown.memory, [...(this.#stale.get(shown.memory) ?? []), ...exposed]);
  }

  /**
   * Which of these memories somebody in this thread may still look at.
   *
   * Only what was collected before the current turn of JavaScript's event loop is known to be gone.
   */
  viewed(memories: readonly number[]): number[] {
    const used = new Set(Array.from(this.#shown.values(), ({ memory }) => memory));
    return memories.filter((memory) => {
      if (used.has(memory)) return true;
      const kept = (this.#stale.get(memory) ?? []).filter((ref) => ref.deref() !== undefined);
      if (kept.length === 0) this.#stale.delete(memory);
      else this.#stale.set(memory, kept);
      return kept.length > 0;
    });
  }
}

function keyOf({ memory, hostAddress, length }: LentMapping): string {
  return `${memory} ${hostAddress} ${length}`;
}
