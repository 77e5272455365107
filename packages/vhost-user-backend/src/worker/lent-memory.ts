import { GuestMemoryView } from '@node-vmm/vm-memory';
import type { LentMapping } from '../between/worker-calls.ts';
import type { WorkerViews } from './worker-views.ts';

/**
 * Guest memory that the main thread mapped and lent to this worker. It is given back, and may be unmapped,
 * when nobody here uses it any more. Users are the instance, for its next rings; each ring that is in it;
 * and each ring that has left it, while the device holds chains that it took there.
 */
export class LentMemory {
  readonly generation: number;
  readonly view: GuestMemoryView;
  readonly #mappings: readonly LentMapping[];
  readonly #views: WorkerViews;
  readonly #onReleased: (generation: number) => void;
  #users = 1;

  /**
   * Has one user, who made it.
   *
   * @param views - of the thread: what this memory and others have in common is shown once
   * @param onReleased - the last user has gone
   * @throws {VmMemoryError} when the mappings overlap
   */
  constructor(
    generation: number,
    mappings: readonly LentMapping[],
    views: WorkerViews,
    onReleased: (generation: number) => void,
  ) {
    this.generation = generation;
    this.#mappings = mappings;
    this.#views = views;
    this.#onReleased = onReleased;
    const retained: LentMapping[] = [];
    try {
      this.view = GuestMemoryView.attach(mappings, (mapping) => {
        const lent = mapping as LentMapping;
        retained.push(lent);
        return views.retain(lent);
      });
    } catch (error) {
      for (const mapping of retained) views.release(mapping);
      throw error;
    }
  }

  /** One more user. */
  retain(): void {
    this.#users++;
  }

  /** One user less. */
  release(): void {
    if (--this.#users > 0) return;
    this.view.close();
    for (const mapping of this.#mappings) this.#views.release(mapping);
    this.#onReleased(this.generation);
  }
}
