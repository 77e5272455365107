import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '@node-vmm/vmm-sys-util';
import type { MemorySharing } from './memory-sharing.ts';

/** Ours: how often a process is looked at, however many of its devices wait: one may have 65,530 mappings. */
const LOOK_MS = 50;

/** A process that is to let go of memory, for all of its devices that are. */
interface Releasing {
  /** Bytes that it had mapped before the first of them. */
  readonly before: number;
  /** Bytes that it is to let go of, at least. */
  due: number;
  /** How many wait. */
  waiting: number;
  /** Bytes that it had mapped when it was looked at last. */
  now: number;
  /** When that was, by `performance.now()`. */
  lookedAt: number;
}

/** What one device's back-end is to let go of. */
export interface Release {
  /**
   * Waits until it has, or there is nothing to see.
   *
   * @param timeoutMs - to wait at most
   * @returns false where it plainly still has some
   */
  done(timeoutMs: number): Promise<boolean>;
}

/**
 * Back-ends that let go of guests' memory: a domain does not go away while somebody maps it. What they have is
 * looked at, because some close their connection first. Of several devices of one process each waits for all.
 */
export class PeerReleases {
  readonly #processes = new Map<number, Releasing>();

  /**
   * To be called before the connection ends.
   *
   * @param pid - of the back-end
   * @param mappings - what processes have mapped
   * @param bytes - that the back-end has mapped, where it maps all that it is given; else 1
   */
  expect(pid: number, mappings: MemorySharing['mappings'], bytes: number): Release {
    const known = this.#processes.get(pid);
    const before = known?.before ?? mappings(pid)?.bytes ?? 0;
    const lookedAt = performance.now();
    const releasing = known ?? { before, due: 0, waiting: 0, now: before, lookedAt };
    if (before === 0) return { done: async () => true };
    releasing.due += bytes;
    releasing.waiting++;
    this.#processes.set(pid, releasing);
    return { done: (timeoutMs) => this.#wait(pid, releasing, mappings, timeoutMs) };
  }

  async #wait(
    pid: number,
    releasing: Releasing,
    mappings: MemorySharing['mappings'],
    timeoutMs: number,
  ): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    try {
      for (;;) {
        const now = look(pid, releasing, mappings);
        if (now === 0 || now <= releasing.before - releasing.due) return true;
        const left = deadline - performance.now();
        if (left <= 0) return false;
        await delay(Math.min(LOOK_MS, left));
      }
    } finally {
      if (--releasing.waiting === 0) this.#processes.delete(pid);
    }
  }
}

function look(pid: number, releasing: Releasing, mappings: MemorySharing['mappings']): number {
  const at = performance.now();
  if (at - releasing.lookedAt >= LOOK_MS) {
    releasing.lookedAt = at;
    // One that is gone has nothing.
    releasing.now = mappings(pid)?.bytes ?? 0;
  }
  return releasing.now;
}

/** Says which process keeps a guest from going away. */
export function warnOfKeeper(logger: Logger, pid: number): void {
  logger.warn(
    { pid, comm: nameOf(pid) },
    "back-end has not let go of the guest's memory: the guest does not go away before it does, or ends",
  );
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'latin1').trim();
  } catch {
    return 'unknown';
  }
}
