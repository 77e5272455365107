import type { LentMapping } from '../between/worker-calls.ts';
import { VhostUserBackendError } from '../errors.ts';
import { LentMemory } from './lent-memory.ts';
import type { WorkerViews } from './worker-views.ts';

/**
 * Most memories that chains in the hands of the device may keep alive. A front-end that exchanges
 * memory over and over without letting chains finish meets an error instead of our limits.
 */
const MAX_RETIRING = 16;

/** The guest memory of a device's instance: what its rings start in now, and what it has left. */
export class InstanceMemory {
  readonly #device: string;
  readonly #views: WorkerViews;
  readonly #onReleased: (generation: number) => void;
  /** Generations that somebody here still uses. */
  readonly #lent = new Set<number>();
  #current: LentMemory;
  #attached: LentMemory | undefined;

  /**
   * @param device - for messages
   * @param views - of the thread
   * @param onReleased - nobody here looks at that generation any more
   */
  constructor(device: string, views: WorkerViews, onReleased: (generation: number) => void) {
    this.#device = device;
    this.#views = views;
    this.#onReleased = onReleased;
    this.#current = this.#lend(0, []);
  }

  get current(): LentMemory {
    return this.#current;
  }

  /**
   * Makes memory visible that `use` or `drop` follows for.
   *
   * @throws {VhostUserBackendError} INVALID_STATE, with everything as it was
   * @throws {VmMemoryError} likewise
   */
  attach(generation: number, mappings: readonly LentMapping[]): void {
    if (this.#lent.size > MAX_RETIRING) {
      const device = this.#device;
      const text = `Cannot exchange memory of ${device}: requests in ${MAX_RETIRING} earlier memory tables are unfinished`;
      throw new VhostUserBackendError('INVALID_STATE', text, { device });
    }
    this.#attached = this.#lend(generation, mappings);
  }

  drop(generation: number): void {
    if (this.#attached?.generation !== generation) return;
    this.#attached.release();
    this.#attached = undefined;
  }

  /** Rings start in it from now on. @throws {VhostUserBackendError} INVALID_STATE */
  use(generation: number): LentMemory {
    const memory = this.#attached;
    if (memory?.generation !== generation) {
      throw new VhostUserBackendError('INVALID_STATE', 'Cannot use memory that is not attached');
    }
    this.#attached = undefined;
    this.#current.release();
    this.#current = memory;
    return memory;
  }

  /** There is none any more; what others use goes when they let go of it. */
  forget(): void {
    if (this.#attached !== undefined) this.drop(this.#attached.generation);
    this.#current.release();
    this.#current = this.#lend(0, []);
  }

  #lend(generation: number, mappings: readonly LentMapping[]): LentMemory {
    const memory = new LentMemory(generation, mappings, this.#views, () => {
      this.#lent.delete(generation);
      this.#onReleased(generation);
    });
    this.#lent.add(generation);
    return memory;
  }
}
