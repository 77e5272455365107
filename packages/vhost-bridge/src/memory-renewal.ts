import type { Logger } from '@node-vmm/vmm-sys-util';
import { RenewalRate } from './renewal-rate.ts';
import { Rerun } from './rerun.ts';

/** How long a guest that gave memory back waits for back-ends to let go of it, milliseconds. */
const WAIT_MS = 1000;
/** For how long it is to give back nothing more before those are told that map all of it, milliseconds. */
const QUIET_MS = 1000;

/** A device whose back-end has mapped some of a guest's memory. */
export interface MemoryUser {
  /** Its back-end maps all of it, which takes long: it is told once the guest is quiet, and not waited for. */
  readonly mapsAll: boolean;
  /** Gives the back-end the memory anew; ends when that has let go of what it had, or is gone. Rejects never. */
  renew(): Promise<void>;
}

interface Entry {
  readonly user: MemoryUser;
  readonly rerun: Rerun;
  /** It did not let go in time, and is not waited for until it has. */
  late: boolean;
}

/**
 * Tells the back-ends of a guest that its memory is no longer what they mapped: a balloon says so a hundred
 * times for 256 MiB, and each time a vCPU stands still until it is answered. A guest that says so without end waits
 * longer (`RenewalRate`): its answers come late, and none is left out.
 *
 * Each device's back-end is told, also where several are of one process: a table is a connection's, the protocol has
 * no message for more than one, and that connections have one process at their other end does not say that they share
 * what is mapped. They do in our daemons, which do the work once for all that come together, but not behind
 * `vhost-supervisor`, which is the peer of connections that several processes serve.
 */
export class MemoryRenewal {
  readonly #logger: Logger;
  readonly #onChange: () => void;
  readonly #entries = new Set<Entry>();
  readonly #rate = new RenewalRate();
  /** What the guest said since it has to wait. */
  #later: Promise<void> | undefined;
  #slowed = false;
  #quiet: NodeJS.Timeout | undefined;

  /** @param onChange - lets go of what this process has mapped */
  constructor(logger: Logger, onChange: () => void) {
    this.#logger = logger;
    this.#onChange = onChange;
  }

  /** @returns ends that; idempotent */
  add(user: MemoryUser): () => void {
    const entry: Entry = { user, rerun: new Rerun(() => user.renew()), late: false };
    this.#entries.add(entry);
    return () => {
      this.#entries.delete(entry);
    };
  }

  /**
   * The guest's memory is not what it was.
   *
   * @returns what the guest is to wait for; undefined for nothing
   */
  changed(): Promise<void> | undefined {
    if (this.#later !== undefined) return this.#later;
    const messages = this.#entries.size;
    const waitMs = messages === 0 ? 0 : this.#rate.take(messages);
    if (waitMs === 0) return this.#round();
    this.#sayOnce(waitMs);
    this.#later = new Promise<void>((resolve) => {
      setTimeout(resolve, waitMs).unref();
    }).then(() => {
      this.#later = undefined;
      return this.#round();
    });
    return this.#later;
  }

  #sayOnce(waitMs: number): void {
    if (this.#slowed) return;
    this.#slowed = true;
    this.#logger.warn(
      { waitMs },
      'guest gives memory back without a pause, it waits from now on (logged once)',
    );
  }

  #round(): Promise<void> | undefined {
    this.#onChange();
    const prompt: Promise<void>[] = [];
    let some = false;
    for (const entry of this.#entries) {
      if (entry.user.mapsAll) {
        some = true;
        continue;
      }
      const done = entry.rerun.run();
      if (!entry.late) prompt.push(this.#inTime(entry, done));
    }
    if (some) this.#whenQuiet();
    return prompt.length === 0 ? undefined : Promise.all(prompt).then(() => undefined);
  }

  async #inTime(entry: Entry, done: Promise<void>): Promise<void> {
    const missed = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(true), WAIT_MS);
      void done.then(() => {
        clearTimeout(timer);
        resolve(false);
      });
    });
    if (!missed || entry.late) return;
    entry.late = true;
    void done.then(() => {
      entry.late = false;
    });
    this.#logger.warn(
      { waitedMs: WAIT_MS },
      'a back-end has not let go of memory that its guest gave back, the guest goes on',
    );
  }

  #whenQuiet(): void {
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => {
      for (const { user, rerun } of this.#entries) if (user.mapsAll) void rerun.run();
    }, QUIET_MS);
    this.#quiet.unref();
  }
}
