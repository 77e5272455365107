import { type VhostUserFrontend, VhostUserMasterError } from '@node-vmm/vhost-user-master';
import type { ShareableMemory } from '@node-vmm/vm-memory';
import type { Logger } from '@node-vmm/vmm-sys-util';
import { VhostBridgeError } from './errors.ts';

/**
 * Ours: how long a back-end that maps on demand may take with a table, milliseconds: there is as little to do for
 * 1 TiB as for 1 GiB, and one that hangs is found out as soon.
 */
const ON_DEMAND_MS = 60_000;

/** What a back-end has mapped of guests. */
export interface PeerMappings {
  /** Bytes. */
  readonly bytes: number;
  /** Bytes of the largest mapping. */
  readonly largest: number;
}

/** Memory with holes that back-ends map where they touch it, and of which some map all at once. */
export interface MemorySharing {
  /** A part that a back-end is given first: how it maps that tells what it is. */
  readonly trial: ShareableMemory;
  /** No back-end that maps on demand has a mapping larger than this: bytes, less than `trial` has. */
  readonly largestOnDemand: number;
  /**
   * All that there is now, without holes: for those who map all of it. To find that out takes the longer the more
   * there is.
   *
   * @param signal - gives up, soon: nothing of the guest may be looked at any more
   * @throws the signal's reason
   */
  extents(signal: AbortSignal): Promise<ShareableMemory>;
  /** What a process has mapped of guests; undefined where it cannot be known. */
  mappings(pid: number): PeerMappings | undefined;
  /**
   * Looks whether a back-end that maps everything has room for it.
   *
   * @throws {Error} with cause and remedy, where it is known that it has not
   */
  checkRoom(memory: ShareableMemory): void;
}

/** What a {@link MemoryGiver} works with. */
export interface MemoryGiverOptions {
  readonly memory: ShareableMemory;
  /** Where not every back-end is given the same. */
  readonly sharing?: MemorySharing | undefined;
  readonly logger: Logger;
}

/** A back-end's connection, as far as memory goes. */
export type MemoryTaker = Pick<VhostUserFrontend, 'peerPid' | 'setMemTable' | 'settled'>;

/** How a back-end maps what it is given. */
export type MappingHabit = 'unknown' | 'whole';

/** Gives a guest's memory to one back-end after another, each as it can take it. */
export class MemoryGiver {
  readonly #options: MemoryGiverOptions;
  /** Of the back-end that was given it last. */
  #habit: MappingHabit = 'unknown';
  /** It was seen to map next to nothing of what it was given. */
  #onDemand = false;
  /** Bytes that the back-end has taken whole. */
  #given = 0;
  /** The one before wanted no holes. */
  #refused = false;

  constructor(options: MemoryGiverOptions) {
    this.#options = options;
  }

  /** Of the back-end that was given it last: one that maps all is told so seldom of changes. */
  get habit(): MappingHabit {
    return this.#habit;
  }

  /**
   * Bytes that the back-end has mapped at least, while it is connected: all that it has taken, or anything. Of one
   * that is still at it nobody knows how far it is.
   */
  get leastMapped(): number {
    return this.#habit === 'whole' ? Math.max(this.#given, 1) : 1;
  }

  /**
   * @throws {VhostUserMasterError} as `setMemTable`
   * @throws {Error} when the back-end would map more than there is room for
   */
  async give(frontend: MemoryTaker, signal: AbortSignal): Promise<void> {
    const { memory, sharing } = this.#options;
    this.#given = 0;
    if (sharing === undefined) {
      await frontend.setMemTable(memory, { signal });
      return;
    }
    this.#habit =
      this.#refused || (await this.#mapsAll(frontend, sharing, signal)) ? 'whole' : 'unknown';
    if (this.#habit === 'whole') {
      await this.#giveExtents(frontend, sharing, signal);
      return;
    }
    try {
      await this.#setBanks(frontend, signal);
    } catch (error) {
      if (!VhostUserMasterError.is(error, 'REQUEST_FAILED')) throw error;
      const { logger } = this.#options;
      logger.info(
        { pid: frontend.peerPid },
        'back-end takes no memory with holes, giving it what is there',
      );
      // Some end the connection with their refusal: then it is for the next.
      this.#refused = true;
      this.#habit = 'whole';
      await this.#giveExtents(frontend, sharing, signal);
    }
  }

  /**
   * Gives it anew to the back-end that has it: the guest's memory is not what it was.
   *
   * @throws {VhostUserMasterError} as `setMemTable`
   */
  async renew(frontend: MemoryTaker, signal: AbortSignal): Promise<void> {
    const { logger, sharing } = this.#options;
    if (sharing === undefined || this.#habit !== 'whole') {
      await this.#setBanks(frontend, signal);
      return;
    }
    const extents = await sharing.extents(signal);
    try {
      // It maps what it is given before it lets go of what it has.
      sharing.checkRoom(extents);
    } catch (err) {
      logger.warn({ err, pid: frontend.peerPid }, 'back-end keeps the memory that its guest had');
      return;
    }
    await this.#setExtents(frontend, extents, signal);
  }

  async #setBanks(frontend: MemoryTaker, signal: AbortSignal): Promise<void> {
    const inTime = this.#onDemand ? { timeoutMs: ON_DEMAND_MS } : {};
    await frontend.setMemTable(this.#options.memory, { signal, ...inTime });
  }

  async #mapsAll(
    frontend: MemoryTaker,
    { trial, largestOnDemand, mappings }: MemorySharing,
    signal: AbortSignal,
  ): Promise<boolean> {
    this.#onDemand = false;
    await frontend.setMemTable(trial, { signal });
    await frontend.settled({ signal });
    const mapped = mappings(frontend.peerPid);
    if (mapped === undefined) return false;
    const mapsAll = mapped.largest > largestOnDemand;
    this.#onDemand = !mapsAll;
    return mapsAll;
  }

  async #giveExtents(
    frontend: MemoryTaker,
    sharing: MemorySharing,
    signal: AbortSignal,
  ): Promise<void> {
    const extents = await sharing.extents(signal);
    sharing.checkRoom(extents);
    await this.#setExtents(frontend, extents, signal);
  }

  async #setExtents(
    frontend: MemoryTaker,
    extents: ShareableMemory,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      await frontend.setMemTable(extents, { signal });
    } catch (error) {
      if (VhostUserMasterError.is(error, 'REQUEST_FAILED')) throw refused(frontend, extents, error);
      if (!VhostUserMasterError.is(error, 'TOO_MANY_REGIONS')) throw error;
      // A guest that ballooned has memory in thousands of pieces.
      await frontend.setMemTable(this.#options.memory, { signal });
    }
    this.#given = bytesOf(extents);
  }
}

function refused(
  { peerPid }: MemoryTaker,
  memory: ShareableMemory,
  cause: unknown,
): VhostBridgeError {
  const mebibytes = Math.round(bytesOf(memory) / 2 ** 20);
  return new VhostBridgeError(
    'MEMORY_REFUSED',
    `Cannot share ${mebibytes} MiB of guest memory: the back-end (process ${peerPid}) maps all of it and ` +
      'failed; its log says whether there was no room, then use one that maps on demand',
    {},
    { cause },
  );
}

function bytesOf({ sharedRegions }: ShareableMemory): number {
  return sharedRegions.reduce((sum, { length }) => sum + Number(length), 0);
}
