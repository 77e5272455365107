import type { Logger } from '@node-vmm/vmm-sys-util';
import type { MemorySharing } from './memory-sharing.ts';
import { type PeerReleases, warnOfKeeper } from './peer-releases.ts';

/** Ours: what a back-end may take to let go of a guest that goes away, milliseconds. More than `KILL_DELAY_MS`. */
export const LET_GO_MS = 2500;

/** What {@link LettingGo} works with. */
export interface LettingGoOptions {
  readonly releases: PeerReleases;
  /** How the guest's memory is shared, where that is not the same for each back-end. */
  readonly sharing: () => MemorySharing | undefined;
  /** Bytes that a back-end of the device has mapped at least while it is connected. */
  readonly leastMapped: () => number;
  readonly logger: Logger;
}

/**
 * The end of connections to a device's back-ends when its guest goes away: each ends when the back-end has let
 * go of the guest's memory, as far as that can be seen, or its time is over.
 */
export class LettingGo {
  readonly #options: LettingGoOptions;

  constructor(options: LettingGoOptions) {
    this.#options = options;
  }

  /**
   * Ends a connection, which takes {@link LET_GO_MS} at most. Where nobody can say what a back-end has mapped,
   * that it closes its end is all that is waited for.
   *
   * @param pid - of the back-end, 0 where it is not known
   * @param finish - ends it, and ends when the back-end has closed or so many milliseconds are over
   */
  async by(pid: number, finish: (timeoutMs: number) => Promise<unknown>): Promise<void> {
    const { releases, sharing, leastMapped, logger } = this.#options;
    const mappings = sharing()?.mappings;
    const deadline = performance.now() + LET_GO_MS;
    // Before the connection ends, which is what it lets go for.
    const release =
      mappings === undefined ? undefined : releases.expect(pid, mappings, leastMapped());
    await finish(LET_GO_MS);
    if (release === undefined) return;
    if (await release.done(Math.max(deadline - performance.now(), 0))) return;
    warnOfKeeper(logger, pid);
  }
}
