import type { ChunkMapping } from '@node-vmm/vm-memory';
import { VhostUserBackendError } from '../errors.ts';
import { LentMemory, type LentParts, type MemoryLender } from './lent-memory.ts';
import type { WorkerViews } from './worker-views.ts';

/**
 * Most memories that chains in the hands of the device may keep alive. A front-end that exchanges
 * memory over and over without letting chains finish meets an error instead of our limits.
 */
const MAX_RETIRING = 16;

const NOTHING: LentParts = { mappings: [], onDemand: [] };

/** The guest memory of a device's instance: what its rings start in now, and what it has left. */
export class InstanceMemory {
  readonly #device: string;
  readonly #views: WorkerViews;
  readonly #lender: MemoryLender;
  /** Generations that somebody here still uses. */
  readonly #lent = new Map<number, LentMemory>();
  #current: LentMemory;
  #attached: LentMemory | undefined;

  /**
   * @param device - for messages
   * @param views - of the thread
   */
  constructor(device: string, views: WorkerViews, lender: MemoryLender) {
    this.#device = device;
    this.#views = views;
    this.#lender = lender;
    this.#current = this.#lend(0, NOTHING);
  }

  /** Chunks that were wanted have come; where that memory is gone nobody needs them. */
  arrived(generation: number, chunks: readonly ChunkMapping[]): void {
    this.#lent.get(generation)?.arrived(chunks);
  }

  /** Chunks are gone or to be given back. @returns the memory, when a ring may be in one of them */
  ended(generation: number, memories: readonly number[]): LentMemory | undefined {
    const memory = this.#lent.get(generation);
    return memory?.ended(memories) === true ? memory : undefined;
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
  attach(generation: number, parts: LentParts): void {
    if (this.#lent.size > MAX_RETIRING) {
      const device = this.#device;
      const text = `Cannot exchange memory of ${device}: requests in ${MAX_RETIRING} earlier memory tables are unfinished`;
      throw new VhostUserBackendError('INVALID_STATE', text, { device });
    }
    this.#attached = this.#lend(generation, parts);
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
    this.#current = this.#lend(0, NOTHING);
  }

  #lend(generation: number, parts: LentParts): LentMemory {
    const memory = new LentMemory(generation, parts, this.#views, {
      ...this.#lender,
      released: () => {
        this.#lent.delete(generation);
        this.#lender.released(generation);
      },
    });
    this.#lent.set(generation, memory);
    return memory;
  }
}
